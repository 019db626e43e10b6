"""`idle`: silence closes phase 2, phase 1 stays, traffic brings phase 2 back by one exchange."""

import pytest

from isthmus.policy.connection import Start
from isthmus.simulator.link import Weather
from isthmus.simulator.pairs import Timings, flow, pair
from isthmus.simulator.plan import FlowPlan, Killed
from isthmus.simulator.world import World

IDLE_S = 10.0
ROUNDS = 8
ROUND_S = 40.0
BURST_S = 15.0


def bursts(source: str, target: str, until_s: float, **more: float) -> FlowPlan:
    """Users who talk for a while in each round, and are silent for longer than the idle time."""
    plan = flow(source, target, 1.0, more.get("start_s", 1.0), until_s)
    pauses = tuple((n * ROUND_S + BURST_S, (n + 1) * ROUND_S) for n in range(ROUNDS))
    return FlowPlan(**{f: getattr(plan, f) for f in plan.__slots__ if f != "pauses"}, pauses=pauses)


def exchanges(world: World, lines: list[str]) -> dict[str, int]:
    """First sendings of requests, by exchange."""
    return {
        name: sum(f"exchange.sent to-left: {name} request" in line for line in lines)
        + sum(f"exchange.sent to-right: {name} request" in line for line in lines)
        for name in ("IKE_SA_INIT", "IKE_AUTH", "CREATE_CHILD_SA")
    }


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_phase_2_goes_and_comes_and_phase_1_stays(seed: int, both: bool) -> None:
    end_s = ROUNDS * ROUND_S
    flows = [bursts("left", "right", end_s)]
    if both:
        flows.append(bursts("right", "left", end_s, start_s=5.0))
    lines: list[str] = []
    world = World(
        pair(
            seed,
            Weather(delay_s=(0.001, 0.02, 0.2, 0.5)[seed], jitter_s=0.01),
            tuple(flows),
            heal_s=1e6,
            end_s=end_s,
            lossless=True,
            lasts=Timings(every_s=3.0, idle_s=IDLE_S),
        ),
        lines.append,
    )
    world.run_until(end_s)
    asked = exchanges(world, lines)
    # DPD asks every three seconds of the silence and is no traffic.
    assert world.figures["phase2.idle"] >= ROUNDS
    assert asked["IKE_SA_INIT"] == asked["IKE_AUTH"] == 1, "phase 1 is made once"
    assert world.figures["phase1.up"] == 2
    # Each burst but the first brings phase 2 back by one exchange; where both sides talk in one
    # instant, by one of each and the Delete of one of the two.
    assert ROUNDS - 1 <= asked["CREATE_CHILD_SA"] <= (2 if both else 1) * (ROUNDS - 1)
    assert not world.checks.outstanding, "no packet is lost"
    for host in world.hosts.values():
        assert host.engine is not None
        census = host.engine.census()
        assert (census["ike_sas"], census["child_sas"]) == (1, 0)
        assert not host.plane.sas


@pytest.mark.parametrize("seed", range(3))
def test_renewals_do_not_reset_the_clock(seed: int) -> None:
    """Phase 2 is renewed every few seconds, phase 1 too, and is closed ten seconds after the last
    packet for all that."""
    lines: list[str] = []
    world = World(
        pair(
            seed,
            flows=(flow("left", "right", 0.5, 1.0, 20.0),),
            heal_s=1e6,
            end_s=100.0,
            lasts=Timings(every_s=3.0, phase1_s=8.0, phase2_s=5.0, idle_s=IDLE_S),
        ),
        lines.append,
    )
    world.run_until(100.0)
    assert world.figures["phase2.rekeyed"] > 4 and world.figures["phase1.rekeyed"] > 4
    closed = [float(line.split()[0]) for line in lines if " phase2.idle " in line]
    last = max(float(line.split()[0]) for line in lines if " seals packet " in line)
    assert closed and all(last + IDLE_S <= at <= last + IDLE_S + 0.1 for at in closed)
    after = [line for line in lines if " phase2.rekeyed " in line]
    assert float(after[-1].split()[0]) < last + IDLE_S + 1.0
    assert all(h.engine is not None and h.engine.census()["ike_sas"] == 1 for h in both_of(world))


def both_of(world: World) -> tuple[object, ...]:
    return tuple(world.hosts.values())


def test_phase_1_may_end_too() -> None:
    world = World(
        pair(
            flows=(flow("left", "right", 1.0, 1.0, 20.0),),
            heal_s=1e6,
            end_s=100.0,
            lasts=Timings(idle_s=IDLE_S, phase1_idle_s=20.0),
        )
    )
    world.run_until(45.0)
    assert all(h.engine is not None and h.engine.census()["ike_sas"] == 1 for h in both_of(world))
    world.run_until(60.0)
    assert all(h.engine is not None and h.engine.census()["ike_sas"] == 0 for h in both_of(world))


def test_a_rule_that_is_always_up_is_never_closed() -> None:
    world = World(
        pair(
            flows=(flow("left", "right", 1.0, 1.0, 5.0),),
            heal_s=1e6,
            end_s=100.0,
            left_start=Start.ALWAYS,
            right_start=Start.ALWAYS,
            lasts=Timings(idle_s=IDLE_S),
        )
    )
    world.run_until(100.0)
    assert "phase2.idle" not in world.figures and "phase2.down" not in world.figures


def test_silence_that_a_killed_process_was_told_of_is_told_to_the_next() -> None:
    """The IKE process dies just before the rule is silent for long enough, and is away meanwhile:
    what it left is replaced at once by the next, and closed when that was silent as long."""
    world = World(
        pair(
            flows=(flow("left", "right", 1.0, 1.0, 20.5),),
            incidents=(Killed(29.0, 35.0, "left", ike=True, plane=False),),
            heal_s=1e6,
            end_s=200.0,
            lasts=Timings(idle_s=IDLE_S),
        )
    )
    world.run_until(200.0)
    for host in world.hosts.values():
        assert not host.plane.sas
