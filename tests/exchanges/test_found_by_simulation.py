"""What simulated worlds found, reduced to two sides face to face."""

import pytest

from isthmus.ike.core.commands import Terminate
from isthmus.ike.core.effects import MakeKeyAndAgree, UpdateSa
from isthmus.ike.core.events import PeerMoved, RuleIdle
from isthmus.policy.connection import Nat
from isthmus.values.address import Endpoint

from .pair import LEFT, RIGHT, Pair, connection, rule


def test_a_group_asked_for_twice_is_no_refusal() -> None:
    """A slow road: the first message was repeated before its answer came, so INVALID_KE_PAYLOAD
    comes twice. The second one asks for what is under way."""
    pair = Pair(
        connection("b", RIGHT, (rule(),), ("aes256gcm16-prfsha384-x25519-ecp256",)),
        connection(
            "a",
            LEFT,
            (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
            ("aes256gcm16-prfsha384-ecp256",),
        ),
    )
    pair.packet(pair.left)
    pair.advance(1.0, deliver=False)
    assert len(pair.left.out) == 2, "the first message and its repeat"
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.deliver(pair.right, pair.right.out.pop(0))
    pair.deliver(pair.right, pair.right.out.pop(0))
    # Longer than an unprotected refusal waits for a better answer; the new request is on its way.
    pair.advance(2.0, deliver=False)
    assert not pair.left.events("phase1.failed")
    pair.settle()
    assert pair.left.view().state == "up"
    pair.agree()


def test_a_rule_whose_delete_crosses_the_end_of_phase_1_waits_for_traffic_again() -> None:
    """`down` of a rule here and of the tunnel there at once: the rule was left closing for ever,
    and its packets were held without anybody being told."""
    pair = Pair().establish()
    pair.right.command(Terminate("site-a", "lan", hold=False))
    pair.left.command(Terminate("site-b", hold=False))
    pair.settle()
    pair.advance(10)
    assert pair.right.policies["site-a", "lan"] == "hold"
    pair.packet(pair.right)
    pair.settle()
    assert pair.right.view().rules[0].state == "up"
    pair.agree()


@pytest.mark.parametrize("seed", range(10, 18))
def test_own_renewal_is_done_while_the_peers_is_computed(seed: int) -> None:
    """RFC 7296 §2.25.1: the answer to a crossing renewal took so long that the pair it is about
    was replaced and deleted meanwhile. Two pairs stood ever after, and both were renewed."""
    pair = Pair(seed=seed).establish()
    pair.left.held_computes = []
    pair.rekey(pair.left)
    pair.rekey(pair.right)
    pair.left.compute(pair.left.held_computes.pop(0))  # our key pair
    pair.settle()  # our request is answered; the peer's waits for its computation
    theirs = next(c for c in pair.left.held_computes if isinstance(c.job, MakeKeyAndAgree))
    ours = next(c for c in pair.left.held_computes if c is not theirs)
    pair.left.held_computes = None
    pair.left.compute(ours)
    pair.settle()
    pair.left.compute(theirs)
    pair.settle()
    pair.advance(60)
    assert len(pair.left.children()) == 1
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_a_renewal_of_phase_1_that_only_we_saw_crossing_keeps_the_children() -> None:
    """Both sides renew phase 1, and the left one's request is lost. The right one, who saw nothing
    crossing, renews phase 2 over its new IKE SA before the left's request comes again: the left one
    did not have the pair there yet, said CHILD_SA_NOT_FOUND, and was left with the old pair."""
    pair = Pair().establish()
    pair.rekey(pair.left, 1)
    assert len(pair.left.out) == 1
    pair.left.out.clear()
    pair.rekey(pair.right, 1)
    pair.settle()
    pair.rekey(pair.right, 2)
    pair.settle()
    assert not pair.right.events("phase2.down")
    pair.advance(60)
    for side in (pair.left, pair.right):
        assert len(side.children()) == 1 and len(side.sas) == 2
        assert side.engine.census()["ike_sas"] == 1
    pair.agree()


def test_first_contact_said_before_a_crossing_phase_1_stood_does_not_end_it() -> None:
    """RFC 7296 §2.4: both start at once, and the left one says INITIAL_CONTACT before the right
    one's phase 1 stands. That comes late, so the right one dropped what both had made meanwhile,
    without a word, and the left one kept it until DPD found it dead."""
    pair = Pair()
    pair.packet(pair.left)
    pair.packet(pair.right)
    left, right = pair.left, pair.right
    pair.deliver(left, left.out.pop(0))  # IKE_SA_INIT -->
    pair.deliver(right, right.out.pop(1))  # <-- its answer; IKE_AUTH with INITIAL_CONTACT waits
    first_contact = left.out.pop(0)
    pair.advance(0.01, deliver=False)
    pair.deliver(right, right.out.pop(0))  # <-- the right one's own IKE_SA_INIT
    pair.settle()  # IKE_AUTH: its phase 1 stands on both sides
    assert left.view().state == right.view().state == "up"
    pair.deliver(left, first_contact)
    pair.settle().advance(30)
    assert left.engine.census()["ike_sas"] == right.engine.census()["ike_sas"] == 1
    assert not left.events("peer.dead")
    pair.agree()


def test_a_pair_closed_before_its_answer_came_is_still_heard_and_phase_1_stays() -> None:
    """The peer closes for silence what the left one has just asked for, and its Delete overtakes
    its answer. What it had sent by that pair was lost; and where no other pair stood, the left one
    took the refusal for a lasting one and closed phase 1 too."""
    mirrored = rule(local="10.2.0.0/24", remote="10.1.0.0/24", idle_s=5.0)
    pair = Pair(
        connection("site-b", RIGHT, (rule(idle_s=5.0),)),
        connection("site-a", LEFT, (mirrored,)),
    ).establish()
    left, right = pair.left, pair.right
    left.feed(RuleIdle("site-b", "lan"))
    pair.settle().advance(6)
    phase1 = left.view().phase1
    pair.packet(left)
    pair.deliver(left, left.out.pop(0))  # CREATE_CHILD_SA -->
    right.feed(RuleIdle("site-a", "lan"))
    sent_by = [spi for spi, inbound in right.sas if inbound]
    answer, delete = right.out.pop(0), right.out.pop(0)
    pair.deliver(right, delete)
    pair.deliver(right, answer)
    assert [inbound for _, inbound in left.sas] == [True], "what is on the road is heard"
    assert len(sent_by) == 1
    pair.settle().advance(6)
    assert not left.sas and not right.sas
    pair.packet(left)
    pair.settle()
    assert left.view().rules[0].state == "up"
    now = left.view().phase1
    assert phase1 is not None and now is not None and now.spi_i == phase1.spi_i
    pair.agree()


def test_phase_1_stays_when_the_peer_puts_phase_2_off() -> None:
    """RFC 7296 §2.25: TEMPORARY_FAILURE asks to try again. Both rules were closed for silence, the
    peer renewed phase 1 just then, and the left one closed phase 1 for the refusal."""
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0),))).establish()
    left, right = pair.left, pair.right
    left.feed(RuleIdle("site-b", "lan"))
    pair.settle().advance(6)
    pair.packet(left)
    pair.rekey(right, 1)
    pair.deliver(left, left.out.pop(0))  # refused: the peer renews phase 1
    pair.settle().advance(10)
    for side in (left, right):
        assert side.engine.census()["ike_sas"] == 1 and not side.events("phase1.down")
    pair.packet(left)
    pair.settle()
    assert left.view().rules[0].state == "up"
    pair.agree()


def test_a_peer_that_moves_while_a_pair_is_closed_moves_what_is_still_there() -> None:
    """Nothing leaves by a pair that is being closed, so the plane was told of one that it does not
    have."""
    mirrored = rule(local="10.2.0.0/24", remote="10.1.0.0/24")
    pair = Pair(
        connection("site-b", RIGHT, (rule(),), nat=Nat.FORCE),
        connection("site-a", LEFT, (mirrored,), nat=Nat.FORCE),
    ).establish()
    right = pair.right
    spi_in, spi_out = next(iter(right.children()))
    right.command(Terminate("site-a", "lan"))
    right.effects.clear()
    right.feed(PeerMoved(spi_in, Endpoint(LEFT, 4999)))
    updated = {(e.spi, e.inbound) for e in right.effects if isinstance(e, UpdateSa)}
    assert updated == {(spi_in, True)}
    assert (spi_out, False) not in right.sas
