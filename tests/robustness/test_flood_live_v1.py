"""Acceptance 5 of IKEv1: 10,000 first messages from spoofed addresses at a running daemon."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.interop.support import eventually, require_root_and

from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B
from isthmus.wire.header import HEADER_SIZE

from .campaign import OWN, census, hostile_v1, start_program
from .flood_v1 import SPOOFED

pytestmark = [pytest.mark.root, pytest.mark.slow]

FIRST_MESSAGES, RATE = 10_000, 500.0
EMBRYOS_MAX = 4096
UDP_HEADER_SIZE = 8


def new_tunnel(world: World, psk: str, seed: int) -> bool:
    """An honest peer brings its tunnel up, both phases, and takes it down again."""
    ends = {"own": OWN, "victim": SITE_A.outer4, "spoofed": SITE_B.outer4}
    orders = {**ends, "psk": psk, "seed": seed, "corpus": [], "count": 0, "rate": 1.0}
    found = start_program(world, "tests.robustness.hostile_peer_v1", orders).result(60.0)
    return bool(found["parted"])


def test_a_flood_of_first_messages_stops_neither_an_old_tunnel_nor_a_new_one() -> None:
    require_root_and()
    with tempfile.TemporaryDirectory(prefix="isth-") as name:
        directory = Path(name)
        with topology.two_sites(directory) as world:
            _flooded(world, directory)


def _flooded(world: World, directory: Path) -> None:
    psk, other_psk, any_psk = (gateways.fresh_psk() for _ in range(3))
    victim = Isthmus(world, SITE_A.gateway, directory / "gw-a")
    far = Isthmus(world, SITE_B.gateway, directory / "gw-b")
    known, _ = hostile_v1(directory, other_psk)
    anybody = replace(
        known,
        name="anybody",
        peer="any",
        psk=any_psk,
        remote_id="fqdn:anybody",
        rules=(replace(known.rules[0], remote=("10.67.0.0/24",)),),
    )
    victim.write(gateways.tunnel(SITE_A, psk, "policy", version=1), known, anybody)
    far.write(gateways.tunnel(SITE_B, psk, "policy", version=1))
    victim.start()
    far.start()
    assert measure.ping(world, SITE_A.host, SITE_B.host4, count=5, wait_s=5).received == 5
    watch = capture.start(world, INTERNET, directory / "flood.pcap")
    pinging = measure.start_ping(world, SITE_A.host, SITE_B.host4, interval_s=0.05, wait_s=3.0)
    try:
        orders = {"victim": SITE_A.outer4, "count": FIRST_MESSAGES, "rate": RATE}
        flood = start_program(world, "tests.robustness.flood_v1", orders)
        eventually("the flood is answered", lambda: census(victim)["embryos"] > 100)
        assert new_tunnel(world, other_psk, 1), "in the thick of it"
        assert flood.is_running, "that was in the thick of it"
        done = flood.result(120.0)
        assert census(victim)["embryos"] <= EMBRYOS_MAX
        assert new_tunnel(world, other_psk, 2), "and after it"
        pings = pinging.finish()
        seen = watch.packets()
    finally:
        pinging.abandon()
        watch.abandon()
    answers = [p for p in seen if p.source == SITE_A.outer4 and p.destination.startswith(SPOOFED)]
    octets = sum(p.length - p.payload_at - UDP_HEADER_SIZE for p in answers)
    print(
        f"{FIRST_MESSAGES} first messages in {done['seconds']:.1f} s, {done['octets']} octets; "
        f"{len(answers)} answers, {octets} octets; "
        f"pings {pings.sent} sent, {len(pings.lost)} lost; {census(victim)}"
    )
    assert pings.lost == () and pings.received == pings.sent
    assert len(answers) > FIRST_MESSAGES // 10, "there was something to reflect"
    assert HEADER_SIZE < octets <= done["octets"]
    counters = victim.request("counters")[-1]["counters"]
    assert counters.get("ike_faults", 0) == counters.get("worker_panics", 0) == 0
    assert "Traceback" not in victim.log.read_text(encoding="utf-8", errors="replace")
