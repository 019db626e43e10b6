"""Silence closes phase 2 and nothing else, and the next packet does not notice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.packets import Ike
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

IDLE_S = 2
TIMES = 3
PEERS: tuple[tuple[gateways.Peer, int], ...] = (("isthmus", 2), ("strongswan", 2))
"""And the version of IKE."""
QUICK_MODE = 32


@pytest.fixture
def near(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Isthmus]:
    """Our gateway, whose rule goes idle soon; the far one knows of no such thing."""
    peer, version = request.param
    require_root_and(*(("strongswan",) if peer == "strongswan" else ()))
    with topology.two_sites(tmp_path) as world:
        psk, home = gateways.fresh_psk(), tmp_path / SITE_B.gateway
        if peer == "strongswan":
            gateways.start_strongswan(world, SITE_B, home, psk, version=version)
        else:
            gateways.start_isthmus(world, SITE_B, home, psk, "policy", version=version)
        gateway = Isthmus(world, SITE_A.gateway, tmp_path / SITE_A.gateway)
        tunnel = gateways.tunnel(SITE_A, psk, "policy", version=version)
        (rule,) = tunnel.rules
        soon = replace(rule, settings={"idle": f'"{IDLE_S}s"'})
        gateway.write(replace(tunnel, rules=(soon,)))
        gateway.start()
        yield gateway


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
