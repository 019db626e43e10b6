"""Silence closes phase 2 and nothing else, and the next packet does not notice."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.packets import Ike
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B

from .fleet import slowness
from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

IDLE_S = 3
TIMES = 3
PEERS: tuple[tuple[gateways.Peer, int], ...] = (("isthmus", 2), ("strongswan", 2))
"""And the version of IKE."""
QUICK_MODE = 32
ACCEPTED_IDLE_S, LATE_S = 5, 2
ROUNDS = 5
ANSWER_MS = 100


def started(world: World, directory: Path, psk: str, idle_s: int, version: int = 2) -> Isthmus:
    """Our gateway, whose rule goes idle soon; the far one knows of no such thing."""
    gateway = Isthmus(world, SITE_A.gateway, directory / SITE_A.gateway)
    tunnel = gateways.tunnel(SITE_A, psk, "policy", version=version)
    (rule,) = tunnel.rules
    soon = replace(rule, settings={"idle": f'"{idle_s}s"'})
    gateway.write(replace(tunnel, rules=(soon,)))
    gateway.start()
    return gateway


@pytest.fixture
def near(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Isthmus]:
    """Our gateway, with either kind of peer."""
    peer, version = request.param
    require_root_and(*(("strongswan",) if peer == "strongswan" else ()))
    with topology.two_sites(tmp_path) as world:
        psk, home = gateways.fresh_psk(), tmp_path / SITE_B.gateway
        if peer == "strongswan":
            gateways.start_strongswan(world, SITE_B, home, psk, version=version)
        else:
            gateways.start_isthmus(world, SITE_B, home, psk, "policy", version=version)
        yield started(world, tmp_path, psk, IDLE_S, version)


def rule(gateway: Isthmus) -> dict[str, Any]:
    """What the gateway says of its only rule."""
    (found,) = gateway.tunnel()["rules"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("near", (*PEERS, ("strongswan", 1)), ids=str, indirect=True)
def test_silence_closes_phase_2_and_the_next_packet_is_answered(near: Isthmus) -> None:
    """Three times, for what is left behind by one closing may harm the next. Over IKEv1 each return
    is one Quick Mode, and nothing else."""
    phase1 = set()
    wire = capture.start(near.world, INTERNET, near.directory / "wire.pcap")
    for _ in range(TIMES):
        pings = measure.ping(near.world, SITE_A.host, SITE_B.host4, count=5, wait_s=5)
        assert pings.lost == ()
        up = rule(near)
        assert up["state"] == "up" and 0 < up["idle_in_s"] <= IDLE_S
        assert "idle in " in near.do("status", near.tunnel()["name"])
        eventually("the rule is idle", lambda: rule(near)["state"] == "idle")
        closed = near.tunnel()
        assert closed["healthy"] and rule(near)["idle_in_s"] is None
        assert closed["phase1"]["state"] == "up"
        phase1.add(closed["phase1"]["spi_i"].removeprefix("0x").rjust(16, "0"))
    assert len(phase1) == 1
    seen = [p.content for p in wire.packets() if isinstance(p.content, Ike)]
    if seen[0].version == 1:
        assert len({ike.message_id for ike in seen if ike.exchange == QUICK_MODE}) == TIMES
        assert {(ike.spi_i, ike.version) for ike in seen} == {(phase1.pop(), 1)}


@pytest.mark.parametrize("near", PEERS, ids=str, indirect=True)
def test_traffic_keeps_phase_2_open(near: Isthmus) -> None:
    """Packets once a second against an idle time of two."""
    measure.ping(near.world, SITE_A.host, SITE_B.host4, count=1, wait_s=5)
    spi = rule(near)["children"][0]["spi_in"]
    pings = measure.ping(near.world, SITE_A.host, SITE_B.host4, count=5, interval_s=1, wait_s=5)
    assert pings.lost == ()
    assert [child["spi_in"] for child in rule(near)["children"]] == [spi]


def test_it_is_gone_in_time_from_both_ends_and_back_by_one_exchange(tmp_path: Path) -> None:
    """strongSwan beyond: each silence of five seconds ends phase 2 there too, soon after; what
    passes then on the wire is one CREATE_CHILD_SA for each ping, and its answer is quick."""
    require_root_and("strongswan")
    with topology.two_sites(tmp_path) as world:
        psk = gateways.fresh_psk()
        far = gateways.start_strongswan(world, SITE_B, tmp_path / SITE_B.gateway, psk)
        near = started(world, tmp_path, psk, ACCEPTED_IDLE_S)

        def is_gone() -> bool:
            return not rule(near)["children"] and not any(sa.children for sa in far.list_sas())

        wire = capture.start(world, INTERNET, tmp_path / "wire.pcap")
        gone_s, answers_ms, phase1 = [], [], set()
        for _ in range(1 + ROUNDS):
            ping = measure.ping(world, SITE_A.host, SITE_B.host4, count=1, wait_s=5)
            silent = time.monotonic()
            assert ping.lost == ()
            answers_ms += ping.round_trips_ms
            eventually("phase 2 is gone from both ends", is_gone, timeout_s=30.0)
            gone_s.append(time.monotonic() - silent)
            (sa,) = far.list_sas()
            phase1.add(sa.spi_i)
            assert near.tunnel()["phase1"]["state"] == "up" and sa.state == "ESTABLISHED"
        slow = slowness()
        requests = {
            (ike.exchange_name, packet.source, ike.message_id)
            for packet in wire.packets()
            if isinstance(ike := packet.content, Ike) and not ike.is_response
        }
        begun = Counter(exchange for exchange, _, _ in requests)
    print(f"gone after {[round(s, 2) for s in gone_s]} s, answers in {answers_ms} ms, {begun}")
    assert len(phase1) == 1
    assert (begun["IKE_SA_INIT"], begun["IKE_AUTH"], begun["CREATE_CHILD_SA"]) == (1, 1, ROUNDS)
    # The ping's program ends a moment after the last packet.
    assert all(ACCEPTED_IDLE_S - 0.5 < s < ACCEPTED_IDLE_S + LATE_S * slow for s in gone_s)
    assert statistics.median(answers_ms[1:]) < ANSWER_MS * slow
