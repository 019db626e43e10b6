"""Addresses and log-ins over IKEv1 with strongSwan: what becomes of them while a tunnel lives.

That they come up at all is the business of `test_ikev1_cells.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.ike.lifecycle.superseding import CROSSING_S
from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon

from .certtunnels import start_or_fail
from .conftest import CHARON_SETTINGS
from .support import SITE_A, SITE_B, eventually, require_root_and
from .v1cells import Cell, addresses, load, tunnel

pytestmark = [pytest.mark.root, pytest.mark.interop]

CLIENT = Cell("client", 0, user="near", given="near")
SERVER = Cell("server", 1, user="far", given="far")
ROUTED = Cell("routed", 2, given="near", route=True)
CELLS = (CLIENT, SERVER, ROUTED)
INTERVAL_S = 0.01


class Both:
    """The two daemons with every tunnel loaded."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        addresses(world, CELLS)
        self.far = Charon(world, SITE_B.gateway, directory / "far")
        self.far.directory.mkdir()
        self.far.start(settings=CHARON_SETTINGS)
        self.near = Isthmus(world, SITE_A.gateway, directory / "near")
        self.near.write(others="\n".join(tunnel(cell, directory) for cell in CELLS))
        for cell in CELLS:
            load(self.far, cell)
        start_or_fail(self.near)

    def up(self, cell: Cell) -> None:
        """Begun by the side that is given an address."""
        if cell.given == "near":
            self.near.request("up", tunnel=cell.name, timeout_s=20.0)
            eventually("the address is ours", lambda: cell.lent in self.ours())
        else:
            self.far.initiate(cell.name, ike=cell.name)

    def down(self, cell: Cell) -> None:
        """Nothing is left of it."""
        self.near.request("down", tunnel=cell.name, hold=False)
        eventually("charon has heard of it", lambda: not self.phases(cell))

    def ours(self) -> str:
        """The addresses of our gateway."""
        return self.world.run(SITE_A.gateway, ["ip", "-4", "-o", "address"])

    def phases(self, cell: Cell) -> list[str]:
        """Phase 1 as charon has it, by the cookies."""
        return [str(sa.unique_id) for sa in self.far.list_sas() if sa.name == cell.name]

    def phase1(self, cell: Cell) -> dict[str, Any]:
        """As we have it."""
        (found,) = (t for t in self.near.status()["tunnels"] if t["name"] == cell.name)
        phase1: dict[str, Any] = found["phase1"]
        return phase1

    def spi(self, cell: Cell) -> str:
        """Of the one that stands, or ""."""
        phase1 = self.phase1(cell)
        return str(phase1["spi_i"]) if phase1["state"] == "up" else ""

    def age_s(self, cell: Cell) -> float:
        """Of the same."""
        return float(self.phase1(cell)["age_s"] or 0.0)

    def source(self, cell: Cell) -> str:
        """Where packets of a tunnel come from: its client."""
        return SITE_A.gateway if cell.given == "near" else SITE_A.host


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Up for all tests of this file."""
    require_root_and("strongswan")
    directory = tmp_path_factory.mktemp("access")
    with topology.two_sites(directory) as world:
        made = Both(world, directory)
        try:
            yield made
        finally:
            made.near.stop()
            made.far.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("who", "cells"), [("near", (CLIENT,)), ("far", (CLIENT, SERVER))])
def test_a_renewed_phase_1_keeps_addresses_and_packets(
    both: Both, who: str, cells: tuple[Cell, ...]
) -> None:
    """The log-in and the address come again with it, and no ping is lost. Where we are the server,
    only the client renews."""
    for cell in cells:
        both.up(cell)
    before, given = [both.spi(cell) for cell in cells], both.ours()
    # Younger ones would be taken for two first calls that crossed.
    eventually(
        "phase 1 is no new one", lambda: min(map(both.age_s, cells)) > CROSSING_S, timeout_s=60.0
    )
    runs = [
        measure.start_ping(both.world, both.source(cell), cell.host, interval_s=INTERVAL_S)
        for cell in cells
    ]
    try:
        for cell in cells:
            if who == "near":
                both.near.request("rekey", tunnel=cell.name, phase=1)
            else:
                both.far.rekey_ike(cell.name)
        eventually(
            "other ones stand",
            lambda: all(
                both.spi(cell) not in ("", old) for cell, old in zip(cells, before, strict=True)
            ),
        )
        eventually(
            "they stand alone",
            lambda: all(len(both.phases(cell)) == 1 for cell in cells),
            timeout_s=60.0,
        )
        found = [running.finish() for running in runs]
    finally:
        for running in runs:
            running.abandon()
    for pings in found:
        assert pings.lost == () and pings.errors == 0 and pings.sent > 20
    assert both.ours() == given
    for cell in cells:
        both.down(cell)


def test_in_route_mode_this_machine_speaks_from_the_address_that_it_was_given(both: Both) -> None:
    both.up(ROUTED)
    pings = measure.ping(
        both.world, SITE_A.gateway, ROUTED.host, count=5, interval_s=0.02, wait_s=3.0
    )
    assert pings.received == 5, pings
    shown = both.near.do("status", ROUTED.name)
    assert f"our address {ROUTED.lent} from the peer, DNS 10.2.0.53" in shown
    both.down(ROUTED)
    eventually("it is gone", lambda: ROUTED.lent not in both.ours())


@pytest.mark.parametrize("cell", [CLIENT, ROUTED], ids=lambda cell: cell.name)
def test_what_kill_9_leaves_is_gone_with_the_next_start(both: Both, cell: Cell) -> None:
    both.up(cell)
    both.near.kill()
    assert cell.lent in both.ours(), "nobody was left to take it away"
    start_or_fail(both.near)
    assert cell.lent not in both.ours()
    both.up(cell)
    assert measure.ping(
        both.world, SITE_A.gateway, cell.host, count=3, interval_s=0.02, wait_s=3.0
    ).received
    both.near.stop()
    assert cell.lent not in both.ours()
    start_or_fail(both.near)
