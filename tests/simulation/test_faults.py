"""Faults of the security guide, each with its figure, in worlds made for it; those that ask for
many seeds are in `test_figures.py`, those that ask for every order in `test_interleavings.py`."""

from collections import Counter
from collections.abc import Callable
from hashlib import sha256

import pytest

from isthmus.ike.core.commands import Rekey, Terminate
from isthmus.policy.connection import Start
from isthmus.simulator.host import Host
from isthmus.simulator.link import Weather
from isthmus.simulator.nat import NatPlan
from isthmus.simulator.packets import Ike, Outer, Packet
from isthmus.simulator.pairs import Timings, flow, pair
from isthmus.simulator.plan import Cut, Killed, NatForgets, Ordered, Scenario
from isthmus.simulator.plane import Sa
from isthmus.simulator.world import World
from isthmus.values.address import Endpoint


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


DAMAGE_FROM_S = 10.0


def told_of_it_by(lines: list[str]) -> list[str]:
    """What engines and planes did, without a word on what they refused."""
    refusals = ("datagram.dropped", " sends ", "mended", "exchange.")
    return [line for line in lines if not any(word in line for word in refusals)]


@pytest.mark.parametrize("seed", range(6))
def test_damage_changes_nothing_that_loss_would_not(seed: int) -> None:
    """F-03: where one packet in a hundred has a flipped bit, IKE and ESP alike, both sides do the
    same at the same times as in a world in which those packets are lost. A stranger's answer (RFC
    7296 §2.21.2) is not believed either."""
    told = []
    damaged_in_all = 0
    for harm in ("damage", "loss"):
        incidents = tuple(
            Ordered(20.0 + 10.0 * n, side, Rekey(name, None, 1 + n % 2))
            for n in range(12)
            for side, name in (("left", "to-right"), ("right", "to-left"))
        )
        scenario = pair(
            seed,
            Weather(delay_s=0.02),
            flows=(flow("left", "right", 0.2, 1.0, 250.0), flow("right", "left", 0.2, 1.5, 250.0)),
            incidents=incidents,
            heal_s=170.0,
            end_s=300.0,
            lasts=Timings(every_s=2.0),
        )
        lines: list[str] = []
        world = World(scenario, lines.append)
        arrive, times = world._arrive, Counter[bytes]()

        def harmed(
            host: Host,
            outer: Outer,
            damaged: int | None,
            *,
            world: World = world,
            times: Counter[bytes] = times,
            harm: str = harm,
            arrive: Callable[[Host, Outer, int | None], None] = arrive,
        ) -> None:
            """The packet's own octets decide, so that both worlds harm the same ones."""
            nonlocal damaged_in_all
            content = outer.content
            octets = content.octets if isinstance(content, Ike) else repr(content).encode()
            times[octets] += 1
            lot = sha256(octets + times[octets].to_bytes(4, "big")).digest()
            share = 0.05 if isinstance(content, Ike) else 0.01
            lost = int.from_bytes(lot[:4], "big") < share * 2**32
            is_answer_to_harm = isinstance(content, Ike) and len(octets) == 36
            if not DAMAGE_FROM_S < world.clock.elapsed < 170.0 or not lost:
                arrive(host, outer, damaged)
            elif harm == "damage":
                damaged_in_all += not is_answer_to_harm
                arrive(host, outer, int.from_bytes(lot[4:8], "big"))

        world._arrive = harmed  # type: ignore[method-assign]
        outcome = world.run()
        assert outcome.violation is None, outcome.violation
        told.append(told_of_it_by(lines))
    assert damaged_in_all > 20
    assert told[0] == told[1]


@pytest.mark.parametrize("seed", range(10))
def test_answer_lost_and_the_peer_gone_leaves_no_orphan(seed: int) -> None:
    """F-04: the answer to IKE_AUTH is lost and whoever asked gives up: what the other end has is
    gone after 5 min, from the plane too."""
    answered = 1.0 + 0.05 * 3
    scenario = pair(
        seed,
        Weather(delay_s=0.05),
        flows=(flow("left", "right", 1.0, 1.0, 1.5),),
        incidents=(
            Cut(answered + 0.02, 1e5, "right", "left", both=False),
            Killed(5.0 + 3.0 * seed, 1e5, "left", ike=True, plane=True),
        ),
        heal_s=1e6,
        end_s=400.0,
    )
    world = World(scenario)
    world.run_until(3.0)
    right = world.hosts["right"]
    assert right.engine is not None
    assert right.engine.census()["child_sas"] == 1 and right.plane.sas, "half an SA stands there"
    world.run_until(300.0)
    census = right.engine.census()
    assert census["ike_sas"] == census["child_sas"] == census["half_open"] == 0
    assert not right.plane.sas


@pytest.mark.parametrize("seed", range(10))
def test_answer_lost_and_the_peer_starts_anew(seed: int) -> None:
    """F-04: whoever asked is started again and asks again: one IKE SA is left."""
    scenario = pair(
        seed,
        Weather(delay_s=0.05),
        flows=(flow("left", "right", 1.0, 1.0, 250.0),),
        incidents=(
            Cut(1.17, 3.0 + seed, "right", "left", both=False),
            Killed(2.0, 2.5 + seed, "left", ike=True, plane=True),
        ),
        heal_s=15.0,
        end_s=280.0,
    )
    assert World(scenario).run().violation is None


@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_rebinding_costs_little_and_forged_ones_nothing(dependent: bool, seed: int) -> None:
    """F-07: the NAT in front of left forgets, and nobody is told. From left no packet is lost;
    towards it they come again after its next packet or keepalive, at most 20 s. Copies of what it
    has sent, whole or damaged, from another address, lead nobody away."""
    scenario = pair(
        seed,
        flows=(flow("left", "right", 7.0, 1.0, 200.0), flow("right", "left", 0.5, 5.0, 200.0)),
        incidents=(NatForgets(100.0 + seed, "left"),),
        heal_s=101.0 + seed,
        end_s=300.0,
        left_nat=NatPlan("198.51.100.1", dependent),
        right_start=Start.LISTEN,
    )
    world = World(scenario)
    right, attacker = world.hosts["right"], Endpoint("203.0.113.66", 4500)
    arrivals: dict[str, list[float]] = {"left": [], "right": []}
    delivered, arrive = world.checks.delivered_packet, world._arrive
    moved: list[str] = []
    forged = 0

    def noted(host: Host, packet: Packet, sa: Sa, now: float) -> None:
        arrivals[host.name].append(now)
        delivered(host, packet, sa, now)

    def copied(host: Host, outer: Outer, damaged: int | None) -> None:
        nonlocal forged
        arrive(host, outer, damaged)
        if host is right and outer.source.address != attacker.address:
            again = Outer(attacker, outer.target, outer.content)
            for bit in (None, 321, 1234 + seed):
                forged += 1
                host.arrive(again, bit)
            moved.extend(str(s.remote) for s in right.plane.sas.values())

    world.checks.delivered_packet = noted  # type: ignore[method-assign]
    world._arrive = copied  # type: ignore[method-assign]
    outcome = world.run()
    assert outcome.violation is None, outcome.violation
    assert forged > 100 and not [m for m in moved if attacker.address in m]
    assert len(arrivals["right"]) == 29, "every 7 s from 1 s to 200 s: none was lost"
    back = min(at for at in arrivals["left"] if at > 100.1 + seed)
    assert back - (100.0 + seed) <= 20.0
    assert world.figures["phase1.up"] == 2
