"""IKEv1 with strongSwan: suites, proofs, Aggressive Mode, passwords and addresses, started by
whichever side can.

One isthmusd and one charon hold a tunnel for each cell, between addresses of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.strongswan import Charon, IkeView
from isthmus.lab.vici import ViciError

from .certtunnels import start_or_fail
from .conftest import CHARON_SETTINGS
from .support import SITE_A, SITE_B, eventually, require_root_and
from .v1cells import FROM_EITHER, PASSWORD, Cell, addresses, load, tunnel

pytestmark = [pytest.mark.root, pytest.mark.interop]

_SUITES = (
    Cell("gcm-and-group-19", ike="aes256-sha384-ecp256", esp="aes256gcm16-ecp256"),
    Cell("no-pfs", ike="aes128-sha384-ecp384", esp="aes128gcm16"),
    Cell("cbc-sha256", ike="aes256-sha256-modp2048", esp="aes256-sha256-modp2048"),
    Cell("cbc-sha384", ike="aes192-sha384-modp3072", esp="aes192-sha384"),
    Cell("cbc-sha512", ike="aes256-sha512-ecp521", esp="aes256-sha512-ecp521"),
    Cell("sha1", ike="aes128-sha1-modp1536", esp="aes128-sha1-modp1536", weak=True),
    Cell("3des", ike="3des-sha1-modp1024", esp="3des-sha1", weak=True),
    Cell("3des-md5", ike="3des-md5-modp1024", esp="3des-md5-modp1024", weak=True),
    Cell("route-based", route=True),
)
_PROOFS = (
    Cell("rsa2048", key="rsa2048"),
    Cell("rsa3072", key="rsa3072", between=True, ike="aes256-sha384-ecp384"),
    Cell("rsa4096", key="rsa4096", between=True, ike="aes256-sha512-modp2048"),
    Cell("p256", key="p256"),
    Cell("p384", key="p384", between=True, ike="aes256-sha384-ecp384"),
    Cell("p521", key="p521", ike="aes256-sha512-ecp521"),
)
_AGGRESSIVE = (
    Cell("aggressive-psk", aggressive=True, weak=True),
    Cell(
        "aggressive-psk-old",
        aggressive=True,
        weak=True,
        ike="3des-md5-modp1024",
        esp="3des-sha1",
    ),
    Cell("aggressive-rsa", aggressive=True, weak=True, key="rsa2048"),
)
_ACCESS = (
    Cell("login-psk", user="near", given="near"),
    Cell("users-psk", user="far", given="far"),
    Cell("login-rsa", user="near", given="near", key="rsa2048"),
    Cell("users-rsa", user="far", given="far", key="rsa2048"),
    Cell("login-aggressive", user="near", given="near", aggressive=True, weak=True),
    Cell("users-aggressive", user="far", given="far", aggressive=True, weak=True),
    Cell("login-hybrid", user="near", given="near", key="rsa2048", hybrid=True),
    Cell("given-unasked", given="near", push=True),
    Cell("gives-unasked", given="far", push=True),
)
_ANYWHERE = (
    Cell("from-anywhere-psk", anywhere=True),
    Cell("from-anywhere-aggressive", anywhere=True, aggressive=True, weak=True),
    Cell("from-anywhere-rsa", anywhere=True, key="rsa2048"),
)
_EITHER = Cell("either-version", ike_version="auto")


def _numbered(*cells: Cell) -> tuple[Cell, ...]:
    return tuple(
        replace(cell, number=number, starts=_who_can_start(cell))
        for number, cell in enumerate(cells)
    )


def _who_can_start(cell: Cell) -> tuple[str, ...]:
    if cell.anywhere:
        return ("far",)
    return (cell.given,) if cell.given else FROM_EITHER


*CELLS, EITHER = _numbered(*_SUITES, *_PROOFS, *_AGGRESSIVE, *_ACCESS, *_ANYWHERE, _EITHER)


@dataclass(frozen=True, slots=True)
class Both:
    """The two daemons, with every tunnel loaded."""

    world: World
    near: Isthmus
    far: Charon

    def tunnel(self, cell: Cell) -> dict[str, Any]:
        """What Isthmus says of a tunnel."""
        found: dict[str, Any]
        (found,) = (t for t in self.near.status()["tunnels"] if t["name"] == cell.name)
        return found

    def state(self, cell: Cell) -> str:
        """Of its phase 1 here."""
        return str(self.tunnel(cell)["phase1"]["state"])

    def failure(self, cell: Cell) -> str:
        """The code of what it failed by, or ""."""
        found = self.tunnel(cell)
        said = [found["failure"], *(rule["failure"] for rule in found["rules"])]
        return next((str(each["code"]) for each in said if each), "")

    def seen(self, cell: Cell) -> list[IkeView]:
        """What strongSwan says of the same."""
        return [sa for sa in self.far.list_sas() if sa.name == cell.name]

    def gone(self, cell: Cell) -> bool:
        """Neither side has a phase 1 for it."""
        return not self.seen(cell) and self.state(cell) in ("down", "failed")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Every cell on both sides."""
    cells = (*CELLS, EITHER)
    require_root_and("strongswan")
    directory = tmp_path_factory.mktemp("v1")
    with topology.two_sites(directory) as world:
        addresses(world, cells)
        charon = Charon(world, SITE_B.gateway, directory / "far")
        charon.directory.mkdir()
        charon.start(settings=CHARON_SETTINGS)
        near = Isthmus(world, SITE_A.gateway, directory / "near")
        near.write(others="\n".join(tunnel(cell, directory) for cell in cells))
        for cell in cells:
            load(charon, cell)
        start_or_fail(near)
        try:
            yield Both(world, near, charon)
        finally:
            near.stop()
            charon.stop()


