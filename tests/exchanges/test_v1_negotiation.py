"""What Quick Mode agrees on and refuses: groups, networks, lifetimes, the commit bit."""

from dataclasses import replace

import pytest

from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.v1.lifetimes import Lifetime, Phase, responder_lifetime
from isthmus.policy.connection import ChildPolicy, Configuration, Lifetimes
from isthmus.values.address import Endpoint
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev1 import ExchangeType, Flag, NotifyType, ProtocolId
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import TrafficSelector, selectors_text
from isthmus.wire.v1 import Notify

from .pair import LEFT, RIGHT, Pair, Side, rule
from .v1 import PFS_V1, PHASE2_V1, forged, one_pair, site, standing, two_sites, v1_sa

TCP = 6


def rules(left: ChildPolicy, right: ChildPolicy, **more: object) -> Pair:
    """These two rules against each other."""
    return Pair(site("site-b", RIGHT, (left,), **more), site("site-a", LEFT, (right,)))


def sides_of(side: Side) -> set[tuple[str, str]]:
    """Networks of what it sends by."""
    return {
        (selectors_text(sa.local_selectors), selectors_text(sa.remote_selectors))
        for (_, inbound), sa in side.sas.items()
        if not inbound
    }


def code_of(side: Side) -> str:
    """That of the rule's last failure."""
    failure = side.view().rules[0].failure
    return "" if failure is None else failure.code


@pytest.mark.parametrize(
    "group", ["modp1536", "modp2048", "modp3072", "ecp256", "ecp384", "ecp521"]
)
def test_with_a_group_the_keys_are_fresh(group: str) -> None:
    pair = standing(two_sites((f"aes256-sha256-{group}-noesn",)))
    (child,) = (c for r in pair.left.view().rules for c in r.children)
    assert child.pfs
    pair.advance(20)
    pair.rekey(pair.right)
    pair.settle().advance(1)
    one_pair(pair)


@pytest.mark.parametrize(
    ("left", "right"), [(PFS_V1, ("aes256-sha256-noesn",)), (("aes256-sha256-noesn",), PFS_V1)]
)
def test_a_group_on_one_side_only_is_refused_and_told(
    left: tuple[str, ...], right: tuple[str, ...]
) -> None:
    far = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=right)
    pair = rules(rule(proposals=left), far)
    pair.packet(pair.left)
    pair.settle().advance(8)
    for side in (pair.left, pair.right):
        assert code_of(side) == "E201" and not side.sas
        assert side.engine.census()["ike_sas"] == 0, "nothing stands behind a refusal"
    failure = pair.left.view().rules[0].failure
    assert failure is not None and "NO-PROPOSAL-CHOSEN" in failure.reason


def test_one_of_two_proposals_is_common() -> None:
    pair = rules(
        rule(proposals=("aes256gcm16-noesn", "aes128-sha256-noesn")),
        rule("lan", "10.2.0.0/24", "10.1.0.0/24", ("aes128-sha256-noesn",)),
    )
    standing(pair)


@pytest.mark.parametrize(
    ("asked", "held", "agreed"),
    [
        ("10.1.0.0/24", "10.1.0.0/24", True),
        ("10.1.0.128/25", "10.1.0.0/24", True),
        ("10.1.0.7/32", "10.1.0.0/24", True),
        ("10.1.0.0/16", "10.1.0.0/24", False),
        ("10.9.0.0/24", "10.1.0.0/24", False),
        ("0.0.0.0/0", "10.1.0.0/24", False),
        ("10.1.0.0/24", "0.0.0.0/0", True),
    ],
)
def test_networks_are_taken_whole_or_not_at_all(asked: str, held: str, agreed: bool) -> None:
    """Exact, a part, more, and others: nothing can be narrowed in IKEv1."""
    pair = rules(
        rule(local=asked, proposals=PHASE2_V1),
        rule(local="10.2.0.0/24", remote=held, proposals=PHASE2_V1),
    )
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(1)
    if agreed:
        pair.agree()
        assert sides_of(pair.left) == {(asked, "10.2.0.0/24")}
        assert sides_of(pair.right) == {("10.2.0.0/24", asked)}
        # Whoever renews it asks for the same again.
        for side in (pair.right, pair.left):
            pair.advance(20)
            before = pair.left.children()
            pair.rekey(side)
            pair.settle().advance(1)
            assert pair.left.children() != before
            one_pair(pair)
        assert sides_of(pair.left) == {(asked, "10.2.0.0/24")}
        return
    pair.advance(8)
    for side in (pair.left, pair.right):
        assert code_of(side) == "E203" and not side.sas
        assert side.engine.census()["ike_sas"] == 0
    failure = pair.left.view().rules[0].failure
    assert failure is not None and "INVALID-ID-INFORMATION" in failure.reason


