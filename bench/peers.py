"""Programs of others that are measured beside Isthmus: where they are, and how to get them."""

import os
import shutil
from importlib import metadata
from pathlib import Path

from bench import machine

BUILT = Path(__file__).parent.parent / "build" / "peers" / "bin"
"""Where `make bench-peers` puts what it builds."""
WIREGUARD_GO = "wireguard"
BORINGTUN = "boringtun-cli"
OPENVPN = "openvpn"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str | None:
    """Path of a peer's program: the one that was built here, else the system's; None: neither."""
    path = f"{BUILT}:{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    return shutil.which(name, path=path)


def version_of(subject: str) -> str:
    """The version of a measured program, by the subject's name; "" when it has none to tell."""
    match subject:
        case "OpenVPN":
            return machine.version([program(OPENVPN) or OPENVPN, "--version"])
        case "boringtun":
            return machine.version([program(BORINGTUN) or BORINGTUN, "--version"])
        case "wireguard-go":
            return _module_version()
        case "strongSwan kernel-libipsec":
            return machine.version(["dpkg-query", "-W", "-f", "${Version}", "strongswan-charon"])
        case "Isthmus":
            return metadata.version("isthmus")
    return ""


def _module_version() -> str:
    """Go writes the module's version into what it builds."""
    path = program(WIREGUARD_GO)
    told = machine.lines(["go", "version", "-m", path]) if path else []
    return next((line.split()[2] for line in told if line.split()[:1] == ["mod"]), "")
