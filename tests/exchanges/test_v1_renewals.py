"""IKEv1 renews by beginning anew: either phase, by either side and by both at once."""

import itertools
from collections.abc import Callable

import pytest

from isthmus.ike.core.child import ChildState
from isthmus.ike.core.commands import Terminate
from isthmus.ike.core.events import FirstPacket
from isthmus.ike.lifecycle import superseding
from isthmus.ike.v1 import closing, rivals
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import Lifetimes
from isthmus.values.registry.ikev1 import ExchangeType

from .pair import LEFT, RIGHT, Pair, Side, rule
from .scenes import left_rule, mirrored, right_rule
from .v1 import PFS_V1, PHASE2_V1, kinds, nothing_left, one_pair, site, standing, two_sites, v1_sa

SUPERSEDED_S = superseding.SUPERSEDED_S + superseding.LATER_S
SETTLED_S = 30.0


def old_pair(proposals: tuple[str, ...] = PHASE2_V1, seed: int = 7) -> Pair:
    """Both phases stand since a while."""
    return standing(two_sites(proposals, seed=seed)).advance(SETTLED_S)


def sends(side: Side) -> bool:
    """A packet can leave now."""
    return any(not inbound for _, inbound in side.sas)


def step_agreeing(pair: Pair, letters: tuple[str, ...] = ()) -> None:
    """Deliver in this order and then to the end; at every step each end sends by what the other
    listens on."""
    for letter in letters:
        side = pair.left if letter == "L" else pair.right
        if side.out:
            pair.deliver(side, side.out.pop(0))
            lossless(pair)
    while pair.step():
        lossless(pair)


def lossless(pair: Pair) -> None:
    """A packet of either side, sent now, is taken by the other."""
    pair.agree()
    assert sends(pair.left) and sends(pair.right)


def slowly(pair: Pair, seconds: float, check: Callable[[Pair], None] = lossless) -> None:
    """Let time pass in small steps."""
    for _ in range(int(seconds / 0.05)):
        pair.advance(0.05)
        check(pair)


# --- phase 2 --------------------------------------------------------------------------------


@pytest.mark.parametrize("proposals", [PHASE2_V1, PFS_V1])
@pytest.mark.parametrize("who", ["left", "right"])
def test_phase_2_is_renewed_by_either_side(who: str, proposals: tuple[str, ...]) -> None:
    pair = old_pair(proposals)
    before = pair.left.children()
    pair.rekey(getattr(pair, who))
    step_agreeing(pair)
    slowly(pair, 2)
    one_pair(pair)
    assert not before & pair.left.children()
    for side in (pair.left, pair.right):
        assert len(side.events("phase2.rekeyed")) == 1
        assert not side.events("phase2.down") and side.engine.census()["ike_sas"] == 1


ORDERS = sorted(set(itertools.product("LR", repeat=6)))


def test_both_sides_renew_phase_2_at_once() -> None:
    """Whatever the order of delivery: one pair is left, the same at both ends, nothing lost."""
    for seed, order in enumerate(ORDERS):
        pair = old_pair(seed=1000 + 10 * seed)
        before = pair.left.children()
        pair.rekey(pair.left)
        pair.rekey(pair.right)
        step_agreeing(pair, order)
        slowly(pair, 1)
        pair.advance(20)
        assert not before & pair.left.children()
        one_pair(pair)
        assert states(pair) == [ChildState.INSTALLED] * 2


def states(pair: Pair) -> list[ChildState]:
    """Of all pairs at both ends."""
    sas = [sa for side in (pair.left, pair.right) for sa in side.engine._sas.values()]
    return [child.state for sa in sas for child in sa.children.values()]


@pytest.mark.parametrize("lost", range(6))
def test_both_renew_phase_2_at_once_and_a_message_is_lost(lost: int) -> None:
    for seed in range(8):
        pair = old_pair(seed=5000 + seed)
        before = pair.left.children()
        pair.rekey(pair.left)
        pair.rekey(pair.right)
        for _ in range(lost):
            pair.step()
        side = pair.left if pair.left.out else pair.right
        if side.out:
            side.out.pop(0)
        step_agreeing(pair)
        slowly(pair, 3)
        pair.advance(60)
        assert not before & pair.left.children()
        one_pair(pair)


def test_both_sides_ask_for_phase_2_at_once_over_a_standing_phase_1() -> None:
    """The first pair of a rule, by packets from both networks."""
    for seed, order in enumerate(ORDERS[::3]):
        pair = Pair(
            site("b", RIGHT, tuple(left_rule(n, proposals=PHASE2_V1) for n in (1, 2))),
            site("a", LEFT, tuple(right_rule(n, proposals=PHASE2_V1) for n in (1, 2))),
            seed=9000 + seed,
        )
        pair.packet(pair.left, "r1")
        pair.settle().advance(20)
        pair.packet(pair.left, "r2")
        pair.packet(pair.right, "r2")
        for letter in order:
            side = pair.left if letter == "L" else pair.right
            if side.out:
                pair.deliver(side, side.out.pop(0))
                pair.agree()
        pair.settle().advance(20)
        assert mirrored(pair) and len(pair.left.children()) == 2
        assert len(pair.left.sas) == len(pair.right.sas) == 4
        pair.agree()


