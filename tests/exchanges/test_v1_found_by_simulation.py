"""What simulated worlds of IKEv1 found, reduced to two sides face to face."""

from dataclasses import replace

import pytest

from isthmus.ike.core.commands import Initiate, Terminate
from isthmus.ike.v1.children import UNCONFIRMED_S
from isthmus.ike.v1.fragments import cut
from isthmus.policy.connection import Fragmentation
from isthmus.wire.header import HEADER_SIZE, Header

from .pair import Side
from .v1 import standing, two_sites, v1_sa

SMALL: dict[str, object] = {"fragmentation": Fragmentation(True, 160)}
"""Every message is in pieces from the third one of Main Mode on."""


def test_third_message_in_pieces() -> None:
    """A road with a small MTU: pieces that came before phase 1 was more than a few octets were read
    as whole messages, and no phase 1 stood ever."""
    pair = two_sites(left=SMALL, right=SMALL)
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(1.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.agree()


def test_pieces_of_a_third_message_that_never_is_whole_are_forgotten() -> None:
    pair = two_sites(left=SMALL, right=SMALL)
    pair.left.command(Initiate("site-b"))
    for side in (pair.left, pair.right):
        pair.deliver(side, side.out.pop(0))
    assert len(pair.left.out) > 1, "the third message is in pieces"
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.lose()
    census = pair.right.engine.census()
    assert census["half_open"] == 1 and census["fragment_octets"] > 0
    pair.advance(60.0, deliver=False)
    census = pair.right.engine.census()
    assert census["half_open"] == census["fragment_octets"] == census["dead_timers"] == 0


def test_pieces_for_a_tunnel_without_them_open_nothing() -> None:
    """A peer that sends pieces although it was not told that we take them."""
    pair = two_sites(right={"fragmentation": Fragmentation(False)})
    pair.left.command(Initiate("site-b"))
    for side in (pair.left, pair.right):
        pair.deliver(side, side.out.pop(0))
    whole = pair.left.out.pop(0)
    pieces = cut(Header.decode(whole.octets), whole.octets, 160, whole.remote, 1)
    assert len(pieces) > 1
    pair.deliver(pair.left, replace(whole, octets=pieces[0]))
    assert pair.right.engine.census()["half_open"] == 0
    assert "fragments_not_agreed" in pair.right.events("datagram.dropped")[-1].message


@pytest.mark.parametrize("number", [5, 6])
@pytest.mark.parametrize("place", [0, 8, 40])
def test_a_damaged_proof_is_no_refusal(number: int, place: int) -> None:
    """Nothing but the HASH tells that an encrypted message is whole. One flipped bit, and the peer
    was told that it has another pre-shared key."""
    pair = two_sites()
    pair.left.command(Initiate("site-b"))
    sender: Side = pair.left
    for _ in range(1, number):
        pair.deliver(sender, sender.out.pop(0))
        sender = pair.other(sender)
    sent = sender.out.pop(0)
    octets = bytearray(sent.octets)
    octets[HEADER_SIZE + place] ^= 4
    pair.deliver(sender, replace(sent, octets=bytes(octets)))
    pair.advance(5.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    assert len(pair.left.events("phase1.negotiating")) == 1, "by repeats of the same attempt"
    pair.agree()


def test_a_delete_outlasts_a_road_that_is_cut_for_a_while() -> None:
    """A rule was closed while nothing passed: the peer, whose phase 1 lived on, sent its packets
    into the void until its pair's lifetime."""
    pair = standing(two_sites())
    pair.left.command(Terminate("site-b", "lan"))
    for _ in range(15):
        pair.advance(1.0, deliver=False)
        pair.lose()
    assert pair.right.children() and not pair.left.children()
    pair.advance(60.0)
    assert not pair.right.children()
    assert pair.right.engine.census()["ike_sas"] == 1


def test_a_pair_that_nobody_confirms_ends_when_its_phase_1_has_gone_before() -> None:
    """Phase 1 was renewed while the third message of a Quick Mode was due: its exchange went with
    the old one, and the pair listened for an hour."""
    pair = standing(two_sites())
    before = pair.right.engine.census()["child_sas"]
    pair.rekey(pair.left)
    pair.deliver(pair.left, pair.left.out.pop(0))
    assert pair.right.engine.census()["child_sas"] == before + 1
    sa = v1_sa(pair.right)
    sa.exchanges.clear()
    v1_sa(pair.left).exchanges.clear()
    pair.lose()
    patience_s = sa.connection.liveness.timeout_s + UNCONFIRMED_S
    pair.advance(patience_s + 10.0)
    assert pair.right.engine.census()["child_sas"] == before
    pair.agree()
