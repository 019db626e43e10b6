"""CREATE_CHILD_SA: renewals by either side and by both at once (RFC 7296 §1.3, §2.8, §2.25)."""

import itertools

import pytest

from isthmus.ike.core.pairs import LINGER_S

from .pair import LEFT, RIGHT, Pair, Side, connection, rule


def one_pair(pair: Pair) -> None:
    """Exactly one pair of SAs stands on each side, crosswise."""
    assert pair.left.children() == {(o, i) for i, o in pair.right.children()}
    assert len(pair.left.children()) == 1
    pair.advance(LINGER_S + 1)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


@pytest.mark.parametrize("pfs", [True, False])
@pytest.mark.parametrize("who", ["left", "right"])
def test_child_rekey(who: str, pfs: bool) -> None:
    words = ("aes256gcm16-x25519",) if pfs else ("aes256gcm16",)
    pair = Pair(
        connection("b", RIGHT, (rule(proposals=words),)),
        connection("a", LEFT, (rule("lan", "10.2.0.0/24", "10.1.0.0/24", words),)),
    )
    before = pair.establish().left.children()
    pair.rekey(getattr(pair, who))
    pair.settle()
    assert pair.left.children() != before
    one_pair(pair)


def test_responder_waits_before_it_sends_on_the_new_pair() -> None:
    """The responder's new outbound SA is on standby until the old pair is deleted."""
    pair = Pair().establish()
    pair.rekey(pair.left)
    pair.step(), pair.step()  # CREATE_CHILD_SA there, its answer back
    new_out = [spi for (spi, inbound) in pair.right.sas if not inbound]
    assert sorted(pair.right.standby[spi] for spi in new_out) == [False, True]
    pair.settle()
    assert not any(pair.right.standby[spi] for (spi, i) in pair.right.sas if not i)
    one_pair(pair)


@pytest.mark.parametrize("who", ["left", "right"])
def test_ike_rekey_hands_children_over(who: str) -> None:
    pair = Pair().establish()
    children = pair.left.children()
    spi = pair.left.view().phase1
    pair.rekey(getattr(pair, who), 1)
    pair.settle()
    now = pair.left.view().phase1
    assert spi is not None and now is not None and now.spi_i != spi.spi_i
    assert pair.left.children() == children
    assert pair.left.engine.census()["ike_sas"] == 1
    assert pair.right.engine.census()["ike_sas"] == 1
    # The new IKE SA works: a child rekey goes over it, from either side.
    pair.rekey(pair.right)
    pair.settle()
    pair.rekey(pair.left)
    pair.settle()
    one_pair(pair)


def orders() -> list[tuple[str, ...]]:
    """Every order in which two sides may be heard while four to eight messages are under way."""
    return sorted(set(itertools.product("LR", repeat=6)))


@pytest.mark.parametrize("phase", [1, 2])
def test_both_sides_renew_at_once(phase: int) -> None:
    """RFC 7296 §2.8.1: whatever the order of delivery and the nonces, one pair is left."""
    winners = set()
    for seed, order in enumerate(orders()):
        pair = Pair(seed=1000 + 10 * seed).establish()
        pair.rekey(pair.left, phase)
        pair.rekey(pair.right, phase)
        for letter in order:
            side: Side = pair.left if letter == "L" else pair.right
            if side.out:
                pair.deliver(side, side.out.pop(0))
        pair.settle()
        pair.advance(40)
        name = "phase1.collision" if phase == 1 else "phase2.collision"
        winners.add(tuple(len(s.events(name)) for s in (pair.left, pair.right)))
        assert pair.left.engine.census()["ike_sas"] == 1
        assert pair.right.engine.census()["ike_sas"] == 1
        one_pair(pair)
    assert (1, 1) in winners, "real collisions were met"


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_both_renew_at_once_and_a_message_is_lost(lost: int) -> None:
    for seed in range(12):
        pair = Pair(seed=5000 + seed).establish()
        pair.rekey(pair.left)
        pair.rekey(pair.right)
        for _ in range(lost):
            pair.step()
        side = pair.left if pair.left.out else pair.right
        if side.out:
            side.out.pop(0)
        pair.settle()
        pair.advance(60)
        one_pair(pair)


@pytest.mark.parametrize("first", [1, 2])
def test_ike_rekey_crosses_child_rekey(first: int) -> None:
    """RFC 7296 §2.25.2: TEMPORARY_FAILURE, and later both renewals are done."""
    pair = Pair().establish()
    before = pair.left.children()
    pair.rekey(pair.left, first)
    pair.rekey(pair.right, 3 - first)
    pair.settle()
    pair.advance(30)
    assert pair.left.engine.census()["ike_sas"] == 1
    assert pair.left.children() != before
    one_pair(pair)


def test_rekey_crosses_delete() -> None:
    """The left renews what the right is deleting: nothing half-made is left over."""
    pair = Pair().establish()
    pair.rekey(pair.left)
    pair.down(pair.right)
    pair.settle()
    pair.advance(40)
    assert not pair.left.sas and not pair.right.sas
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 0


def test_crossing_deletes() -> None:
    pair = Pair().establish()
    pair.down(pair.left)
    pair.down(pair.right)
    pair.settle()
    pair.advance(10)
    assert not pair.left.sas and not pair.right.sas
    assert pair.left.events("command.done") and pair.right.events("command.done")


def test_time_alone_renews_both_phases_for_a_day() -> None:
    """Lifetimes with margin and fuzz: always one pair, and nothing piles up."""
    pair = Pair().establish()
    for _ in range(24):
        pair.advance(3600)
        assert len(pair.left.children()) == 1
        assert pair.left.view().state == "up"
    assert len(pair.left.events("phase2.rekeyed")) >= 24
    assert len(pair.left.events("phase1.rekeyed")) >= 3
    assert not pair.left.events("phase2.down")
    one_pair(pair)
    census = pair.left.engine.census()
    assert census["ike_sas"] == 1 and census["waiting_computes"] == 0
    assert census["child_sas"] == 1 and census["timer_owners"] <= 3