@pytest.mark.parametrize("same", [True, False])
def test_a_port_and_a_protocol_are_part_of_what_is_asked_for(same: bool) -> None:
    proposal = (parse_proposal(PHASE2_V1[0], SecurityProtocol.ESP),)
    near = TrafficSelector.of_network("10.1.0.0/24", TCP)
    far = TrafficSelector.of_network("10.2.0.0/24", TCP, 80, 80)
    other = far if same else TrafficSelector.of_network("10.2.0.0/24", TCP, 443, 443)
    pair = rules(
        ChildPolicy("lan", (near,), (far,), proposal),
        ChildPolicy("lan", (other,), (near,), proposal),
    )
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(1)
    if same:
        pair.agree()
        assert sides_of(pair.left) == {("10.1.0.0/24[tcp]", "10.2.0.0/24[tcp/80]")}
        return
    assert code_of(pair.left) == code_of(pair.right) == "E203"


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_refusal_that_is_lost_is_said_again(lost: int) -> None:
    """Else the initiator would wait for long, and take the peer for dead."""
    pair = rules(
        rule(proposals=PHASE2_V1),
        rule(local="10.9.0.0/24", remote="10.1.0.0/24", proposals=PHASE2_V1),
    )
    pair.left.command(Initiate("site-b"))
    for _ in range(7):
        pair.step()
    for _ in range(lost):
        assert len(pair.right.out) == 1
        pair.lose()
        deadline = pair.left.engine.deadline
        assert deadline is not None
        pair.advance(deadline - pair.now, deliver=False)
        assert len(pair.left.out) == 1
        pair.step()
    pair.settle()
    assert code_of(pair.left) == "E203"
    refusals = {d.octets for d in pair.wire if d.octets[18] == ExchangeType.INFORMATIONAL}
    assert refusals


def test_a_quick_mode_that_a_living_peer_passes_over_ends_nothing_else() -> None:
    """Some peers say nothing at all of what they do not want."""
    near = (rule("r1", "10.1.1.0/24", "10.2.1.0/24", PHASE2_V1), rule(proposals=PHASE2_V1))
    far = (rule("r1", "10.2.1.0/24", "10.1.1.0/24", PHASE2_V1),)
    pair = Pair(site("b", RIGHT, near), site("a", LEFT, far))
    pair.packet(pair.left, "r1")
    pair.settle().advance(1)
    before = pair.left.children()
    assert len(before) == 1
    pair.packet(pair.left, "lan")
    pair.left.out.clear()
    mute = v1_sa(pair.right).spi_r
    until = pair.now + 100
    while pair.now < until:
        pair.advance(0.5, deliver=False)
        pair.left.out[:] = [d for d in pair.left.out if d.octets[18] != ExchangeType.QUICK_MODE]
        pair.settle()
    assert pair.left.children() == before and v1_sa(pair.right).spi_r == mute
    (failed,) = pair.left.events("phase2.failed")[:1]
    assert failed.code == "E209"
    assert not pair.left.events("peer.dead")


def test_more_rules_at_once_than_are_remembered_for_one_peer() -> None:
    """A hundred pairs of networks over one phase 1, all asked for at the same moment."""
    numbers = range(100)
    near = tuple(rule(f"r{n}", f"10.1.{n}.0/24", f"10.2.{n}.0/24", PHASE2_V1) for n in numbers)
    far = tuple(rule(f"r{n}", f"10.2.{n}.0/24", f"10.1.{n}.0/24", PHASE2_V1) for n in numbers)
    pair = Pair(site("b", RIGHT, near), site("a", LEFT, far))
    pair.left.command(Initiate("b"))
    for _ in range(2000):
        if not pair.step():
            break
    pair.advance(20)
    assert len(pair.left.children()) == len(pair.right.children()) == 100
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 1
    pair.agree()


# --- lifetimes ------------------------------------------------------------------------------


def lives(seconds: float) -> Lifetimes:
    """A lifetime whose renewal is due at nine tenths."""
    return Lifetimes(seconds, seconds / 10, fuzz=0.0)


def limited(left_s: float, right_s: float, **of_phase1: float) -> Pair:
    """Lifetimes of phase 2, and of phase 1 as `left` and `right`."""
    near = rule(proposals=PHASE2_V1, lifetimes=lives(left_s))
    far = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=PHASE2_V1)
    far = replace(far, lifetimes=lives(right_s))
    return Pair(
        site("site-b", RIGHT, (near,), phase1_lifetimes=lives(of_phase1.get("left", 28800))),
        site("site-a", LEFT, (far,), phase1_lifetimes=lives(of_phase1.get("right", 28800))),
    )


@pytest.mark.parametrize(("left_s", "right_s"), [(600.0, 3600.0), (3600.0, 600.0), (900.0, 900.0)])
def test_both_ends_keep_to_the_shorter_lifetime_of_phase_2(left_s: float, right_s: float) -> None:
    """The responder to what is offered, the initiator to what RESPONDER-LIFETIME says."""
    pair = standing(limited(left_s, right_s))
    shorter = min(left_s, right_s)
    for side in (pair.left, pair.right):
        (child,) = v1_sa(side).children.values()
        assert child.expires_at - child.created_at == pytest.approx(shorter)
        assert {sa.lifetimes.lifetime_s for sa in side.sas.values()} == {shorter}
    before = pair.left.children()
    pair.advance(shorter * 0.95)
    assert pair.left.children() != before
    one_pair(pair)


