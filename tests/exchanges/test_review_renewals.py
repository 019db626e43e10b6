"""What a hostile review asked of renewals: whatever crosses and whatever is lost, one IKE SA and
one pair for each rule are left (RFC 7296 §2.8, §2.25)."""

import pytest

from isthmus.ike.core.child import ChildState
from isthmus.ike.core.commands import Terminate
from isthmus.ike.core.effects import Compute
from isthmus.ike.core.events import DatagramReceived
from isthmus.values.address import Endpoint
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    HeaderFlag,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import spi_octets
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors
from robustness.hand import sa_with

from .pair import LEFT, RIGHT, Pair, Side, connection, rule
from .scenes import (
    ask_again,
    far_side,
    first_of_two,
    ike_sas,
    mirrored,
    phase1,
    seal_request,
    states,
)

# --- the peer renews phase 1 while we want something -------------------------------------------


def hold_answer_to_phase_1_renewal(pair: Pair) -> Compute:
    """The right renews phase 1, and the left is slow to answer; returns the left's job."""
    pair.left.held_computes = []
    pair.rekey(pair.right, 1)
    pair.settle()
    (job,) = pair.left.held_computes
    pair.left.held_computes = None
    return job


def test_a_wish_that_is_lost_while_the_peer_renews_phase_1_is_not_forgotten() -> None:
    pair = first_of_two()
    pair.packet(pair.left, "r2")
    pair.left.out.clear()
    pair.rekey(pair.right, 1)
    pair.settle().advance(300)
    ask_again(pair, pair.left, "r2")
    assert states(pair.left)["r2"] == "up"


def test_a_wish_while_we_answer_the_peers_renewal_of_phase_1_is_not_forgotten() -> None:
    pair = first_of_two()
    job = hold_answer_to_phase_1_renewal(pair)
    pair.packet(pair.left, "r2")
    pair.left.out.clear()
    pair.left.compute(job)
    pair.settle().advance(300)
    ask_again(pair, pair.left, "r2")
    assert states(pair.left)["r2"] == "up"


def test_a_renewal_begun_while_we_answer_the_peers_renewal_of_phase_1_ends() -> None:
    pair = Pair().establish()
    job = hold_answer_to_phase_1_renewal(pair)
    pair.rekey(pair.left)
    pair.left.out.clear()
    pair.left.compute(job)
    pair.settle().advance(60)
    assert states(pair.left)["lan"] == "up"
    pair.rekey(pair.right, 1)
    pair.settle().advance(60)
    assert len(pair.right.events("phase1.rekeyed")) == 2, "the peer may renew phase 1 again"


def test_a_delete_begun_while_we_answer_the_peers_renewal_of_phase_1_ends() -> None:
    pair = Pair().establish()
    job = hold_answer_to_phase_1_renewal(pair)
    pair.left.command(Terminate("site-b", "lan", hold=True))
    pair.left.compute(job)
    pair.settle().advance(60)
    assert not pair.right.sas
    assert not pair.left.sas, "the plane has no SAs that the peer does not have"


def test_an_agreement_that_ends_after_the_peers_renewal_of_phase_1_is_no_orphan() -> None:
    pair = first_of_two()
    pair.packet(pair.left, "r2")
    pair.left.held_computes = []
    pair.settle()
    (slow,) = pair.left.held_computes
    pair.left.held_computes = []
    pair.rekey(pair.right, 1)
    pair.settle()
    quick, pair.left.held_computes = pair.left.held_computes, None
    for job in quick:
        pair.left.compute(job)
    pair.left.compute(slow)
    pair.settle().advance(60)
    pair.agree()
    assert mirrored(pair)


# --- proposals --------------------------------------------------------------------------------


def test_a_renewal_may_be_answered_without_pfs_where_both_were_offered() -> None:
    with_and_without = ("aes256gcm16-x25519", "aes128gcm16")
    without = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=("aes128gcm16",))
    pair = Pair(
        connection("b", RIGHT, (rule(proposals=with_and_without),)), far_side(rules=(without,))
    )
    pair.establish()
    pair.rekey(pair.left)
    pair.settle().advance(3)
    assert pair.left.events("phase2.rekeyed") and pair.left.view().state == "up"


# --- both at once -----------------------------------------------------------------------------


def deliver_in_order(pair: Pair, order: str) -> None:
    """L and R: the oldest datagram of this side arrives, if there is one."""
    for letter in order:
        side: Side = pair.left if letter == "L" else pair.right
        if side.out:
            pair.deliver(side, side.out.pop(0))


@pytest.mark.parametrize("order", ["LR", "RL", "LLRR", "RRLL", "LRRL"])
def test_both_begin_at_once_and_one_pair_is_left(order: str) -> None:
    for seed in range(4):
        pair = Pair(seed=300 + seed)
        pair.packet(pair.left)
        pair.packet(pair.right)
        deliver_in_order(pair, order * 6)
        pair.settle().advance(30)
        assert ike_sas(pair) == (1, 1), seed
        assert len(pair.left.sas) == len(pair.right.sas) == 2, seed


def test_both_ask_for_the_same_rule_over_one_ike_sa() -> None:
    pair = first_of_two()
    pair.packet(pair.left, "r2")
    pair.packet(pair.right, "r2")
    pair.settle().advance(30)
    assert mirrored(pair)
    assert len(pair.left.children()) == 2, "one pair for each rule"


