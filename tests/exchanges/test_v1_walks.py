"""Random walks over IKEv1: users, roads and slow machines at work, and order afterwards."""

import random

import pytest

from isthmus.ike.core.events import RuleIdle

from .pair import LEFT, RIGHT, Pair, Side
from .scenes import ike_sas, left_rule, mirrored, right_rule
from .test_crossing_walks import NEVER, walk
from .test_walks import FIRST_SEED, RULES, WALKS_OF_A_TEST, Walk, nothing_hangs, traffic_heals
from .v1 import PFS_V1, PHASE2_V1, site, standing, two_sites

WALKS = 160
CROSSINGS = 60


class WalkV1(Walk):
    """The same moves, other messages."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        proposals = PFS_V1 if seed % 2 else PHASE2_V1
        self.pair: Pair = Pair(
            site("b", RIGHT, tuple(left_rule(n, proposals=proposals) for n in (1, 2))),
            site("a", LEFT, tuple(right_rule(n, proposals=proposals) for n in (1, 2))),
            seed=FIRST_SEED + 10 * seed,
        )
        self.moves = (
            (0.15, self.packet),
            (0.07, lambda side: self.pair.rekey(side, 1)),
            (0.10, lambda side: self.pair.rekey(side, 2)),
            (0.03, self.lose),
            (0.02, lambda side: self.pair.down(side)),
            (0.02, self.down_rule),
            (0.03, self.be_slow),
            (0.08, self.finish_job),
            (0.35, self.deliver),
            (0.10, self.wait),
        )


class BadRoad(WalkV1):
    """Much is lost, some comes twice, and rules fall silent."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.moves += ((0.09, self.lose), (0.05, self.double), (0.03, self.idle))

    def double(self, side: Side) -> None:
        """A datagram arrives, and will once more."""
        if side.out:
            self.pair.deliver(side, self.chance.choice(side.out))

    def idle(self, side: Side) -> None:
        """No traffic for long."""
        side.feed(RuleIdle(side.view().name, self.chance.choice(RULES)))


@pytest.mark.parametrize("kind", [WalkV1, BadRoad])
@pytest.mark.parametrize("first", range(0, WALKS, WALKS_OF_A_TEST))
def test_walks_end_in_order(first: int, kind: type[WalkV1]) -> None:
    for seed in range(first, first + WALKS_OF_A_TEST):
        try:
            pair = kind(seed).run().pair
            nothing_hangs(pair)
            traffic_heals(pair)
        except AssertionError as wrong:
            wrong.add_note(f"in walk {seed}")
            raise


@pytest.mark.parametrize("phases", [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_both_renew_at_once_and_one_of_each_is_left(phases: tuple[int, int]) -> None:
    """In every order that chance finds; nobody sends on a pair that the other end has not."""
    for seed in range(CROSSINGS):
        pair = standing(two_sites(PFS_V1, seed=10 * seed)).advance(30)
        before = pair.left.children()
        walk(pair, phases, random.Random(seed))
        pair.settle().advance(40)
        assert ike_sas(pair) == (1, 1), seed
        assert mirrored(pair) and len(pair.left.children()) == 1, seed
        assert len(pair.left.sas) == len(pair.right.sas) == 2, seed
        assert 2 not in phases or pair.left.children().isdisjoint(before), seed
        for side in (pair.left, pair.right):
            assert [h for name in NEVER[1:] for h in side.events(name)] == [], seed
        pair.agree()
