"""Two sides that do not fit over IKEv1: a named failure here, the right notify there, and nothing
left. One isthmusd and one charon hold a tunnel for each case and role."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from isthmus.lab import gateways, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import LabError
from isthmus.lab.strongswan import Charon, Connection
from isthmus.lab.vici import ViciError

from .certtunnels import start_or_fail
from .conftest import CHARON_SETTINGS
from .support import SITE_A, SITE_B, eventually, require_root_and
from .v1cells import Cell, addresses, load, tunnel

pytestmark = [pytest.mark.root, pytest.mark.interop]


def _other_child(told: Connection, **changes: Any) -> Connection:
    ((name, child),) = told.children.items()
    return replace(told, children={name: replace(child, **changes)})


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way of not fitting."""

    name: str
    otherwise: Callable[[Connection], Connection]
    """What strongSwan is told instead."""
    codes: frozenset[str]
    """Finding codes that name it."""
    notify: str
    """As charon's log abbreviates it; it says so itself where it answers, and hears it where we
    do."""
    is_told: bool = True
    """We say so where we answer."""


MISFITS = (
    Misfit(
        "psk",
        lambda told: replace(told, psk=gateways.fresh_psk()),
        frozenset({"E120"}),
        "PLD_MAL",
        # What cannot be read may be anybody's: Main Mode's proofs are encrypted under keys that the
        # secret is part of.
        is_told=False,
    ),
    Misfit(
        "phase1",
        lambda told: replace(told, ike_proposals=("aes128-sha384-modp3072",)),
        frozenset({"E110"}),
        "NO_PROP",
    ),
    Misfit(
        "phase2",
        lambda told: _other_child(told, esp_proposals=("aes128-sha1",)),
        frozenset({"E201"}),
        "NO_PROP",
    ),
    Misfit(
        "networks",
        lambda told: _other_child(told, local_ts=("10.77.0.0/24",), remote_ts=("10.78.0.0/24",)),
        frozenset({"E203"}),
        "INVAL_ID",
    ),
    Misfit(
        "identity",
        lambda told: replace(told, local_id="somebody.else.example.org"),
        frozenset({"E130"}),
        "INVAL_ID",
    ),
)
CASES = tuple(
    (role, misfit, Cell(f"{misfit.name}-{role}", number))
    for number, (role, misfit) in enumerate(
        (role, misfit) for misfit in MISFITS for role in ("initiator", "responder")
    )
)


@dataclass(frozen=True, slots=True)
class Both:
    """The two daemons, with every tunnel loaded."""

    near: Isthmus
    far: Charon

    def tunnel(self, name: str) -> dict[str, Any]:
        """What Isthmus says of a tunnel."""
        found: dict[str, Any]
        (found,) = (t for t in self.near.status()["tunnels"] if t["name"] == name)
        return found

    def failure(self, name: str) -> dict[str, Any] | None:
        """What a tunnel failed by."""
        found = self.tunnel(name)
        said = [found["failure"], *(rule["failure"] for rule in found["rules"])]
        return next((each for each in said if each), None)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Every case on both sides."""
    require_root_and("strongswan")
    directory = tmp_path_factory.mktemp("misfits")
    cells = tuple(cell for _, _, cell in CASES)
    with topology.two_sites(directory) as world:
        addresses(world, cells)
        charon = Charon(world, SITE_B.gateway, directory / "far")
        charon.directory.mkdir()
        charon.start(settings=CHARON_SETTINGS)
        for _, misfit, cell in CASES:
            load(charon, cell, otherwise=misfit.otherwise)
        near = Isthmus(world, SITE_A.gateway, directory / "near")
        near.write(others="\n".join(tunnel(cell, directory) for cell in cells))
        start_or_fail(near)
        try:
            yield Both(near, charon)
        finally:
            print(f"--- isthmusd\n{near.log_tail(80)}\n--- charon\n{charon.log_tail(80)}")
            near.stop()
            charon.stop()


@pytest.mark.parametrize(("role", "misfit", "cell"), CASES, ids=[cell.name for _, _, cell in CASES])
def test_misfit(both: Both, role: str, misfit: Misfit, cell: Cell) -> None:
    """Whoever starts, the failure has a code and a sentence, and the peer is told."""
    mark = len(both.far.log.read_text(encoding="utf-8"))
    with pytest.raises((LabError, ViciError)):
        if role == "initiator":
            both.near.request("up", tunnel=cell.name, timeout_s=20.0)
        else:
            both.far.initiate(cell.name, ike=cell.name, timeout_s=3.0)
    failure: dict[str, Any] = eventually("it is named", lambda: both.failure(cell.name))
    assert failure["code"] in misfit.codes, failure
    assert " " in failure["reason"] and failure["fix"]
    said = f"N({misfit.notify}"
    if role == "initiator" or misfit.is_told:
        eventually("it is said", lambda: said in both.far.log.read_text(encoding="utf-8")[mark:])


def test_nothing_is_left(both: Both) -> None:
    """Of all that was tried. (What charon could not read is half open there for a while.)"""

    def stands() -> bool:
        return any(sa.state == "ESTABLISHED" for sa in both.far.list_sas())

    eventually("charon holds no phase 1", lambda: not stands(), timeout_s=20.0)
    for _, _, cell in CASES:
        assert both.tunnel(cell.name)["phase1"]["state"] in ("down", "failed")
        assert not any(rule["children"] for rule in both.tunnel(cell.name)["rules"])
