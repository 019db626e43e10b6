"""IKE fragmentation (RFC 7383): messages in pieces, lost, repeated, swapped and cut anew."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.policy.connection import ChildPolicy, Connection, Fragmentation
from isthmus.values.registry.ikev2 import ExchangeType
from isthmus.values.selector import TrafficSelector
from isthmus.wire.header import Header
from isthmus.wire.v2.encrypted import EncryptedFragment
from isthmus.wire.v2.message import decode_message

from .pair import LEFT, PHASE1, PHASE2, RIGHT, Pair, Side, connection, rule

LARGE = 24
"""Networks on each side: TSi and TSr have some 800 octets."""
LEFT_ID, RIGHT_ID = "keyid:" + 750 * "l", "keyid:" + 750 * "r"
"""With them an IKE_AUTH request has some 2,500."""
OVERHEAD = 20 + 8 + 4
USUAL = Fragmentation()


def large_rule(left: bool, networks: int = LARGE) -> ChildPolicy:
    """A rule between so many networks that its messages are large."""
    here, there = ("10.1", "10.2") if left else ("10.2", "10.1")
    return replace(
        rule(proposals=PHASE2),
        local=tuple(TrafficSelector.of_network(f"{here}.{n}.0/25") for n in range(networks)),
        remote=tuple(TrafficSelector.of_network(f"{there}.{n}.0/25") for n in range(networks)),
    )


def ends(
    left: Fragmentation = USUAL,
    right: Fragmentation = USUAL,
    networks: int = LARGE,
) -> tuple[Connection, Connection]:
    """Both ends of a tunnel with large messages."""
    left_id, right_id = (LEFT_ID, RIGHT_ID) if networks == LARGE else (None, None)
    rules = (large_rule(True, networks),), (large_rule(False, networks),)
    return (
        connection("site-b", RIGHT, rules[0], PHASE1, left_id, right_id, fragmentation=left),
        connection("site-a", LEFT, rules[1], PHASE1, right_id, left_id, fragmentation=right),
    )


def large_pair(size: int = 576, networks: int = LARGE) -> Pair:
    """A pair whose IKE_AUTH goes in pieces that fit into IP datagrams of `size` octets."""
    return Pair(*ends(Fragmentation(size=size), Fragmentation(size=size), networks))


def piece_of(datagram: SendDatagram) -> EncryptedFragment | None:
    """The SKF payload of a datagram, if it has one."""
    last = decode_message(datagram.octets).payloads[-1]
    return last if isinstance(last, EncryptedFragment) else None


def pieces(datagrams: list[SendDatagram]) -> list[tuple[int, int]]:
    """Numbers and totals of the pieces among them, in order."""
    found = map(piece_of, datagrams)
    return [(piece.number, piece.total) for piece in found if piece is not None]


def up_to_auth(pair: Pair) -> list[SendDatagram]:
    """IKE_SA_INIT done; returns the datagrams of IKE_AUTH's request, still on their way."""
    pair.left.command(Initiate("site-b"))
    pair.step()
    pair.step()
    assert pair.left.out, "IKE_AUTH is on its way"
    assert {Header.decode(d.octets).exchange for d in pair.left.out} == {ExchangeType.IKE_AUTH}
    return pair.left.out


def is_up(pair: Pair) -> bool:
    """Both phases, at both ends, with the same keys."""
    sides = (pair.left, pair.right)
    if not all(side.view().state == "up" and len(side.children()) == 1 for side in sides):
        return False
    pair.agree()
    return True


@pytest.mark.parametrize("size", [300, 576, 1000, 1280])
def test_large_messages_go_in_pieces_that_fit(size: int) -> None:
    """Both directions; the first piece alone says what is inside."""
    pair = large_pair(size)
    request = list(up_to_auth(pair))
    pair.settle()
    assert is_up(pair)
    response = pair.wire[2 + len(request) :]
    for message in (request, response):
        total = len(message)
        assert total > 1
        assert pieces(message) == [(n, total) for n in range(1, total + 1)]
        assert all(len(d.octets) + OVERHEAD <= size for d in message)
        # Not one piece more than it takes: all but the last are as large as may be.
        assert all(len(d.octets) + OVERHEAD == size for d in message[:-1])
        firsts = [piece.first for piece in map(piece_of, message) if piece is not None]
        assert firsts[0] != 0 and set(firsts[1:]) <= {0}


