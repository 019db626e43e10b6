"""IKEv1 on a bad road: messages lost, doubled, late, old and forged."""

from itertools import permutations

import pytest

from isthmus.ike.core.commands import Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived, DeadlineReached
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType, NotifyType, ProtocolId
from isthmus.wire.v1 import Delete, Notify, Payload

from .pair import LEFT, RIGHT, Pair, Side
from .scenes import left_rule, right_rule
from .v1 import PFS_V1, PHASE2_V1, again, forged, one_pair, site, standing, two_sites, v1_sa

MESSAGES = 9
"""Six of Main Mode and three of Quick Mode."""


@pytest.mark.parametrize("proposals", [PHASE2_V1, PFS_V1])
@pytest.mark.parametrize("lost", range(MESSAGES))
def test_each_message_lost_once(lost: int, proposals: tuple[str, ...]) -> None:
    pair = two_sites(proposals)
    pair.packet(pair.left)
    for _ in range(lost):
        assert pair.step()
    assert pair.lose() == 1
    pair.advance(5)
    for side in (pair.left, pair.right):
        assert side.view().rules[0].state == "up", side.happenings[-3:]
        assert len(side.events("phase2.up")) == 1
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


@pytest.mark.parametrize("lost", range(MESSAGES))
def test_each_message_lost_twice_in_a_row(lost: int) -> None:
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(lost):
        assert pair.step()
    assert pair.lose() == 1
    for _ in range(50):
        due = [s.engine.deadline for s in (pair.left, pair.right) if s.engine.deadline]
        pair.advance(min(due) - pair.now, deliver=False)
        if pair.lose():
            break
    else:
        raise AssertionError("nobody repeats a thing")
    pair.advance(10)
    one_pair(pair)


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("who", ["left", "right"])
def test_each_message_of_a_renewal_lost_once(who: str, phase: int) -> None:
    for lost in range(6 if phase == 1 else 3):
        pair = standing(two_sites(seed=50 + lost)).advance(20)
        before = v1_sa(pair.left).spi_i, pair.left.children()
        pair.rekey(getattr(pair, who), phase)
        for _ in range(lost):
            assert pair.step()
        assert pair.lose() == 1
        pair.advance(30)
        one_pair(pair)
        after = v1_sa(pair.left).spi_i, pair.left.children()
        assert after[phase - 1] != before[phase - 1]


@pytest.mark.parametrize("proposals", [PHASE2_V1, PFS_V1])
def test_every_message_comes_three_times(proposals: tuple[str, ...]) -> None:
    """Repeats are answered from what was sent, or dropped; nothing is done twice."""
    pair = two_sites(proposals)
    pair.packet(pair.left)
    seen: list[SendDatagram] = []
    for _ in range(200):
        side = pair.left if pair.left.out else pair.right
        if not side.out:
            break
        datagram = side.out.pop(0)
        if datagram not in seen:
            seen.append(datagram)
            for _ in range(3):
                pair.deliver(side, datagram)
    pair.advance(1)
    assert len(seen) == MESSAGES
    for side in (pair.left, pair.right):
        assert len(side.sas) == 2 and len(side.events("phase2.up")) == 1
        assert side.engine.census()["ike_sas"] == 1
    pair.agree()


def test_repeats_of_requests_are_answered_alike() -> None:
    """The responder answers 1, 3 and 5, and Quick Mode's 1, with the very octets of before."""
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(4):
        side = pair.left
        request = side.out.pop(0)
        pair.deliver(side, request)
        first = list(pair.right.out)
        pair.deliver(side, request)
        assert len(first) == 1
        assert pair.right.out == first * 2
        pair.right.out[1:] = []
        pair.step()


def test_the_initiator_of_quick_mode_repeats_its_last_message_for_a_repeated_answer() -> None:
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(7):
        pair.step()
    answer = pair.right.out[0]
    pair.step()
    third = pair.left.out.pop(0)
    again(pair, answer)
    assert pair.left.out == [third]


def test_quick_messages_out_of_order() -> None:
    """Three rules at once, whatever order the first messages and the answers come in."""
    for seed, order in enumerate(permutations(range(3))):
        pair = three_rules(seed)
        for side in (pair.left, pair.right, pair.left):
            assert len(side.out) == 3
            side.out[:] = [side.out[n] for n in order]
            for _ in range(3):
                pair.deliver(side, side.out.pop(0))
        pair.advance(1)
        assert len(pair.left.sas) == len(pair.right.sas) == 6
        pair.agree()


def three_rules(seed: int) -> Pair:
    """Phase 1 stands, and Quick Modes of three rules have been begun."""
    pair = Pair(
        site("b", RIGHT, tuple(left_rule(n, proposals=PHASE2_V1) for n in (1, 2, 3))),
        site("a", LEFT, tuple(right_rule(n, proposals=PHASE2_V1) for n in (1, 2, 3))),
        seed=seed,
    )
    for n in (1, 2, 3):
        pair.packet(pair.left, f"r{n}")
    for _ in range(6):
        pair.step()
    return pair


@pytest.mark.parametrize("which", [ExchangeType.QUICK_MODE, ExchangeType.INFORMATIONAL])
def test_old_messages_replayed_later_change_nothing(which: ExchangeType) -> None:
    pair = standing(two_sites())
    pair.rekey(pair.left)
    pair.settle().advance(20)
    pair.rekey(pair.right)
    pair.settle().advance(60)
    recorded = [d for d in pair.wire if kind_of(d) == which]
    assert len(recorded) >= 6
    assert {d.local.address for d in recorded} == {LEFT, RIGHT}
    before = pair.left.children(), pair.right.children(), census(pair)
    told = len(pair.left.happenings), len(pair.right.happenings)
    heard = v1_sa(pair.left).heard_at, v1_sa(pair.right).heard_at
    for datagram in recorded:
        again(pair, datagram)
    pair.settle()
    assert (pair.left.children(), pair.right.children(), census(pair)) == before
    assert (v1_sa(pair.left).heard_at, v1_sa(pair.right).heard_at) == heard
    for side, since in zip((pair.left, pair.right), told, strict=True):
        assert {h.event for h in side.happenings[since:]} <= {"datagram.dropped"}


