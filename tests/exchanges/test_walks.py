"""Random walks: two sides that do whatever users, roads and slow machines may do to them, and then
a quiet time, after which everything must be in order again."""

from collections.abc import Callable
from random import Random

import pytest

from isthmus.ike.core.commands import Terminate
from isthmus.ike.core.effects import ArmPolicy

from .pair import Pair, Side
from .scenes import ike_sas, mirrored, states, two_rules

WALKS = 160
WALKS_OF_A_TEST = 20
FIRST_SEED = 20_000
QUIET_S = 420.0
"""Longer than a peer is given to answer, and longer than the pause before any retry."""
RULES = ("r1", "r2")
LINGERING = 5.0


class Walk:
    """One pair of sides and the chance that moves them."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.pair: Pair = two_rules(FIRST_SEED + 10 * seed)
        self.moves: tuple[tuple[float, Callable[[Side], None]], ...] = (
            (0.15, self.packet),
            (0.07, lambda side: self.pair.rekey(side, 1)),
            (0.10, lambda side: self.pair.rekey(side, 2)),
            (0.03, self.lose),
            (0.02, self.pair.down),
            (0.02, self.down_rule),
            (0.03, self.be_slow),
            (0.08, self.finish_job),
            (0.35, self.deliver),
            (0.10, self.wait),
        )

    def run(self) -> "Walk":
        """Some moves, and then everything that is under way comes to its end."""
        weights = [weight for weight, _ in self.moves]
        for _ in range(self.chance.randint(5, 60)):
            ((_, move),) = self.chance.choices(self.moves, weights)
            move(self.chance.choice((self.pair.left, self.pair.right)))
        for side in (self.pair.left, self.pair.right):
            held, side.held_computes = side.held_computes or [], None
            self.chance.shuffle(held)
            for job in held:
                side.compute(job)
        self.pair.settle().advance(QUIET_S)
        return self

    def packet(self, side: Side) -> None:
        """Interesting traffic."""
        self.pair.packet(side, self.chance.choice(RULES))

    def lose(self, side: Side) -> None:
        """The oldest datagram on its way is lost."""
        if side.out:
            side.out.pop(0)

    def down_rule(self, side: Side) -> None:
        """The user closes a rule."""
        side.command(Terminate(side.view().name, self.chance.choice(RULES)))

    def be_slow(self, side: Side) -> None:
        """From now on this side's slow jobs wait."""
        if side.held_computes is None:
            side.held_computes = []

    def finish_job(self, side: Side) -> None:
        """Any slow job ends."""
        if side.held_computes:
            which = self.chance.randrange(len(side.held_computes))
            side.compute(side.held_computes.pop(which))

    def deliver(self, side: Side) -> None:
        """Any datagram arrives."""
        if side.out:
            which = self.chance.randrange(len(side.out))
            self.pair.deliver(side, side.out.pop(which))

    def wait(self, side: Side) -> None:
        """Time passes, and timers fire."""
        self.pair.advance(self.chance.choice((0.1, 0.5, 1.0, 3.0)), deliver=False)


def nothing_hangs(pair: Pair) -> None:
    """After a quiet time nothing is half done, and no packet is held in silence for ever."""
    for side in (pair.left, pair.right):
        assert not {"negotiating", "rekeying"} & set(states(side).values()), side.name
        shown = {c.state for r in side.view().rules for c in r.children}
        assert shown <= {"installed"}, side.name
        assert side.engine.census()["waiting_computes"] == 0, side.name
        for rule in side.view().rules:
            if side.policies.get((side.view().name, rule.name)) == "hold_quiet":
                due = rule.failure.retry_in_s if rule.failure is not None else None
                assert due, f"{side.name} {rule.name} holds packets and waits for nothing"


def traffic_heals(pair: Pair) -> None:
    """Packets bring up whatever is down, and both sides hold the same, once."""
    for _ in range(30):
        for side in (pair.left, pair.right):
            for name, state in states(side).items():
                if state != "up":
                    pair.packet(side, name)
            pair.settle()
        pair.advance(LINGERING)
    for side in (pair.left, pair.right):
        assert states(side) == {"r1": "up", "r2": "up"}, side.name
        inbound = {spi for spi, is_inbound in side.sas if is_inbound}
        assert inbound == {spi for spi, _ in side.children()}, "the plane holds what status shows"
    assert ike_sas(pair) == (1, 1)
    assert mirrored(pair)
    assert len(pair.left.children()) == len(RULES), "one pair for each rule"
    pair.agree()


@pytest.mark.parametrize("first", range(0, WALKS, WALKS_OF_A_TEST))
def test_walks_end_in_order(first: int) -> None:
    for seed in range(first, first + WALKS_OF_A_TEST):
        try:
            walk = Walk(seed).run()
            nothing_hangs(walk.pair)
            traffic_heals(walk.pair)
        except AssertionError as wrong:
            wrong.add_note(f"in walk {seed}")
            raise


def test_walks_go_where_they_should() -> None:
    """Moves that never met a collision, a loss or a refusal would prove nothing."""
    met: set[str] = set()
    for seed in range(WALKS_OF_A_TEST):
        pair = Walk(seed).run().pair
        for side in (pair.left, pair.right):
            met |= {h.event for h in side.happenings}
            met |= {e.on_no_sa for e in side.effects if isinstance(e, ArmPolicy)}
    wanted = {"phase1.rekeyed", "phase2.rekeyed", "phase2.down", "exchange.repeated", "hold_quiet"}
    assert wanted <= met
