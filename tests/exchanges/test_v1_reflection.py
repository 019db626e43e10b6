"""What one end sent and somebody sends back to it is not the other end's (S-26): in IKEv1 a first
message looks alike in both directions, keys and IVs too."""

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.policy.connection import Liveness, Nat
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType

from .pair import Pair, Side
from .v1 import kinds, standing, two_sites, v1_sa

ELSEWHERE = Endpoint("203.0.113.66", 4500)
PATIENCE = Liveness(every_s=5.0, timeout_s=20.0)


def back(side: Side, datagram: SendDatagram, source: Endpoint | None = None) -> None:
    """A datagram of this side comes back to it."""
    source = source or datagram.remote
    side.feed(DatagramReceived(datagram.local, source, datagram.octets))


def probing(pair: Pair) -> SendDatagram:
    """A question of the left whether the right lives, which is lost."""
    pair.advance(PATIENCE.every_s + 0.1, deliver=False)
    probe = pair.left.out[0]
    pair.lose()
    return probe


def test_a_probe_that_comes_back_from_elsewhere_moves_nobody() -> None:
    pair = standing(two_sites(left={"liveness": PATIENCE, "nat": Nat.FORCE}))
    sa, before = v1_sa(pair.left), v1_sa(pair.left).remote
    assert sa.follows_peer
    back(pair.left, probing(pair), ELSEWHERE)
    assert sa.remote == before
    assert pair.left.events("peer.moved") == []


def test_probes_that_come_back_do_not_keep_a_dead_peer_alive() -> None:
    pair = standing(two_sites(left={"liveness": PATIENCE}))
    for _ in range(400):
        pair.advance(0.2, deliver=False)
        sent, pair.left.out = pair.left.out, []
        pair.right.out.clear()
        for datagram in sent:
            back(pair.left, datagram)
    assert len(pair.left.events("peer.dead")) == 1


@pytest.mark.parametrize("who", ["left", "right"])
def test_a_whole_life_that_comes_back_changes_nothing(who: str) -> None:
    """Each datagram of one side, sent back to it at once and once more at the end."""
    pair = two_sites()
    side: Side = getattr(pair, who)
    pair.left.command(Initiate("site-b"))
    mine: list[SendDatagram] = []
    for _ in range(100):
        mine += side.out
        for datagram in tuple(side.out):
            back(side, datagram)
        if not pair.step():
            break
    pair.advance(1.0)
    pair.agree()
    before = dict(side.sas)
    sent = len(side.out)
    for datagram in mine:
        # The very first message has a cookie alone: it may be anybody's, and gets its answer.
        if any(datagram.octets[8:16]):
            back(side, datagram)
    assert side.sas == before
    assert len(side.out) == sent
    assert pair.left.view().state == pair.right.view().state == "up"


def test_ids_of_ours_are_used_once() -> None:
    """Their IVs follow from them: one that came again would encrypt two messages alike."""
    pair = standing(two_sites(left={"liveness": PATIENCE}))
    for _ in range(3):
        pair.rekey(pair.left)
        pair.settle().advance(30.0)
    ids = [
        int.from_bytes(d.octets[20:24], "big") for d in pair.wire if d.local.address == "192.0.2.1"
    ]
    assert set(ids) - {0} <= v1_sa(pair.left).own_ids | v1_sa(pair.left).used_ids.keys()


def test_guesses_at_the_pre_shared_key_come_to_an_end() -> None:
    """S-18: an attempt takes a few proofs that cannot be read, and then none."""
    pair = two_sites()
    pair.left.command(Initiate("site-b"))
    while kinds(pair.wire).count(ExchangeType.MAIN_MODE) < 4:
        assert pair.step()
    (proof,) = pair.left.out
    pair.left.out.clear()
    for guess in range(8):
        octets = proof.octets[:28] + bytes(15) + bytes((guess,)) + proof.octets[44:]
        pair.right.feed(DatagramReceived(proof.remote, proof.local, octets))
    pair.right.feed(DatagramReceived(proof.remote, proof.local, proof.octets))
    assert v1_sa(pair.right).established_at is None
    assert pair.right.out == []