def _carries(both: Both, cell: Cell) -> None:
    """From our host; where our gateway was given an address, from there."""
    host = SITE_A.host
    if cell.given == "near":
        host = SITE_A.gateway
        asked = ["ip", "route", "get", cell.host]
        eventually("the address is used", lambda: cell.lent in both.world.run(host, asked))
    pings = measure.ping(both.world, host, cell.host, count=3, interval_s=0.02, wait_s=3.0)
    assert pings.received == 3, pings


def _agreed(both: Both, cell: Cell, version: int = 1) -> None:
    """Both sides say the same of what stands."""
    (sa,) = both.seen(cell)
    ours = both.tunnel(cell)
    mode = "aggressive" if cell.aggressive else "main"
    assert (sa.version, ours["version"]) == (version, f"IKEv1 {mode}" if version == 1 else "IKEv2")
    assert ours["phase1"]["remote_id"] == f"fqdn:{cell.identity(SITE_B)}"
    if cell.given == "near":
        assert sa.remote_vips == (cell.lent,)
    elif cell.given == "far":
        assert sa.local_vips == (cell.host,)
    assert sa.user == (cell.name if cell.user == "near" else "")


@contextmanager
def _told(both: Both) -> Iterator[None]:
    """What both daemons wrote meanwhile goes with a failure."""
    mark = len(both.far.log.read_text(encoding="utf-8"))
    try:
        yield
    except BaseException:
        theirs = both.far.log.read_text(encoding="utf-8")[mark:]
        print(f"--- isthmusd\n{both.near.log_tail(60)}\n--- charon\n{theirs}")
        raise


def _from_here(both: Both, cell: Cell, version: int = 1) -> None:
    """We begin and end; pings pass, and the peer hears the end."""
    both.near.request("up", tunnel=cell.name, timeout_s=20.0)
    _carries(both, cell)
    _agreed(both, cell, version)
    both.near.request("down", tunnel=cell.name, hold=False)
    eventually("charon has heard that we are gone", lambda: both.gone(cell))


def _from_there(both: Both, cell: Cell, version: int = 1) -> None:
    """The peer begins and ends; pings pass, and we hear the end."""
    both.far.initiate(cell.name, ike=cell.name)
    eventually("phase 1 is up here", lambda: both.state(cell) == "up")
    _carries(both, cell)
    _agreed(both, cell, version)
    both.far.terminate(ike=cell.name)
    eventually("we have heard that charon is gone", lambda: both.gone(cell))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_comes_up_carries_and_goes(both: Both, cell: Cell) -> None:
    """Isthmus begins and ends, then charon does, where each can."""
    with _told(both):
        if "near" in cell.starts:
            _from_here(both, cell)
        if "far" in cell.starts:
            _from_there(both, cell)


@pytest.mark.parametrize("name", ["login-psk", "users-psk"])
def test_a_wrong_password_opens_nothing(both: Both, name: str) -> None:
    """Ours at charon, and its own here: no phase 2, a named failure, and nothing is left."""
    (cell,) = (cell for cell in CELLS if cell.name == name)
    both.far.load_password(cell.name, PASSWORD[::-1])
    with _told(both):
        with pytest.raises((LabError, ViciError)):
            if cell.user == "near":
                both.near.request("up", tunnel=cell.name, timeout_s=20.0)
            else:
                both.far.initiate(cell.name, ike=cell.name)
        eventually("it is named", lambda: both.failure(cell) == "E170")
        eventually("no phase 1 is left on either side", lambda: both.gone(cell))
        both.far.load_password(cell.name, PASSWORD)
        (_from_here if cell.user == "near" else _from_there)(both, cell)


def test_either_version_is_answered_and_ikev2_is_begun(both: Both) -> None:
    """`ike = "auto"`, and a charon that speaks one version and then the other."""
    with _told(both):
        for version in (1, 2):
            load(both.far, EITHER, version=version)
            _from_there(both, EITHER, version)
        _from_here(both, EITHER, 2)