def test_small_messages_stay_whole() -> None:
    pair = Pair().establish()
    assert pieces(pair.wire) == []


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Fragmentation(enabled=False), Fragmentation()),
        (Fragmentation(), Fragmentation(enabled=False)),
        (Fragmentation(enabled=False), Fragmentation(enabled=False)),
    ],
)
def test_no_pieces_unless_both_sides_read_them(left: Fragmentation, right: Fragmentation) -> None:
    pair = Pair(*ends(left, right)).establish()
    assert is_up(pair) and pieces(pair.wire) == []


def test_a_large_message_that_goes_whole_and_is_lost_says_so() -> None:
    """E104: it is not the port that is closed, and not the key."""
    pair = Pair(*ends(right=Fragmentation(enabled=False)))
    (whole,) = up_to_auth(pair)
    assert len(whole.octets) > 1280
    pair.lose()
    pair.advance(120, deliver=False)
    codes = [h.code for h in pair.left.events("command.failed")]
    assert codes == ["E104"]


def test_pieces_from_a_peer_that_did_not_offer_them_are_dropped() -> None:
    """The other side of the negotiation: nothing is put together that was not agreed."""
    pair = large_pair()
    up_to_auth(pair)
    (sa,) = pair.right.engine._sas.values()
    sa.fragments_agreed = False
    pair.settle()
    dropped = [dict(h.detail)["reason"] for h in pair.right.events("datagram.dropped")]
    assert set(dropped) == {"fragments_not_agreed"}
    assert pair.right.view().state != "up"


def test_a_message_of_more_pieces_than_anybody_takes_goes_whole() -> None:
    pair = Pair(*ends(Fragmentation(size=160), Fragmentation(size=160)))
    (datagram,) = up_to_auth(pair)
    assert piece_of(datagram) is None and len(datagram.octets) > 32 * 40


@pytest.mark.parametrize("seed", range(20))
def test_pieces_in_any_order_and_several_times(seed: int) -> None:
    """Each piece up to three times, shuffled; one handshake comes of it, and one answer."""
    chance = Random(seed)
    pair = large_pair()
    request = up_to_auth(pair)
    order = [d for d in request for _ in range(chance.randint(1, 3))]
    request.clear()
    chance.shuffle(order)
    for datagram in order:
        pair.deliver(pair.left, datagram)
    assert len(pieces(pair.right.out)) == pieces(pair.right.out)[0][1], "answered once"
    answer = [d for d in pair.right.out for _ in range(chance.randint(1, 3))]
    pair.right.out.clear()
    chance.shuffle(answer)
    for datagram in answer:
        pair.deliver(pair.right, datagram)
    pair.settle()
    assert is_up(pair)
    assert [s.engine.census()["fragment_octets"] for s in (pair.left, pair.right)] == [0, 0]


@pytest.mark.parametrize("of_response", [False, True])
@pytest.mark.parametrize("lost", [0, 1, -1])
def test_one_piece_lost_comes_with_the_repeat(lost: int, of_response: bool) -> None:
    """A repeat is the same octets in the same pieces, of which only the lost one is new."""
    pair = large_pair()
    up_to_auth(pair)
    if of_response:
        while pair.left.out:
            pair.step()
    side = pair.right if of_response else pair.left
    first_time = list(side.out)
    del side.out[lost]
    pair.settle()
    assert pair.left.view().state != "up"
    sent_before = len(pair.wire)
    pair.advance(1.2)
    assert is_up(pair)
    again = [d for d in pair.wire[sent_before:] if Header.decode(d.octets).message_id == 1]
    same_way = [d for d in again if d.local.address == first_time[0].local.address]
    assert [d.octets for d in same_way[: len(first_time)]] == [d.octets for d in first_time]


