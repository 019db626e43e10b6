"""F-02 and F-03 for real: a road that repeats, delays, reorders and damages, and strongSwan beyond.

What Isthmus did is judged from outside: whoever carries out a request a second time writes another
answer to it, and the wire in front of the road shows every answer.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.lab import capture, gateways, measure, relay, topology
from isthmus.lab.daemon import DaemonRefused, Isthmus
from isthmus.lab.namespaces import World, end
from isthmus.lab.packets import Ike, Packet
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B, internet_interface

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

PATIENCE_S = 60.0
INTERVAL_S = 0.005
SPARE = 10
IKE_SA_INIT, INVALID_IKE_SPI = 34, 4


@dataclass(frozen=True, slots=True)
class Road:
    """What the relay does to every packet."""

    name: str
    seed: int
    starts: gateways.Peer
    copies: int = 1
    delay_s: float = 0.0
    damage: float = 0.0
    renewals: int = 1
    """Of each phase by each side."""


ROADS = (
    Road("repeats-and-delay", 2, "isthmus", copies=3, delay_s=2.0, renewals=1),
    Road("damage-1-percent", 3, "strongswan", damage=0.01, renewals=12),
    Road("damage-20-percent", 4, "isthmus", copies=2, damage=0.2, delay_s=0.1, renewals=2),
)


@dataclass(frozen=True, slots=True)
class Ends:
    """Isthmus at site A, strongSwan at site B."""

    world: World
    near: Isthmus
    far: Charon

    def agree(self) -> bool:
        """One phase 1, the same, and one phase 2, crosswise."""
        tunnel = self.near.tunnel()
        sas = self.far.list_sas()
        near = {
            (int(child["spi_in"], 16), int(child["spi_out"], 16))
            for rule in tunnel["rules"]
            for child in rule["children"]
            if child["state"] == "installed"
        }
        far = {(c.spi_out, c.spi_in) for sa in sas for c in sa.children if c.state == "INSTALLED"}
        return len(sas) == 1 and len(near) == 1 and near == far and self.spi() == sas[0].spi_i

    def spi(self) -> str:
        """Initiator's SPI of phase 1 at site A."""
        return str(self.near.tunnel()["phase1"]["spi_i"]).removeprefix("0x").rjust(16, "0")

    def pairs(self) -> set[str]:
        """Inbound SPIs at site A."""
        return {c["spi_in"] for rule in self.near.tunnel()["rules"] for c in rule["children"]}


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    """Both gateways under the lab's usual agreement, and nothing negotiated yet."""
    require_root_and("strongswan")
    with topology.two_sites(tmp_path) as world:
        psk = gateways.fresh_psk()
        far = gateways.start_strongswan(world, SITE_B, tmp_path / SITE_B.gateway, psk)
        near = Isthmus(world, SITE_A.gateway, tmp_path / SITE_A.gateway)
        tunnel = gateways.tunnel(SITE_A, psk, "policy")
        near.write(replace(tunnel, settings={"dpd": '{ every = "1s", timeout = "40s" }'}))
        near.start()
        yield Ends(world, near, far)
        print(f"--- isthmusd\n{near.log_tail(150)}\n--- charon\n{far.log_tail(80)}")


@contextmanager
def road(world: World, kind: Road) -> Iterator[dict[str, int]]:
    """Everything between the sites goes by it; what it did is known at the end."""
    program = str(Path(relay.__file__))
    wishes = [f"--seed={kind.seed}", f"--copies={kind.copies}", f"--delay={kind.delay_s}"]
    argv = [sys.executable, "-I", program, *wishes, f"--damage={kind.damage}"]
    process = world.start(INTERNET, argv, stdin=subprocess.PIPE)
    counts: dict[str, int] = {}
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield counts
        output, _ = process.communicate("", timeout=20)
        counts |= json.loads(output.splitlines()[-1])
    finally:
        end(process)


