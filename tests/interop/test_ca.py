"""`isthmus ca`: four commands join two sites, and strongSwan takes what they make."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab import measure, topology
from isthmus.lab.daemon import DaemonRefused, Isthmus, command
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import SITE_A, SITE_B, Site

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

SITES = {"hq": SITE_A, "branch": SITE_B}


class Ca:
    """The command `isthmus ca`, on a folder of its own; counts how often it was needed."""

    def __init__(self, directory: Path, key: str) -> None:
        self.directory = directory
        self.key = key
        self.commands = 0

    def __call__(self, verb: str, *words: str) -> str:
        self.commands += 1
        argv = [*command("isthmus"), "ca", verb, *words, "-d", str(self.directory / "ca")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self) -> None:
        """The first three of the four commands."""
        self("init", "Lab", "--key", self.key)
        for name, site in SITES.items():
            where = ("--address", site.outer4, "--network", site.network(4))
            self("issue", name, f"vpn.{name}.example.net", *where)


@pytest.fixture
def directory(short_directory: Path, request: pytest.FixtureRequest) -> Path:
    path = short_directory / f"ca-{abs(hash(request.node.name)) % 100_000}"
    path.mkdir()
    return path


@pytest.fixture
def ground(directory: Path) -> Iterator[World]:
    """Two sites and an internet, with nothing in them."""
    require_root_and("strongswan")
    with topology.two_sites(directory) as world:
        yield world


def started(world: World, site: Site, exported: Path) -> Isthmus:
    """A gateway with nothing but what `isthmus ca export` has written."""
    daemon = Isthmus(world, site.gateway, exported)
    daemon.start()
    return daemon


def pings(world: World) -> None:
    found = measure.ping(world, SITE_A.host, SITE_B.host4, count=3, interval_s=0.02, wait_s=10.0)
    assert found.received == 3, found


def verified(daemon: Isthmus) -> list[str]:
    return [str(e["message"]) for e in daemon.events() if e["event"] == "peer.verified"]


def test_four_commands_join_two_sites(ground: World, directory: Path) -> None:
    """Nothing is edited: traffic starts the tunnel. Then one side is revoked, and refused."""
    ca = Ca(directory, "rsa-3072")
    ca.begin()
    ca("export", "hq", "branch", "-o", str(directory / "sites"))
    assert ca.commands == 4
    hq, branch = (started(ground, site, directory / "sites" / n) for n, site in SITES.items())
    try:
        pings(ground)
        for daemon, other in ((hq, "branch"), (branch, "hq")):
            (message,) = verified(daemon)
            assert f"vpn.{other}.example.net" in message
            assert daemon.status()["tunnels"][0]["phase1"]["state"] == "up"
        ca("revoke", "branch", "--reason", "key-compromise")
        ca("export", "hq", "-o", str(directory / "sites"))
        hq.do("reload")
        branch.request("down", tunnel="hq", hold=False)
        with pytest.raises(DaemonRefused) as refused:
            hq.request("up", tunnel="branch", timeout_s=20.0)
        assert refused.value.code == "E149"
    finally:
        for daemon in (hq, branch):
            print(f"--- {daemon.namespace}\n{daemon.log_tail(60)}")
            daemon.stop()


@pytest.mark.parametrize("key", ["rsa-2048", "ecdsa-p256"])
def test_strongswan_takes_what_it_gets(ground: World, directory: Path, key: str) -> None:
    """`swanctl --load-creds` and `--load-conns` take the exported folder as it is, and the tunnel
    stands, whoever begins it."""
    ca = Ca(directory, key)
    ca.begin()
    ca("export", "hq", "branch", "-o", str(directory / "sites"))
    ca("export", "branch", "hq", "--as", "strongswan", "-o", str(directory / "swan"))
    folder = directory / "swan/branch"
    # As in /etc/swanctl, where the user copies it to.
    (folder / "swanctl.conf").write_text("include conf.d/*.conf\n")
    charon = Charon(ground, SITE_B.gateway, directory / "far")
    charon.start()
    hq = started(ground, SITE_A, directory / "sites/hq")
    try:
        loaded = swanctl(ground, charon, folder, "--load-creds", "--noprompt")
        for file in ("x509/branch.pem", "x509ca/ca.pem", "x509crl/ca.crl"):
            assert f"loaded certificate from '{folder / file}'" in loaded, loaded
        assert f"key from '{folder / 'private/branch.key'}'" in loaded, loaded
        swanctl(ground, charon, folder, "--load-conns")
        hq.request("up", tunnel="branch", timeout_s=20.0)
        pings(ground)
        hq.request("down", tunnel="branch", hold=False)
        eventually("charon forgets it", lambda: not charon.list_sas())
        charon.initiate("lan", ike="hq")
        pings(ground)
        assert len(verified(hq)) == 2
    finally:
        print(f"--- isthmusd\n{hq.log_tail(60)}\n--- charon\n{charon.log_tail(60)}")
        hq.stop()
        charon.stop()


def swanctl(world: World, charon: Charon, folder: Path, *words: str) -> str:
    """What swanctl prints; its folder is the exported one."""
    program = shutil.which("swanctl", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None, "strongswan-swanctl is installed by tools/packages"
    return world.run(
        charon.namespace,
        [program, *words, "--uri", f"unix://{charon.socket}"],
        environment={"SWANCTL_DIR": str(folder)},
    )