def test_only_the_first_piece_of_a_repeat_fetches_the_answer() -> None:
    """RFC 7383 §2.6.1."""
    pair = large_pair()
    request = list(up_to_auth(pair))
    while pair.left.out:
        pair.step()
    answer = [d.octets for d in pair.right.out]
    pair.lose()
    pair.now += 1
    for datagram in request[1:]:
        pair.deliver(pair.left, datagram)
    assert pair.right.out == []
    pair.deliver(pair.left, request[0])
    assert [d.octets for d in pair.right.out] == answer
    pair.deliver(pair.left, request[0])
    assert len(pair.right.out) == len(answer), "not twice within a moment"
    # A forged first piece fetches nothing.
    pair.lose()
    pair.now += 1
    forged = bytearray(request[0].octets)
    forged[-1] ^= 1
    pair.deliver(pair.left, replace(request[0], octets=bytes(forged)))
    assert pair.right.out == []


def test_without_an_answer_smaller_pieces_are_tried() -> None:
    """A road of an MTU below 1280 that eats what is larger: two sendings, then 576."""
    pair = Pair(*ends())
    up_to_auth(pair)
    limit = 1000

    def small_ones_only() -> None:
        for side in (pair.left, pair.right):
            side.out[:] = [d for d in side.out if len(d.octets) + OVERHEAD <= limit]

    for _ in range(40):
        small_ones_only()
        pair.settle()
        small_ones_only()
        if is_up(pair):
            break
        pair.advance(0.25, deliver=False)
        while pair.left.out or pair.right.out:
            small_ones_only()
            pair.step()
            small_ones_only()
    assert is_up(pair)
    assert pair.now <= 1000 + 4, "some repeats of half a second and more"
    for side in (pair.left, pair.right):
        (sa,) = side.engine._sas.values()
        assert sa.fragment_size == 576, side.name
    # What follows is cut for the road as it was found, and so it is after a renewal of phase 1.
    pair.rekey(pair.left, 1)
    pair.settle()
    sent = len(pair.wire)
    pair.rekey(pair.left, 2)
    pair.settle()
    assert pieces(pair.wire[sent:]) != []
    assert all(len(d.octets) + OVERHEAD <= 576 for d in pair.wire[sent:])
    pair.agree()


def test_a_whole_message_without_an_answer_is_cut_too() -> None:
    """It fits into 1280 octets, and the road takes 600: sent whole twice, then in pieces."""
    pair = Pair(*ends(networks=16))
    (whole,) = up_to_auth(pair)
    assert piece_of(whole) is None and 576 < len(whole.octets) + OVERHEAD <= 1280
    pair.lose()
    pair.advance(0.8, deliver=False)
    assert [d.octets for d in pair.left.out] == [whole.octets]
    pair.lose()
    pair.advance(1.2, deliver=False)
    assert len(pieces(pair.left.out)) > 1
    pair.settle()
    assert is_up(pair)
    # The answer comes in pieces no larger than those that were seen to pass.
    answer = [d for d in pair.wire if d.local.address == RIGHT and piece_of(d) is not None]
    assert answer and all(len(d.octets) + OVERHEAD <= 576 for d in answer)


def test_pauses_begin_anew_with_smaller_pieces() -> None:
    """RFC 7383 §2.5.2: half a second, three quarters, then smaller ones after half a second."""
    pair = Pair(*ends())
    sizes, times = [len(up_to_auth(pair))], [pair.now]
    while len(times) < 5:
        pair.lose()
        deadline = pair.left.engine.deadline
        assert deadline is not None
        pair.advance(deadline - pair.now, deliver=False)
        if pair.left.out:
            sizes.append(len(pair.left.out))
            times.append(pair.now)
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3] == sizes[4]
    for pause, plain in zip(pauses, (0.5, 0.75, 0.5, 0.75), strict=True):
        assert 0.8 * plain <= pause <= 1.2 * plain


def test_a_cut_that_makes_no_more_pieces_is_no_other_cut() -> None:
    """The total tells the sets apart, so it has to grow: the same pieces are sent again."""
    pair = large_pair(size=600)
    first = [d.octets for d in up_to_auth(pair)]
    pair.lose()
    for _ in range(12):
        pair.advance(0.5, deliver=False)
        sent = [d.octets for d in pair.left.out]
        assert sent in ([], first, first * 2)
        pair.lose()
    pair.advance(4)
    assert is_up(pair)