def kind_of(datagram: SendDatagram) -> int:
    """Its exchange."""
    return datagram.octets[18]


def census(pair: Pair) -> list[dict[str, int]]:
    """Of both, without clocks."""
    return [side.engine.census() for side in (pair.left, pair.right)]


def test_all_of_an_earlier_life_replayed_changes_nothing() -> None:
    """A phase 1 that has ended: a replayed first message costs a few octets for half a minute."""
    pair = standing(two_sites())
    pair.down(pair.left)
    pair.settle().advance(10)
    recorded = list(pair.wire)
    for datagram in recorded:
        again(pair, datagram)
        assert not pair.right.sas and not pair.left.sas
    assert pair.right.engine.census()["ike_sas"] == pair.left.engine.census()["ike_sas"] == 0
    assert pair.right.engine.census()["embryos"] == 1
    pair.lose()
    pair.advance(31)
    pair.right.feed(DeadlineReached())
    assert pair.right.engine.census()["embryos"] == 0


@pytest.mark.parametrize("due", [7, 8, 9])
def test_a_forged_datagram_under_a_live_message_id_breaks_no_chain(due: int) -> None:
    """Message 1, 2 or 3 of Quick Mode is on its way; somebody who saw it sends garbage first."""
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(due - 1):
        pair.step()
    side: Side = pair.left if pair.left.out else pair.right
    genuine = side.out[0]
    for n in (28, 40, len(genuine.octets) - 1):
        octets = bytearray(genuine.octets)
        octets[n] ^= 1
        receiver = pair.other(side)
        before = len(receiver.out), len(receiver.sas)
        receiver.feed(DatagramReceived(genuine.remote, genuine.local, bytes(octets)))
        assert (len(receiver.out), len(receiver.sas)) == before
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    pair.agree()


@pytest.mark.parametrize("due", [2, 3, 4, 5, 6])
def test_a_forged_datagram_within_main_mode_does_not_end_it(due: int) -> None:
    """From where the peer is, with the right cookies, and damaged anywhere. (Values of messages in
    clear cannot be told from forged ones before the proofs: they are left whole here.)"""
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(due - 1):
        pair.step()
    side: Side = pair.left if pair.left.out else pair.right
    genuine = side.out[0]
    receiver = pair.other(side)
    damaged = [genuine.octets[:-9], genuine.octets[:40], genuine.octets + b"\0" * 8]
    if due >= 5:
        damaged += [bytes((*genuine.octets[:n], genuine.octets[n] ^ 1)) for n in (30, 60)]
        damaged += [genuine.octets[:28] + bytes(len(genuine.octets) - 28)]
    for octets in damaged:
        receiver.feed(DatagramReceived(genuine.remote, genuine.local, octets))
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"


def test_a_delete_of_another_phase_1_or_pair_changes_nothing() -> None:
    """Authentic, and about nothing that stands."""
    pair = standing(two_sites())
    sa = v1_sa(pair.left)
    wrong: tuple[Payload, ...] = (
        Delete(ProtocolId.ISAKMP, (bytes(sa.spi_r + sa.spi_i),)),
        Delete(ProtocolId.ISAKMP, (b"\x55" * 16,)),
        Delete(ProtocolId.ESP, (b"\x55" * 4,)),
        Notify(NotifyType.INVALID_SPI, b"\x55" * 4, ProtocolId.ESP),
    )
    before = pair.right.children()
    for n, payload in enumerate(wrong, start=1000):
        octets = forged(sa, ExchangeType.INFORMATIONAL, n, (payload,))
        pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
    assert pair.right.children() == before and len(pair.right.sas) == 2
    assert pair.right.engine.census()["ike_sas"] == 1


def test_a_lost_delete_of_a_pair_is_said_again() -> None:
    """Nothing answers it: the peer would send into the void for an hour."""
    pair = standing(two_sites())
    pair.left.command(Terminate("site-b", "lan"))
    assert pair.lose() == 1
    pair.advance(8)
    assert not pair.left.sas and not pair.right.sas
    assert pair.right.engine.census()["ike_sas"] == 1
    # It is said for a minute, in case that the road is cut, and then no more.
    pair.advance(130)
    assert not pair.right.out and not pair.left.out
    exchanges = [e for s in (pair.left, pair.right) for e in v1_sa(s).exchanges.values()]
    assert not [e for e in exchanges if e.sent is not None]


@pytest.mark.parametrize("message_id", [0, 1])
@pytest.mark.parametrize("exchange", list(ExchangeType))
def test_no_other_exchange_is_heard_before_authentication(
    exchange: ExchangeType, message_id: int
) -> None:
    """S-13: in the place of message 5, from where the peer is, with real cookies."""
    if (exchange, message_id) == (ExchangeType.MAIN_MODE, 0):
        return
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(4):
        pair.step()
    genuine = pair.left.out[0]
    octets = bytearray(genuine.octets)
    octets[18], octets[23] = exchange, message_id
    for each in (bytes(octets), bytes(octets[:19]) + b"\0" + bytes(octets[20:])):
        pair.right.feed(DatagramReceived(genuine.remote, genuine.local, each))
        assert not pair.right.out and not pair.right.sas
    (sa,) = pair.right.engine._sas.values()
    assert not sa.is_authenticated and not sa.children
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
