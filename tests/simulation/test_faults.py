"""Faults of the security guide, each with its figure, in worlds made for it; those that ask for
many seeds are in `test_figures.py`, those that ask for every order in `test_interleavings.py`."""

import pytest

from isthmus.ike.core.commands import Rekey, Terminate
from isthmus.policy.connection import Start
from isthmus.simulator.link import Weather
from isthmus.simulator.nat import NatPlan
from isthmus.simulator.pairs import flow, pair
from isthmus.simulator.plan import Cut, Killed, NatForgets, Ordered, Scenario
from isthmus.simulator.world import World


def deliveries(scenario: Scenario) -> tuple[World, list[float]]:
    """Run to the end; the times at which packets of the left side's network came through."""
    world = World(scenario)
    found: list[float] = []
    original = world.checks.delivered_packet

    def delivered(host: object, packet: object, sa: object, now: float) -> None:
        found.append(now)
        original(host, packet, sa, now)  # type: ignore[arg-type]

    world.checks.delivered_packet = delivered  # type: ignore[method-assign]
    outcome = world.run()
    assert outcome.violation is None, outcome.violation
    return world, found


@pytest.mark.parametrize(("cut_s", "bound_s"), [(10.0, 5.0), (600.0, 30.0)])
@pytest.mark.parametrize("seed", range(10))
def test_partition(cut_s: float, bound_s: float, seed: int) -> None:
    """F-05: traffic is back soon after the road is."""
    heal = 100.0 + cut_s
    scenario = pair(
        seed,
        flows=(
            flow("left", "right", 0.5, 1.0, heal + 100),
            flow("right", "left", 0.5, 1.2, heal + 100),
        ),
        incidents=(Cut(100.0, heal, "left", "right", both=True),),
        heal_s=heal,
        end_s=heal + 200.0,
    )
    _, found = deliveries(scenario)
    assert min(t for t in found if t > heal) - heal <= bound_s


def test_a_day_without_the_peer_costs_few_attempts() -> None:
    """F-05: at most 2,000 attempts a peer in 24 h, and traffic is back within 60 s after it."""
    day = 86_400.0
    heal = 100.0 + day
    scenario = pair(
        5,
        flows=(flow("left", "right", 20.0, 1.0, heal + 100),),
        incidents=(Cut(100.0, heal, "left", "right", both=True),),
        heal_s=heal,
        end_s=heal + 200.0,
        left_start=Start.ALWAYS,
    )
    world, found = deliveries(scenario)
    assert world.figures["phase1.negotiating"] <= 2_000
    assert min(t for t in found if t > heal) - heal <= 60.0


@pytest.mark.parametrize("source", ["left", "right"])
def test_one_way_partition_does_not_flap(source: str) -> None:
    """F-06: at most 20 IKE SAs come up and go in an hour in which one direction is dead."""
    target = "right" if source == "left" else "left"
    scenario = pair(
        2,
        flows=(flow("left", "right", 5.0, 1.0, 3900.0), flow("right", "left", 5.0, 1.5, 3900.0)),
        incidents=(Cut(100.0, 3700.0, source, target, both=False),),
        heal_s=3700.0,
        end_s=4000.0,
    )
    world, _ = deliveries(scenario)
    assert world.figures["phase1.up"] <= 2 * 20


@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_nat_forgets(dependent: bool, seed: int) -> None:
    """F-07: towards the peer traffic goes on with the first packet from the new port; from the
    peer within a keepalive's interval; phase 1 is not made again."""
    scenario = pair(
        seed,
        flows=(flow("left", "right", 1.0, 1.0, 250.0), flow("right", "left", 1.0, 5.0, 250.0)),
        incidents=(NatForgets(100.0, "left"),),
        heal_s=101.0,
        end_s=300.0,
        left_nat=NatPlan("198.51.100.1", dependent),
        right_start=Start.LISTEN,
    )
    world, found = deliveries(scenario)
    assert world.figures["phase1.up"] == 2
    assert world.figures["peer.moved"] >= 1
    assert world.checks.last_delivered[0] > 240 and world.checks.last_delivered[1] > 240
    assert len([t for t in found if 100.0 < t < 125.0]) >= 24


@pytest.mark.parametrize("seed", range(10))
def test_peer_reboots(seed: int) -> None:
    """F-08: back at once when the one that rebooted has something to send, else when DPD says so:
    within its bound of 25 s here (silence of 10 s, then 15 s without an answer) and 2 s."""
    scenario = pair(
        seed,
        flows=(flow("left", "right", 0.5, 1.0, 250.0),),
        incidents=(Killed(100.0, 101.0, "right", ike=True, plane=True),),
        heal_s=101.0,
        end_s=300.0,
    )
    _, found = deliveries(scenario)
    assert min(t for t in found if t > 101.0) - 101.0 <= 27.0


@pytest.mark.parametrize("seed", range(10))
def test_plane_goes_on_while_ike_is_killed(seed: int) -> None:
    """F-15: nobody's packet is lost while the IKE process is away nor when it is back."""
    scenario = pair(
        seed,
        flows=(flow("left", "right", 0.1, 1.0, 200.0), flow("right", "left", 0.1, 5.0, 200.0)),
        incidents=(Killed(100.0, 103.0, "right", ike=True, plane=False),),
        heal_s=103.0,
        end_s=300.0,
        lossless=True,
    )
    deliveries(scenario)


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_both_renew_at_once_without_loss(phase: int, seed: int) -> None:
    """F-09, F-10: both sides, again and again, while packets flow both ways: none is lost."""
    moments = [40.0 + 3.0 * n for n in range(20)]
    apart = (seed % 5) * 0.004
    incidents = tuple(
        order
        for at in moments
        for order in (
            Ordered(at, "left", Rekey("to-right", None, phase)),
            Ordered(at + apart, "right", Rekey("to-left", None, phase)),
        )
    )
    scenario = pair(
        seed,
        Weather(delay_s=0.02, jitter_s=0.005),
        flows=(flow("left", "right", 0.05, 1.0, 130.0), flow("right", "left", 0.05, 2.0, 130.0)),
        incidents=incidents,
        heal_s=110.0,
        end_s=350.0,
        lossless=True,
    )
    world, _ = deliveries(scenario)
    assert world.figures[f"phase{phase}.rekeyed"] >= 2 * len(moments)


@pytest.mark.parametrize("seed", range(20))
def test_crossing_deletes_leave_nothing(seed: int) -> None:
    """F-12: delete crosses delete, and delete crosses renewal."""
    orders = [
        Ordered(50.0, "left", Terminate("to-right", hold=True)),
        Ordered(50.0 + 0.005 * (seed % 4), "right", Terminate("to-left", hold=True)),
        Ordered(49.99 + 0.01 * (seed % 3), "right", Rekey("to-left", None, 1 + seed % 2)),
    ]
    scenario = pair(
        seed,
        flows=(flow("left", "right", 1.0, 1.0, 200.0),),
        incidents=tuple(orders),
        heal_s=500.0,
    )
    world = World(scenario)
    world.run_until(120.0)
    for host in world.hosts.values():
        assert host.engine is not None
        census = host.engine.census()
        assert census["ike_sas"] == census["child_sas"] == 0
        assert not host.plane.sas
