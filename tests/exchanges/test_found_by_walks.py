"""What random walks found, reduced to the few moves that matter."""

import pytest

from isthmus.ike.core.commands import Rekey, Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.values.registry.ikev2 import ExchangeType
from isthmus.wire.header import Header

from .pair import Pair
from .scenes import first_of_two, ike_sas, mirrored, two_rules


def is_auth(datagram: SendDatagram) -> bool:
    """IKE_AUTH, request or answer."""
    return Header.decode(datagram.octets).exchange == ExchangeType.IKE_AUTH


def lose_the_answer_for_r2(pair: Pair) -> None:
    """The right has a pair for r2 that the left asked for and does not know of."""
    pair.packet(pair.left, "r2")
    pair.deliver(pair.left, pair.left.out.pop(0))
    assert pair.lose() == 1
    assert len(pair.right.children()) == 2 and len(pair.left.children()) == 1


def test_a_pair_is_renewed_before_its_maker_has_heard_of_it() -> None:
    """The peer's request names an SPI that only its lost answer would have told: it is to try
    again later. Told that there is no such pair, it forgot the pair and repeated its answer."""
    pair = first_of_two()
    lose_the_answer_for_r2(pair)
    pair.right.command(Rekey("a", "r2", 2))
    pair.settle().advance(30)
    assert mirrored(pair)
    assert len(pair.left.children()) == 2
    assert pair.right.events("phase2.rekeyed")
    pair.agree()


@pytest.mark.parametrize("seed", range(8))
def test_a_request_that_was_on_its_way_while_ours_was_answered_makes_no_second_pair(
    seed: int,
) -> None:
    """The left notices that both asked, the right cannot: whoever made the pair with the lowest
    nonce deletes it, whenever it learns of the other."""
    pair = first_of_two(400 + 10 * seed)
    pair.packet(pair.left, "r2")
    late = pair.left.out.pop(0)
    pair.packet(pair.right, "r2")
    pair.settle()
    assert len(pair.right.children()) == 2, "the right's request is answered"
    pair.deliver(pair.left, late)
    pair.settle().advance(10)
    assert mirrored(pair)
    assert len(pair.left.children()) == 2, "one pair for each rule"
    pair.agree()


@pytest.mark.parametrize("seed", range(8))
def test_an_answer_that_is_computed_later_than_our_own_pair_makes_no_second_pair(
    seed: int,
) -> None:
    pair = first_of_two(500 + 10 * seed)
    pair.left.held_computes = []
    pair.packet(pair.left, "r2")
    pair.packet(pair.right, "r2")
    for side in (pair.left, pair.right):
        if side is pair.left:
            make_key = pair.left.held_computes.pop(0)
            pair.left.compute(make_key)
        pair.deliver(side, side.out.pop(0))
    pair.deliver(pair.right, pair.right.out.pop(0))
    answer_peer, finish_ours = pair.left.held_computes
    pair.left.held_computes = None
    pair.left.compute(finish_ours)
    pair.left.compute(answer_peer)
    pair.settle().advance(10)
    assert mirrored(pair)
    assert len(pair.left.children()) == 2, "one pair for each rule"
    pair.agree()


def test_a_pair_is_deleted_before_its_maker_has_heard_of_it() -> None:
    """The Delete names an SPI that only the lost answer would have told; when the answer is
    repeated, what it made is over already."""
    pair = first_of_two()
    lose_the_answer_for_r2(pair)
    pair.right.command(Terminate("a", "r2"))
    pair.settle().advance(1)
    assert mirrored(pair)
    assert len(pair.left.children()) == 1
    pair.advance(10)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.packet(pair.left, "r2")
    pair.settle()
    assert mirrored(pair) and len(pair.left.children()) == 2
    pair.agree()


def test_a_renewed_pair_is_deleted_before_its_maker_has_heard_of_it() -> None:
    """Neither the successor nor the pair that it was to replace stays on either side."""
    pair = first_of_two()
    pair.rekey(pair.left)
    pair.deliver(pair.left, pair.left.out.pop(0))
    assert pair.lose() == 1
    pair.right.command(Terminate("a", "r1"))
    pair.settle().advance(20)
    assert not pair.left.children() and not pair.right.children()
    assert not pair.left.sas and not pair.right.sas


def test_what_was_asked_over_an_ike_sa_that_died_is_asked_over_the_one_that_stands() -> None:
    """Both began at once, and INITIAL_CONTACT made the right forget one of the two. The left had
    asked for r2 over that one: it said "negotiating" for ever."""
    pair = two_rules()
    pair.packet(pair.left, "r1")
    pair.step()
    pair.step()
    initial_contact = pair.left.out.pop(0)
    pair.packet(pair.right, "r1")
    pair.settle()
    assert pair.left.view().state == "up", "by the IKE SA of the right"
    pair.packet(pair.left, "r2")
    late = pair.left.out.pop(0)
    pair.deliver(pair.left, initial_contact)
    pair.settle()
    pair.deliver(pair.left, late)
    pair.settle().advance(120)
    assert [str(rule.state) for rule in pair.left.view().rules] == ["up", "up"]
    assert mirrored(pair)
    pair.agree()


@pytest.mark.parametrize("seed", range(600, 680, 10))
def test_both_ends_choose_alike_though_only_one_knows_of_a_renewal(seed: int) -> None:
    """Two IKE SAs crossed. The right judges before its renewal of one is answered, the left after
    it: had each compared the SPIs that it saw, neither would have ended the other's choice."""
    pair = two_rules(seed)
    pair.packet(pair.left, "r2")
    first_message = pair.left.out.pop(0)
    pair.packet(pair.right, "r1")
    pair.settle()
    pair.rekey(pair.right, 1)
    renewal = pair.right.out.pop(0)
    pair.deliver(pair.left, first_message)
    pair.deliver(pair.right, pair.right.out.pop(0))
    pair.deliver(pair.left, next(d for d in pair.left.out if is_auth(d)))
    authenticated = next(d for d in pair.right.out if is_auth(d))
    pair.deliver(pair.right, renewal)
    pair.deliver(pair.left, pair.left.out.pop())
    pair.deliver(pair.right, authenticated)
    pair.settle().advance(60)
    assert ike_sas(pair) == (1, 1)
    assert mirrored(pair)
    pair.agree()