@pytest.mark.parametrize("left_s", [700.0, 5000.0])
def test_the_responder_keeps_to_a_shorter_offered_lifetime_of_phase_1(left_s: float) -> None:
    pair = standing(limited(3600, 3600, left=left_s, right=2000.0))
    right = v1_sa(pair.right)
    assert right.expires_at is not None and right.established_at is not None
    assert right.expires_at - right.established_at == min(left_s, 2000.0)


def test_responder_lifetime_of_phase_1_is_heard_behind_it() -> None:
    """RFC 2407 §4.6.3.1: with the cookies as SPI, under the protection of phase 1."""
    pair = standing(limited(3600, 3600))
    left, right = v1_sa(pair.left), v1_sa(pair.right)
    data = responder_lifetime(Phase.ONE, Lifetime(900))
    cookies = bytes(right.spi_i + right.spi_r)
    said = Notify(NotifyType.RESPONDER_LIFETIME, data, ProtocolId.ISAKMP, cookies)
    octets = forged(right, ExchangeType.INFORMATIONAL, 4711, (said,))
    pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(RIGHT, 500), octets))
    assert left.expires_at is not None and left.established_at is not None
    assert left.expires_at - left.established_at == 900
    pair.advance(880)
    assert v1_sa(pair.left).spi_i != left.spi_i, "renewed before its end"
    assert len(pair.left.children()) == 1


def test_a_reload_changes_lifetimes_as_they_stand_but_not_the_peers() -> None:
    pair = standing(limited(3600, 900, left=3000, right=5000))
    (child,) = v1_sa(pair.left).children.values()
    sa = v1_sa(pair.left)
    assert sa.established_at is not None

    def reload(phase2_s: float, phase1_s: float) -> None:
        near = rule(proposals=PHASE2_V1, lifetimes=lives(phase2_s))
        told = site("site-b", RIGHT, (near,), phase1_lifetimes=lives(phase1_s))
        pair.left.command(Configure(Configuration((told,))))

    before = pair.left.children()
    reload(3600, 3000)
    assert child.expires_at - child.created_at == 900, "nothing has changed"
    reload(500, 1500)
    assert child.expires_at - child.created_at == 500
    assert sa.expires_at is not None and sa.expires_at - sa.established_at == 1500
    reload(7200, 9000)
    assert child.expires_at - child.created_at == 900, "the peer's own"
    assert sa.expires_at - sa.established_at == 9000
    assert pair.left.children() == before
    (right,) = v1_sa(pair.right).children.values()
    assert right.expires_at - right.created_at == 900


def test_kilobytes_of_an_offer_count_at_the_responder() -> None:
    volume = Lifetimes(3600, 270, octets_max=50_000 * 1024)
    near = rule(proposals=PHASE2_V1, lifetimes=volume)
    far = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=PHASE2_V1)
    pair = standing(rules(near, far))
    for side in (pair.left, pair.right):
        assert {sa.lifetimes.octets_max for sa in side.sas.values()} == {50_000 * 1024}


# --- the commit bit -------------------------------------------------------------------------


class Committing(Pair):
    """The right sets the commit bit in its second message of Quick Mode."""

    says = True

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """The header is not covered by a HASH: the flag may be set on the way."""
        octets = bytearray(datagram.octets)
        if side is self.right and octets[18] == ExchangeType.QUICK_MODE:
            octets[19] |= Flag.COMMIT
        super().deliver(side, replace(datagram, octets=bytes(octets)))


@pytest.mark.parametrize("says", [True, False])
def test_the_commit_bit_puts_off_sending_until_the_peer_is_ready(says: bool) -> None:
    pair = Committing(
        site("site-b", RIGHT, (rule(proposals=PHASE2_V1),)),
        site("site-a", LEFT, (rule("lan", "10.2.0.0/24", "10.1.0.0/24", PHASE2_V1),)),
    )
    pair.packet(pair.left)
    pair.settle()
    begun = pair.now
    pair.advance(0.5)
    outbound = [key for key in pair.left.sas if not key[1]]
    assert not outbound, "not before the peer says so"
    if says:
        right = v1_sa(pair.right)
        (exchange,) = right.exchanges.values()
        octets = forged(
            right,
            ExchangeType.INFORMATIONAL,
            99,
            (Notify(NotifyType.CONNECTED, b"", ProtocolId.ESP, b"\0" * 4),),
        )
        pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(RIGHT, 500), octets))
        assert exchange.kind == ExchangeType.QUICK_MODE
    else:
        # Tolerated: a peer that sets it and never says so is not waited for for ever.
        pair.advance(1.0)
    assert [key for key in pair.left.sas if not key[1]]
    assert pair.now - begun < 2
    pair.agree()
