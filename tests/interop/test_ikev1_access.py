"""Addresses and log-ins over IKEv1 with strongSwan: what becomes of them while a tunnel lives.

That they come up at all is the business of `test_ikev1_cells.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.ike.lifecycle.superseding import CROSSING_S
from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon

from .certtunnels import private_file, start_or_fail, toml
from .conftest import CHARON_SETTINGS
from .support import SITE_A, SITE_B, eventually, require_root_and
from .v1cells import PASSWORD, PSK, Cell, addresses, connection, load, tunnel, user_line

pytestmark = [pytest.mark.root, pytest.mark.interop]

CLIENT = Cell("client", 0, user="near", given="near")
SERVER = Cell("server", 1, user="far", given="far")
ROUTED = Cell("routed", 2, given="near", route=True)
CELLS = (CLIENT, SERVER, ROUTED)
USERS = (Cell("ann", 3, user="far", given="far"), Cell("bob", 4, user="far", given="far"))
"""They dial into one tunnel of ours, behind one identity."""
POOL, LENT = "10.98.0.0/24", ("10.98.0.1", "10.98.0.2")
INTERVAL_S = 0.01


def workers(directory: Path) -> str:
    """The tunnel that all users dial into."""
    lines = "".join(user_line(cell.name, PASSWORD) for cell in USERS)
    entries = {
        "peer": "any",
        "start": "listen",
        "ike": 1,
        "local_id": "fqdn:office.example.org",
        "remote_id": "fqdn:clients.example.org",
        "psk": {"file": private_file(directory, "workers.psk", PSK.encode())},
        "xauth": {"users": {"file": private_file(directory, "workers.users", lines.encode())}},
        "mode_config": {"pool": [POOL]},
    }
    return toml("workers", POOL, entries, proposals=(USERS[0].ike, USERS[0].esp))


class Both:
    """The two daemons with every tunnel loaded."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        addresses(world, (*CELLS, *USERS))
        self.far = Charon(world, SITE_B.gateway, directory / "far")
        self.far.directory.mkdir()
        self.far.start(settings=CHARON_SETTINGS)
        self.near = Isthmus(world, SITE_A.gateway, directory / "near")
        tunnels = [*(tunnel(cell, directory) for cell in CELLS), workers(directory)]
        self.near.write(others="\n".join(tunnels))
        for cell in CELLS:
            load(self.far, cell)
        for cell, address in zip(USERS, LENT, strict=True):
            # charon's data plane wants to find it before it is given.
            world.run(SITE_B.gateway, ["ip", "address", "add", f"{address}/32", "dev", "lo"])
            self.far.load_password(cell.name, PASSWORD)
            told = connection(cell)
            told = replace(told, local_id="clients.example.org", remote_id="office.example.org")
            self.far.load(told)
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


def test_users_who_share_a_tunnel_are_told_apart_packet_by_packet(both: Both) -> None:
    """What is for one of them goes to that one, whoever has come last."""
    for cell in USERS:
        both.far.initiate(cell.name, ike=cell.name)
    running = measure.start_ping(both.world, SITE_A.host, *LENT, interval_s=INTERVAL_S)
    try:
        eventually("both are there", lambda: len(both.far.list_sas()) == len(USERS))
        given = {sa.name: sa.local_vips for sa in both.far.list_sas()}
        assert given == {"ann": (LENT[0],), "bob": (LENT[1],)}
        pings = running.finish()
    finally:
        running.abandon()
    assert pings.lost == () and pings.errors == 0 and pings.sent > 0
    found = measure.ping(both.world, SITE_A.host, LENT[0], count=20, interval_s=0.02)
    assert found.received == 20, found
    both.far.terminate(ike=USERS[1].name)
    found = measure.ping(both.world, SITE_A.host, LENT[0], count=20, interval_s=0.02)
    assert found.received == 20, "the other one is not touched"
    both.far.terminate(ike=USERS[0].name)