def test_the_first_packet_tells_a_responder_that_its_answer_came() -> None:
    """The third message is lost; ESP of the peer is as good."""
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(8):
        pair.step()
    assert pair.lose() == 1
    (spi,) = (spi for spi, inbound in pair.right.sas if inbound)
    assert not sends(pair.right)
    pair.right.feed(FirstPacket(spi))
    assert sends(pair.right)
    pair.advance(3)
    one_pair(pair)


def test_a_renewal_that_is_refused_is_tried_again_and_the_pair_stands_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = old_pair()
    before = pair.left.children()
    with monkeypatch.context() as refusing:
        refusing.setattr(pair.right.engine._tunnels, "admits", lambda sa, name: False)
        pair.rekey(pair.left)
        pair.settle()
    (failed,) = pair.left.events("phase2.rekey_failed")
    assert failed.code == "E201"
    lossless(pair)
    assert pair.left.children() == before
    pair.advance(SUPERSEDED_S + 10)
    assert not before & pair.left.children()
    one_pair(pair)


def test_a_peer_that_does_not_answer_a_renewal_is_dead_only_if_it_answers_nothing() -> None:
    pair = old_pair()
    pair.rekey(pair.left)
    pair.lose()
    pair.advance(120, deliver=False)
    pair.lose()
    assert pair.left.events("peer.dead") and not pair.left.sas
    assert pair.left.policies[("site-b", "lan")] == "hold"


# --- phase 1 --------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["left", "right"])
def test_phase_1_is_renewed_by_either_side_and_hands_its_pairs_over(who: str) -> None:
    pair = old_pair()
    children, before = pair.left.children(), v1_sa(pair.left).spi_i
    pair.rekey(getattr(pair, who), 1)
    step_agreeing(pair)
    slowly(pair, SUPERSEDED_S + 1)
    for side in (pair.left, pair.right):
        assert v1_sa(side).spi_i != before
        assert side.children() == children or mirrored(pair)
        assert side.engine.census()["ike_sas"] == 1
        assert not side.events("phase2.down") and side.view().state == "up"
    assert pair.left.children() == children
    # The successor can do what the old one could.
    for side in (pair.right, pair.left):
        pair.rekey(side)
        step_agreeing(pair)
        pair.advance(15)
    one_pair(pair)
    pair.down(pair.right)
    pair.settle()
    nothing_left(pair)


def test_both_sides_renew_phase_1_at_once() -> None:
    for seed, order in enumerate(sorted(set(itertools.product("LR", repeat=7)))):
        pair = old_pair(seed=3000 + 10 * seed)
        children, before = pair.left.children(), v1_sa(pair.left).spi_i
        pair.rekey(pair.left, 1)
        pair.rekey(pair.right, 1)
        step_agreeing(pair, order)
        pair.advance(2 * SUPERSEDED_S + 5)
        lossless(pair)
        assert v1_sa(pair.left).spi_i == v1_sa(pair.right).spi_i != before
        assert pair.left.children() == children and mirrored(pair)
        pair.rekey(pair.left)
        pair.settle().advance(20)
        one_pair(pair)


@pytest.mark.parametrize("first", ["L", "R"])
@pytest.mark.parametrize("steps", range(10))
def test_phase_1_is_renewed_during_a_renewal_of_phase_2(steps: int, first: str) -> None:
    """A Quick Mode under way over a phase 1 that is replaced meanwhile."""
    for seed in range(4):
        pair = old_pair(PFS_V1, seed=7000 + seed)
        before = pair.left.children()
        one, two = (pair.left, pair.right) if first == "L" else (pair.right, pair.left)
        one.held_computes = []  # its public value takes a while
        pair.rekey(one, 2)
        jobs, one.held_computes = one.held_computes, None
        pair.rekey(two, 1)
        for _ in range(steps):
            pair.step()
            lossless(pair)
        for job in jobs:
            one.compute(job)
        step_agreeing(pair)
        slowly(pair, 1)
        pair.advance(2 * SUPERSEDED_S)
        lossless(pair)
        assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 1
        assert not before & pair.left.children()
        one_pair(pair)


@pytest.mark.parametrize("mute", ["left", "right"])
def test_a_quick_mode_that_its_phase_1_took_along_is_begun_again(mute: str) -> None:
    """The old phase 1 ends while a renewal over it waits for an answer."""
    pair = old_pair()
    before = pair.left.children()
    one: Side = getattr(pair, mute)
    pair.rekey(one, 2)
    one.out.clear()
    over = v1_sa(one)
    pair.rekey(pair.other(one), 1)
    until = pair.now + SUPERSEDED_S + 1
    while pair.now < until:
        for side in (pair.left, pair.right):
            side.out[:] = [
                d
                for d in side.out
                if d.octets[18] != ExchangeType.QUICK_MODE or d.octets[:8] != over.spi_i
            ]
        if not pair.step():
            pair.advance(0.25, deliver=False)
    assert v1_sa(one) is not over
    lossless(pair)
    pair.advance(40)
    assert not before & pair.left.children(), "renewed by the successor"
    one_pair(pair)