@pytest.mark.parametrize("first", ["left", "right"])
@pytest.mark.parametrize("lost", range(6))
def test_both_renew_phase_1_at_once_and_one_datagram_is_lost(lost: int, first: str) -> None:
    for seed in range(8):
        pair = Pair(seed=7000 + 10 * seed).establish()
        pair.rekey(pair.left, 1)
        pair.rekey(pair.right, 1)
        side: Side = getattr(pair, first)
        for _ in range(lost):
            pair.step()
        if side.out:
            side.out.pop(0)
        pair.settle().advance(120)
        assert mirrored(pair), seed
        assert len(pair.left.children()) == 1, seed
        assert ike_sas(pair) == (1, 1), seed
        pair.agree()


@pytest.mark.parametrize("order", ["LR", "RL", "LLRR", "RRLL", "LRRL"])
def test_a_superseded_ike_sa_ends_though_it_was_renewed_meanwhile(order: str) -> None:
    """Both begin at once, and each renews the first IKE SA that it sees standing; one of the two is
    to end, and so is what took its place."""
    renewed = 0
    for seed in range(300, 308):
        pair = Pair(seed=seed)
        pair.packet(pair.left)
        pair.packet(pair.right)
        eager = [pair.left, pair.right]
        for letter in order * 10:
            deliver_in_order(pair, letter)
            for side in [s for s in eager if s.view().phase1 is not None]:
                pair.rekey(side, 1)
                eager.remove(side)
        assert not eager, "both have renewed"
        pair.settle().advance(120)
        renewed += len(pair.left.events("phase1.rekeyed"))
        assert ike_sas(pair) == (1, 1), seed
        assert len(pair.left.sas) == len(pair.right.sas) == 2, seed
        pair.agree()
    assert renewed >= 8


# --- a peer that renews one pair again and again ------------------------------------------------


def right_renews() -> Pair:
    """Two ends without PFS; the right's wish to renew the pair is on its way."""
    plain = ("aes256gcm16",)
    pair = Pair(
        connection("b", RIGHT, (rule(proposals=plain),)),
        far_side(rules=(rule("lan", "10.2.0.0/24", "10.1.0.0/24", plain),)),
    ).establish()
    pair.rekey(pair.right)
    return pair


def renewal_request(pair: Pair, n: int) -> bytes:
    """The left's wish to renew the pair that stands, once more."""
    old = pair.left.view().rules[0].children[0]
    proposal = parse_proposal("aes256gcm16-noesn", SecurityProtocol.ESP)
    near, far = (TrafficSelector.of_network(f"10.{net}.0.0/24") for net in (1, 2))
    rekey = Notify(
        kind=NotifyType.REKEY_SA, protocol=SecurityProtocol.ESP, spi=spi_octets(old.spi_in)
    )
    payloads: tuple[Payload, ...] = (
        rekey,
        SecurityAssociation((proposal.with_spi(bytes((0, 1, 0, n)), 1),)),
        Nonce(bytes((n,)) * 32),
        TrafficSelectors(PayloadType.TS_I, (near,)),
        TrafficSelectors(PayloadType.TS_R, (far,)),
    )
    return seal_request(pair, pair.left, ExchangeType.CREATE_CHILD_SA, payloads, n)


def test_a_peer_that_renews_one_pair_again_and_again_makes_one_successor() -> None:
    """While our own renewal of it is on its way, the peer's pair is not announced yet: there may
    be one such pair, not one for each request."""
    pair = right_renews()
    pair.right.out.clear()
    assert states(pair.right)["lan"] == ChildState.REKEYING.value
    for n in range(4):
        octets = renewal_request(pair, n)
        pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
        assert len(pair.right.out) == n + 1, "each is answered"
    held = {spi for spi, inbound in pair.right.sas if inbound}
    shown = {spi_in for spi_in, _ in pair.right.children()}
    assert len(held) == 2 and len(held - shown) == 1


def test_the_redundant_pair_of_a_peer_that_never_heard_of_it_does_not_stay() -> None:
    """Our answer to the peer's half of a simultaneous renewal is lost, and the peer gives that half
    up (charon 5.9.8 drops an answer that comes while it reads a request of the same number)."""
    pair = right_renews()
    octets = renewal_request(pair, 0)
    pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
    pair.right.out.pop()
    pair.settle()
    assert len(pair.right.events("phase2.collision")) == 1
    pair.advance(10)
    assert mirrored(pair)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_a_pair_that_the_peer_does_not_know_yet_is_kept() -> None:
    """Our answer to the peer's renewal is lost, and we renew what it made before the peer has asked
    again. The peer says CHILD_SA_NOT_FOUND, and learns of the pair a moment later."""
    pair = Pair().establish()
    pair.rekey(pair.right)
    request = pair.right.out[0]
    pair.step()
    pair.left.out.pop()
    fresh = pair.left.view().rules[0].children[-1].spi_in
    pair.rekey(pair.left)
    pair.left.out.pop()
    own = bytes.fromhex(phase1(pair.right).spi_r)
    sa = sa_with(pair.right.engine, own)
    assert sa is not None and sa.protector is not None
    header = Header(
        bytes.fromhex(phase1(pair.right).spi_i),
        own,
        0,
        exchange=ExchangeType.CREATE_CHILD_SA,
        flags=HeaderFlag.RESPONSE,
        message_id=2,
    )
    unknown = Notify(
        kind=NotifyType.CHILD_SA_NOT_FOUND,
        protocol=SecurityProtocol.ESP,
        spi=spi_octets(fresh),
    )
    octets = sa.protector.seal(header, (unknown,))
    pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(RIGHT, 500), octets))
    assert (fresh, True) in pair.left.sas and not pair.left.events("phase2.surplus_closed")
    pair.deliver(pair.right, request)
    pair.settle().advance(3)
    assert len(pair.right.events("phase2.rekeyed")) == 1
    assert mirrored(pair)
    pair.agree()
