"""Dead peer detection over IKEv1 (RFC 3706) with strongSwan: each side finds the other one gone,
and what Isthmus does then is what the tunnel says."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon

from .certtunnels import start_or_fail
from .conftest import CHARON_SETTINGS
from .support import SITE_A, SITE_B, eventually, require_root_and
from .v1cells import Cell, addresses, load, tunnel

pytestmark = [pytest.mark.root, pytest.mark.interop]

DELAY_S, TIMEOUT_S = 1, 3


def _cell(number: int, action: str) -> Cell:
    dpd = {"every": f"{DELAY_S}s", "timeout": f"{TIMEOUT_S}s", "action": action}
    return Cell(
        action,
        number,
        more={"dpd": dpd, "start": "traffic"},
        swan={"dpd_delay": f"{DELAY_S}s", "dpd_timeout": f"{TIMEOUT_S}s"},
    )


REARM, RECONNECT = CELLS = (_cell(0, "rearm"), _cell(1, "reconnect"))


@dataclass(frozen=True, slots=True)
class Ground:
    """Both gateways, with a tunnel for each action."""

    world: World
    near: Isthmus
    far: Charon

    def phase1(self, cell: Cell) -> str:
        """State of a tunnel's phase 1 here."""
        (found,) = (t for t in self.near.status()["tunnels"] if t["name"] == cell.name)
        return str(found["phase1"]["state"])

    def spis(self) -> set[tuple[str, str]]:
        """Every phase 1 of the far side."""
        return {(sa.name, sa.spi_i) for sa in self.far.list_sas() if sa.state == "ESTABLISHED"}

    def start_far(self) -> None:
        """Start strongSwan with its half of every tunnel."""
        self.far.start(settings=CHARON_SETTINGS)
        for cell in CELLS:
            load(self.far, cell)

    def carries(self, *cells: Cell) -> None:
        """Pings pass, and bring up what is down."""
        for cell in cells:
            pings = measure.ping(self.world, SITE_A.host, cell.host, count=3, interval_s=0.02)
            assert pings.received == 3, pings

    def deaths(self, cell: Cell) -> int:
        """How often we found the peer of a tunnel dead."""
        return sum(
            event["event"] == "peer.dead" and event["tunnel"] == cell.name
            for event in self.near.events()
        )


@pytest.fixture
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Both daemons, running; no tunnel is up."""
    require_root_and("strongswan")
    directory = tmp_path_factory.mktemp("dpd")
    with topology.two_sites(directory) as world:
        addresses(world, CELLS)
        near = Isthmus(world, SITE_A.gateway, directory / "near")
        near.write(others="\n".join(tunnel(cell, directory) for cell in CELLS))
        far = Charon(world, SITE_B.gateway, directory / "far")
        far.directory.mkdir()
        found = Ground(world, near, far)
        found.start_far()
        start_or_fail(near)
        try:
            yield found
        finally:
            print(f"--- isthmusd\n{near.log_tail(80)}\n--- charon\n{far.log_tail(120)}")
            near.stop()
            far.stop()


def test_each_side_finds_the_other_one_gone(ground: Ground) -> None:
    """Silence alone kills nobody; a dead peer is found by either side, and the tunnel waits for
    traffic, or is begun anew at once."""
    ground.carries(*CELLS)
    before = ground.spis()
    assert len(before) == len(CELLS)
    time.sleep(TIMEOUT_S + 2 * DELAY_S)
    assert ground.spis() == before, "both answer while nothing else is said"
    ground.near.kill()
    eventually("charon finds us dead", lambda: not ground.spis(), timeout_s=20.0)
    start_or_fail(ground.near)
    ground.carries(*CELLS)
    ground.far.kill()
    for cell in CELLS:
        eventually("we find charon dead", lambda c=cell: ground.deaths(c) == 1, timeout_s=20.0)
    assert ground.phase1(REARM) in ("down", "failed")
    ground.start_far()
    eventually("one is begun anew", lambda: ground.phase1(RECONNECT) == "up", timeout_s=30.0)
    assert ground.phase1(REARM) in ("down", "failed")
    ground.carries(*CELLS)
