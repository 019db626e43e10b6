"""Both ends renew at once, in every order that chance finds (RFC 7296 §2.8.1, §2.25).

Each step of a walk is one of those that could come next: a command, the oldest datagram of either
side, any of the slow jobs under way. Nothing is lost, so ten seconds later one IKE SA and one pair
are left, and nobody was told that a phase went down. Meanwhile nobody sends on a pair that the
other end has not: its packets would have to be kept until the other end has agreed the keys.
"""

import random

import pytest

from isthmus.values.spi import Spi

from .pair import Pair, Side
from .scenes import ike_sas, mirrored

WALKS = 100
NEVER = ("phase1.down", "phase1.failed", "phase2.down", "phase2.failed")


def sends_on(side: Side) -> Spi:
    """The newest outbound SA that is not on standby, as a plane chooses."""
    return [spi for spi, inbound in side.sas if not inbound and not side.standby[spi]][-1]


def walk(pair: Pair, phases: tuple[int, int], chance: random.Random) -> None:
    """Both commands, and everything that follows from them."""
    sides = (pair.left, pair.right)
    for side in sides:
        side.held_computes = []
        side.happenings.clear()
    told = [(pair.left, phases[0]), (pair.right, phases[1])]
    chance.shuffle(told)
    while True:
        steps: list[tuple[str, Side]] = [("tell", told[0][0])] if told else []
        for side in sides:
            steps += [("deliver", side)] if side.out else []
            steps += [("compute", side)] if side.held_computes else []
        if not steps:
            break
        step, side = chance.choice(steps)
        if step == "tell":
            pair.rekey(*told.pop(0))
        elif step == "deliver":
            pair.deliver(side, side.out.pop(0))
        else:
            assert side.held_computes
            side.compute(side.held_computes.pop(chance.randrange(len(side.held_computes))))
        for side in sides:
            assert (sends_on(side), True) in pair.other(side).sas
    for side in sides:
        side.held_computes = None


@pytest.mark.parametrize("phases", [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_both_renew_at_once_and_one_of_each_is_left(phases: tuple[int, int]) -> None:
    crossed = 0
    for seed in range(WALKS):
        pair = Pair(seed=10 * seed).establish()
        before = pair.left.children()
        walk(pair, phases, random.Random(seed))
        pair.advance(5)
        assert ike_sas(pair) == (1, 1), seed
        # Where one of the two was told to try again, it has, and the old pair has to fall silent.
        pair.advance(15)
        assert mirrored(pair) and len(pair.left.children()) == 1, seed
        assert len(pair.left.sas) == len(pair.right.sas) == 2, seed
        assert 2 not in phases or pair.left.children().isdisjoint(before), seed
        for side in (pair.left, pair.right):
            assert [h for name in NEVER for h in side.events(name)] == [], seed
            crossed += len(side.events("phase1.collision") + side.events("phase2.collision"))
        pair.agree()
    assert crossed > WALKS // 4 or phases[0] != phases[1], "they do cross"