def answers(seen: list[Packet]) -> dict[tuple[str, str, int], set[bytes]]:
    """The different answers that one side wrote to each request it heard.

    A repeat of a request whose IKE SA is gone draws INVALID_IKE_SPI: nothing is carried out.
    """
    found: dict[tuple[str, str, int], set[bytes]] = defaultdict(set)
    for packet in seen:
        ike = packet.content
        if isinstance(ike, Ike) and ike.is_response and ike.notifies != (INVALID_IKE_SPI,):
            octets = packet.octets[: packet.length]
            message = octets[octets.index(bytes.fromhex(ike.spi_i + ike.spi_r)) :]
            found[ike.spi_i, ike.spi_r, ike.message_id].add(message)
    return found


def renewed(ends: Ends, phase: int, by_us: bool) -> None:
    """One side has a phase renewed, however long the road makes it take.

    While the last renewal is not finished at the other end, it may put ours off (RFC 7296 §2.25).
    """
    before = ends.spi() if phase == 1 else ends.pairs()

    def is_asked() -> bool:
        try:
            ends.near.request("rekey", tunnel="site-b", phase=phase, timeout_s=PATIENCE_S)
        except DaemonRefused as refused:
            assert refused.code == "E125", refused
            return False
        return True

    def is_done() -> bool:
        now = ends.spi() if phase == 1 else ends.pairs()
        return now != before and ends.agree()

    if by_us:
        eventually("the renewal is begun", is_asked, timeout_s=PATIENCE_S, every_s=0.5)
    elif phase == 1:
        ends.far.rekey_ike("site-a")
    else:
        ends.far.rekey_child(gateways.RULE)
    eventually("the renewal stands on both sides", is_done, timeout_s=PATIENCE_S, every_s=0.1)


@pytest.mark.parametrize("kind", ROADS, ids=[kind.name for kind in ROADS])
def test_no_request_is_carried_out_twice(ends: Ends, kind: Road, tmp_path: Path) -> None:
    """Handshake and renewals by either side over a bad road, under traffic both ways."""
    wires = {
        site: capture.start(
            ends.world, INTERNET, tmp_path / f"{site.letter}.pcap",
            interface=internet_interface(site),
        )
        for site in (SITE_A, SITE_B)
    }  # fmt: skip
    with road(ends.world, kind) as counts:
        if kind.starts == "isthmus":
            ends.near.request("up", tunnel="site-b", timeout_s=PATIENCE_S)
        else:
            ends.far.initiate(gateways.RULE, timeout_s=PATIENCE_S)
        eventually("both sides hold the same SAs", ends.agree, timeout_s=PATIENCE_S)
        pinging = measure.start_ping(
            ends.world, SITE_A.host, SITE_B.host4, interval_s=INTERVAL_S, wait_s=5.0
        )
        for _ in range(kind.renewals):
            for phase in (2, 1):
                for by_us in (True, False):
                    renewed(ends, phase, by_us)
        pings = pinging.finish()
        standing = ends.near.tunnel()
        events = ends.near.events()
    seen = {site: wire.packets() for site, wire in wires.items()}
    asked = sum(len(answers(packets)) for packets in seen.values())
    print(f"the road: {counts}; {asked} requests; {pings.sent} pings, {len(pings.lost)} lost")
    assert asked > 4 * kind.renewals
    executed_twice = {
        request: len(found)
        for site in (SITE_A, SITE_B)
        for request, found in answers(seen[site]).items()
        if len(found) > 1
    }
    assert executed_twice == {}
    begun = {
        packet.content.spi_i
        for packets in seen.values()
        for packet in packets
        if isinstance(packet.content, Ike) and packet.content.exchange == IKE_SA_INIT
    }
    assert len(begun) == 1, "phase 1 was begun once and never lost"
    assert standing["healthy"] and standing["phase1"]["state"] == "up"
    bad = {"peer.dead", "phase1.failed", "phase2.failed", "daemon.fault"}
    assert bad.isdisjoint(event["event"] for event in events)
    assert pings.duplicates == 0, "the replay window knows copies"
    if kind.damage:
        assert counts["damaged"] > 2
        # A packet that comes while strongSwan changes SAs may be lost beside those that were hit.
        assert len(pings.lost) <= counts["damaged"] + SPARE, "damage costs the packet that it hits"
    else:
        # strongSwan's replay window is of 32 packets: what the road makes later than that is lost.
        assert pings.received > 100
        assert counts["late"] > 100 and counts["copies"] == 3 * counts["packets"]