def test_a_renewal_of_phase_1_that_fails_is_tried_again() -> None:
    pair = old_pair()
    before = v1_sa(pair.left)
    pair.rekey(pair.left, 1)

    def muffle() -> None:
        pair.left.out[:] = [d for d in pair.left.out if d.octets[18] != ExchangeType.MAIN_MODE]

    for _ in range(400):
        muffle()
        pair.settle()
        pair.advance(0.25, deliver=False)
    assert pair.left.events("phase1.failed")
    assert (before.is_open and not before.rekeying) or len(pair.left.engine._sas) == 2
    pair.settle().advance(60)
    assert v1_sa(pair.left) is not before and len(pair.left.children()) == 1
    lossless(pair)
    assert not pair.left.events("phase2.down")


@pytest.mark.parametrize("who", ["left", "right"])
def test_phase_1_deleted_by_the_peer_takes_its_pairs_along_without_an_heir(who: str) -> None:
    pair = old_pair()
    pair.down(getattr(pair, who))
    pair.settle()
    other = pair.other(getattr(pair, who))
    assert not other.events("peer.dead") and not sends(other)
    assert other.policies[(other.view().name, "lan")] == "hold"
    nothing_left(pair)


@pytest.mark.parametrize("who", ["left", "right"])
def test_phase_1_deleted_by_the_peer_leaves_its_pairs_to_the_heir(who: str) -> None:
    """As strongSwan does ten seconds after a renewal, and others at once."""
    pair = old_pair()
    children = pair.left.children()
    pair.rekey(pair.left, 1)
    step_agreeing(pair)
    side: Side = getattr(pair, who)
    (old,) = (s for s in side.engine._sas.values() if s.superseded)
    assert isinstance(old, SaV1)
    ctx = side.engine._ctx
    closing.delete(ctx, old, "the test wants it so")
    effects = tuple(ctx.effects)
    ctx.effects.clear()
    side.perform(effects)
    step_agreeing(pair)
    assert pair.left.children() == children and mirrored(pair)
    slowly(pair, SUPERSEDED_S + 1)
    assert pair.left.engine.census()["ike_sas"] == 1
    pair.rekey(pair.right)
    step_agreeing(pair)
    one_pair(pair)


def test_both_sides_make_phase_1_at_once() -> None:
    """Two of them stand for a moment, with a pair each; then one with one."""
    for seed, order in enumerate(sorted(set(itertools.product("LR", repeat=7)))[::2]):
        pair = two_sites(seed=11_000 + 10 * seed)
        pair.packet(pair.left)
        pair.packet(pair.right)
        for letter in order:
            side = pair.left if letter == "L" else pair.right
            if side.out:
                pair.deliver(side, side.out.pop(0))
                pair.agree()
        while pair.step():
            pair.agree()
        slowly(pair, 1, Pair.agree)
        pair.advance(2 * SUPERSEDED_S + 5)
        lossless(pair)
        assert v1_sa(pair.left).spi_i == v1_sa(pair.right).spi_i
        one_pair(pair)


@pytest.mark.parametrize("who", ["left", "right"])
def test_a_delete_of_a_pair_crosses_its_renewal(who: str) -> None:
    pair = old_pair()
    pair.rekey(getattr(pair, who))
    other = pair.other(getattr(pair, who))
    other.command(Terminate(other.view().name, "lan", hold=True))
    pair.settle()
    pair.advance(60)
    pair.agree()
    assert other.children() == set(), "held down there"
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"]


def test_crossing_ends_of_everything() -> None:
    pair = old_pair()
    pair.down(pair.left)
    pair.down(pair.right)
    pair.settle()
    assert pair.left.events("command.done") and pair.right.events("command.done")
    nothing_left(pair)


def test_time_alone_renews_both_phases_for_a_day() -> None:
    """Lifetimes with margin and fuzz: always one pair that carries, and nothing piles up."""
    near = rule(proposals=PHASE2_V1)
    far = rule("lan", "10.2.0.0/24", "10.1.0.0/24", PHASE2_V1)
    terms = {"phase1_lifetimes": Lifetimes(7200, 600)}
    pair = standing(
        Pair(site("site-b", RIGHT, (near,), **terms), site("site-a", LEFT, (far,), **terms))
    )
    for _ in range(48):
        pair.advance(1800)
        lossless(pair)
        assert pair.left.view().state == "up"
    assert len(pair.left.events("phase2.rekeyed")) >= 23
    assert len(pair.left.events("phase1.rekeyed")) + len(pair.right.events("phase1.rekeyed")) >= 10
    for side in (pair.left, pair.right):
        assert not side.events("phase2.down") and not side.events("phase2.rekey_failed")
    pair.advance(60)
    one_pair(pair)
    census = pair.left.engine.census()
    assert census["ike_sas"] == census["child_sas"] == 1
    assert census["waiting_computes"] == census["dead_timers"] == census["fragment_octets"] == 0
    assert len(v1_sa(pair.left).exchanges) <= 64
    assert rivals.OLD_PAIR_S < SETTLED_S and kinds(pair.wire)
