"""Are the ports of IKE free, and who has them if not."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from isthmus.values.address import IKE_PORT, NAT_T_PORT


def busy(listen: tuple[str, ...]) -> str | None:
    """A sentence about the first port that somebody else has (E103); None when all are free."""
    for address in listen:
        for port in (IKE_PORT, NAT_T_PORT):
            if _is_busy(address, port):
                who = owner(port)
                by = f" by {who}" if who else ""
                return (
                    f"E103: UDP port {port} of {address} is busy{by}. Another IKE daemon runs "
                    "here: stop it first, then start isthmusd again."
                )
    return None


def owner(port: int) -> str | None:
    """`charon (pid 123)`: the process that has a UDP port open, as far as we may look."""
    inodes = set(_inodes(port))
    if not inodes:
        return None
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _holds(entry, inodes):
            try:
                name = (entry / "comm").read_text().strip()
            except OSError:
                return f"pid {entry.name}"
            return f"{name} (pid {entry.name})"
    return None


def _is_busy(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as error:
        # Other troubles are the plane's to tell when it opens the port in earnest.
        return error.errno == errno.EADDRINUSE
    return False


def _inodes(port: int) -> Iterator[str]:
    """Socket inodes with that local port, of both families (proc(5))."""
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if int(columns[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{columns[9]}]"


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(link) in inodes for link in (process / "fd").iterdir())
    except OSError:
        return False