def whole_after_a_piece(pair: Pair, sender: Side, receiver: Side, whole: SendDatagram) -> None:
    """Of what the sender has sent, one piece arrives, and then the message that was not cut."""
    cut = [d for d in sender.out if piece_of(d) is not None]
    pair.lose()
    pair.deliver(sender, cut[0])
    assert receiver.engine.census()["fragment_octets"] > 0
    pair.deliver(sender, whole)
    assert receiver.engine.census()["fragment_octets"] == 0


def test_the_whole_answer_may_come_instead_of_its_pieces() -> None:
    """It was sent whole twice and then in pieces; the road brings a piece before the whole one."""
    pair = Pair(*ends(networks=16))
    up_to_auth(pair)
    pair.step()
    (whole,) = pair.right.out
    assert piece_of(whole) is None
    for _ in range(8):
        pair.lose()
        pair.advance(0.5, deliver=False)
        while pair.left.out:
            pair.deliver(pair.left, pair.left.out.pop(0))
        if len(pieces(pair.right.out)) > 1:
            break
    whole_after_a_piece(pair, pair.right, pair.left, whole)
    assert is_up(pair)


def test_finer_pieces_take_the_place_of_coarser_ones() -> None:
    """RFC 7383 §2.6: a larger total starts over; a smaller one is ignored from then on."""
    pair = Pair(*ends())
    coarse = list(up_to_auth(pair))
    pair.lose()
    pair.advance(2, deliver=False)
    finest = max(total for _, total in pieces(pair.left.out))
    assert finest > len(coarse)
    fine = pair.left.out[-finest:]
    assert pieces(fine) == [(n, finest) for n in range(1, finest + 1)]
    pair.lose()
    for datagram in (coarse[0], fine[0], *coarse, *fine[2:], *coarse):
        pair.deliver(pair.left, datagram)
    assert pair.right.out == [], "no mixture of two cuts is a message"
    reasons = [dict(h.detail)["reason"] for h in pair.right.events("datagram.dropped")]
    assert set(reasons) == {"fragment_of_old_set"}
    pair.deliver(pair.left, fine[1])
    assert pair.right.out != []
    pair.settle()
    assert is_up(pair)


def test_the_whole_message_may_come_instead_of_its_pieces() -> None:
    """A peer may send a request whole after it has begun to send pieces, or the reverse."""
    pair = Pair(*ends(networks=16))
    (whole,) = up_to_auth(pair)
    pair.lose()
    pair.advance(2, deliver=False)
    whole_after_a_piece(pair, pair.left, pair.right, whole)
    pair.settle()
    assert is_up(pair)


@pytest.mark.parametrize("phase", [1, 2])
def test_renewals_inherit_what_was_agreed(phase: int) -> None:
    """The IKE SA that a renewal makes reads and sends pieces without being asked."""
    pair = large_pair().establish()
    pair.rekey(pair.left, 1)
    pair.settle()
    sent = len(pair.wire)
    pair.rekey(pair.right, phase)
    pair.settle()
    if phase == 2:
        assert pieces(pair.wire[sent:]) != []
    for side in (pair.left, pair.right):
        (sa,) = side.engine._sas.values()
        assert sa.fragments_agreed and sa.fragment_size == 576
    assert is_up(pair)


@pytest.mark.parametrize("seed", range(12))
def test_handshake_and_renewals_on_a_road_that_loses_a_third(seed: int) -> None:
    """Some seven pieces a message: all of them come in the end, and nothing is left over."""
    chance = Random(seed)
    pair = large_pair(size=400)

    def lossy(seconds: float) -> None:
        until = pair.now + seconds
        while pair.now < until:
            pair.advance(0.1, deliver=False)
            while pair.left.out or pair.right.out:
                side = pair.left if pair.left.out else pair.right
                datagram = side.out.pop(chance.randrange(len(side.out)))
                if chance.random() >= 1 / 3:
                    pair.deliver(side, datagram)

    pair.left.command(Initiate("site-b"))
    lossy(60)
    assert is_up(pair)
    pair.rekey(pair.left, 2)
    lossy(40)
    pair.rekey(pair.right, 1)
    lossy(40)
    pair.advance(60)
    assert is_up(pair)
    for side in (pair.left, pair.right):
        assert side.engine.census()["fragment_octets"] == 0
        assert side.engine.census()["dead_timers"] == 0
