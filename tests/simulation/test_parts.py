"""Clock, road, NAT box and shrinking, each by itself."""

from random import Random

import pytest

from isthmus.simulator.clock import START, Clock
from isthmus.simulator.host import flipped
from isthmus.simulator.link import COPIES_MAX, Link, Weather
from isthmus.simulator.nat import NatBox, NatPlan
from isthmus.simulator.pairs import flow, pair
from isthmus.simulator.plan import Cut, NatForgets
from isthmus.simulator.run import main
from isthmus.simulator.shrink import shrunk
from isthmus.simulator.world import World
from isthmus.values.address import Endpoint
from isthmus.values.time import Instant

INSIDE, PEER, OTHER = (
    Endpoint("10.0.0.2", 4500),
    Endpoint("192.0.2.1", 4500),
    Endpoint("192.0.2.9", 1),
)


def test_clock_does_things_in_order_of_time_then_of_asking() -> None:
    clock, done = Clock(), []
    clock.after(2.0, lambda: done.append("c"))
    clock.after(1.0, lambda: done.append("a"))
    clock.after(1.0, lambda: done.append("b"))
    clock.at(START - 5.0, lambda: done.append("past"))
    while clock.step(10.0):
        continue
    assert done == ["past", "a", "b", "c"]
    assert clock.elapsed == 2.0


def test_clock_stops_at_the_end() -> None:
    clock = Clock()
    clock.after(5.0, lambda: None)
    assert not clock.step(4.9)
    assert clock.elapsed == 0.0


def test_road_loses_repeats_and_damages_as_often_as_it_says() -> None:
    link = Link(Weather(0.1, 0.05, loss=0.2, repeat=0.3, damage=0.1), Random(1))
    fates = [link.carry("a", "b") for _ in range(20_000)]
    arrivals = [a for fate in fates for a in fate]
    assert abs(sum(not f for f in fates) / 20_000 - 0.2) < 0.01
    assert abs(sum(len(f) > 1 for f in fates) / 16_000 - 0.3) < 0.02
    assert max(len(f) for f in fates) == COPIES_MAX
    assert abs(sum(a.flipped_bit is not None for a in arrivals) / len(arrivals) - 0.1) < 0.01
    assert all(0.1 <= a.delay_s <= 0.15 for a in arrivals)


def test_cuts_of_one_direction_add_up() -> None:
    link = Link(Weather(), Random(1))
    link.cut("a", "b")
    link.cut("a", "b")
    assert not link.carry("a", "b") and link.carry("b", "a")
    link.mend("a", "b")
    assert not link.carry("a", "b")
    link.mend("a", "b")
    assert link.carry("a", "b")


@pytest.mark.parametrize("dependent", [True, False])
def test_nat_maps_answers_and_forgets(dependent: bool) -> None:
    box = NatBox(NatPlan("198.51.100.1", dependent, timeout_s=60.0))
    seen = box.outward(INSIDE, PEER, Instant(0.0))
    assert box.outward(INSIDE, PEER, Instant(30.0)) == seen
    assert (box.outward(INSIDE, OTHER, Instant(30.0)) == seen) is not dependent
    assert box.inward(PEER, seen.port, Instant(80.0)) == INSIDE
    assert (box.inward(OTHER, seen.port, Instant(80.0)) is None) is dependent
    assert box.inward(PEER, seen.port, Instant(91.0)) is None, "silence of more than 60 s"
    assert box.outward(INSIDE, PEER, Instant(91.0)) != seen
    fresh = box.outward(INSIDE, PEER, Instant(92.0))
    box.forget()
    assert box.inward(PEER, fresh.port, Instant(92.0)) is None
    assert box.outward(INSIDE, PEER, Instant(92.0)) != fresh


def test_a_flipped_bit_is_one_bit() -> None:
    octets = bytes(range(40))
    changed = flipped(octets, 12_345_678)
    assert sum((a ^ b).bit_count() for a, b in zip(octets, changed, strict=True)) == 1


def test_shrinking_keeps_what_the_failure_needs() -> None:
    """The cut that never mends in time is enough; the others do not matter."""
    harmless = tuple(NatForgets(10.0 + n, "left") for n in range(6))
    fatal = Cut(30.0, 10_000.0, "left", "right", both=True)
    scenario = pair(
        flows=(flow("left", "right", 1.0, 1.0, 400.0),),
        incidents=(*harmless[:3], fatal, *harmless[3:]),
        heal_s=40.0,
        end_s=400.0,
    )
    outcome = World(scenario).run()
    assert outcome.violation is not None and outcome.violation.rule == "does_not_talk"
    assert shrunk(scenario, outcome) == {3}


def test_command_line_names_a_good_world_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "7"]) == 0
    assert "world 7: all is well" in capsys.readouterr().out
    assert main(["--seed", "7", "--keep", "none"]) == 0
    assert "incident 0" not in capsys.readouterr().out
    assert main(["--start", "3", "--count", "2", "--jobs", "1"]) == 0
    assert "2 worlds, 0 with a violation" in capsys.readouterr().out
