"""A peer that gives up its own renewal of a Child SA when phase 1 is renewed, and then lacks the
pair that it asked for.

charon 5.9.8 does so (found by `make soak-rekey`). It drops an answer that comes while it reads a
request of the same number, and would ask again after four seconds. Where its renewal has crossed
ours, it agrees to renew phase 1 meanwhile instead of answering TEMPORARY_FAILURE (RFC 7296
§2.25.1), and the new IKE SA knows nothing of that request. The old pair counts as replaced there.
"""

import pytest

from isthmus.ike.core.child import ChildState
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.v2.exchanges import create_child_sa
from isthmus.ike.v2.sa import SaV2
from isthmus.policy.connection import Liveness
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag
from isthmus.wire.header import Header
from robustness.hand import sa_with

from .pair import LEFT, RIGHT, Pair, connection, rule
from .scenes import ike_sas, mirrored, phase1


def crossed_and_unanswered() -> Pair:
    """Both have renewed phase 2 at once, the right's pair is the one to keep, and the left's answer
    about it is lost: the left has deleted its own, and the right has not asked again yet."""
    for seed in range(0, 100, 10):
        pair = Pair(seed=seed).establish()
        pair.rekey(pair.left)
        pair.rekey(pair.right)
        ours, theirs = pair.left.out.pop(0), pair.right.out.pop(0)
        pair.deliver(pair.right, theirs)
        pair.deliver(pair.left, ours)
        pair.left.out.clear()
        pair.settle()
        (collision,) = pair.left.events("phase2.collision")
        if "the peer's pair is kept" in collision.message:
            return pair
    raise AssertionError("one nonce is the lowest in half of the cases")


def give_up(pair: Pair) -> None:
    """The right forgets its request. What it wanted to replace is replaced: the left did."""
    sa = sa_with(pair.right.engine, bytes.fromhex(phase1(pair.right).spi_r))
    assert isinstance(sa, SaV2)
    sa.window.settled()
    (old,) = (c for c in sa.children.values() if c.state is ChildState.REKEYING)
    old.move(ChildState.REPLACED)


def carries(pair: Pair) -> bool:
    """What the left sends by any pair, the right can open."""
    sending = [s for (s, inbound) in pair.left.sas if not inbound and not pair.left.standby[s]]
    return bool(sending) and all((spi, True) in pair.right.sas for spi in sending)


def settle_carrying(pair: Pair) -> None:
    """Deliver until nothing is on its way; packets pass at every moment."""
    while pair.step():
        assert carries(pair)


def in_order(pair: Pair) -> None:
    """One pair stands, known to both, and nothing was told as lost."""
    pair.advance(10)
    assert mirrored(pair) and len(pair.left.children()) == 1
    assert ike_sas(pair) == (1, 1)
    assert not pair.left.events("phase2.down") and not pair.left.events("phase1.down")
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_phase_1_is_not_renewed_while_the_peers_renewal_of_phase_2_is_under_way() -> None:
    pair = crossed_and_unanswered()
    pair.rekey(pair.left, 1)
    assert not pair.left.out, "the peer's renewal would end on an IKE SA that is no more"
    in_order(pair)
    assert len(pair.left.events("phase1.rekeyed")) == 1
    assert not pair.left.events("phase1.rekey_failed")


def test_phase_1_is_renewed_though_the_peers_renewal_of_phase_2_never_ends() -> None:
    pair = crossed_and_unanswered()
    give_up(pair)
    pair.rekey(pair.left, 1)
    pair.advance(60)
    in_order(pair)
    assert len(pair.left.events("phase1.rekeyed")) == 1


def test_a_pair_that_the_peer_has_lost_is_made_anew_when_it_is_renewed() -> None:
    """What the peer asks next says that it waits for no answer any more."""
    pair = crossed_and_unanswered()
    give_up(pair)
    pair.rekey(pair.right, 1)
    settle_carrying(pair)
    assert len(pair.right.events("phase1.rekeyed")) == 1, "nothing is under way for us either"
    pair.rekey(pair.left)
    settle_carrying(pair)
    assert not pair.left.events("phase2.rekey_failed")
    in_order(pair)


@pytest.mark.parametrize("asks_first", [False, True])
def test_a_pair_that_the_peer_has_lost_is_found_by_itself(asks_first: bool) -> None:
    """The peer neither uses the pair nor deletes the old one: we ask while the old one stands."""
    pair = crossed_and_unanswered()
    give_up(pair)
    if asks_first:
        pair.rekey(pair.right, 1)
        settle_carrying(pair)
    lost = pair.left.children() - {(out, into) for into, out in pair.right.children()}
    assert lost, "the left shows a pair that the right has not"
    for _ in range(60):
        pair.advance(1)
        assert carries(pair)
    in_order(pair)
    assert not lost & pair.left.children()


def test_a_pair_made_anew_is_asked_for_again_when_the_peer_puts_it_off() -> None:
    """Also then from scratch: the peer has had the old one replaced."""
    pair = crossed_and_unanswered()
    give_up(pair)
    pair.rekey(pair.right, 1)
    pair.settle()
    pair.rekey(pair.left)
    pair.step(), pair.step()  # the renewal, and CHILD_SA_NOT_FOUND
    pair.right.held_computes = []
    pair.rekey(pair.right, 1)  # renews phase 1, and so says TEMPORARY_FAILURE
    pair.settle()
    (job,) = pair.right.held_computes
    assert len(pair.left.events("phase2.rekey_failed")) == 1
    pair.right.held_computes = None
    pair.right.compute(job)
    settle_carrying(pair)
    pair.advance(10)
    in_order(pair)


def test_a_slow_repeat_finds_the_pair_though_peers_are_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our answer is lost, the peer asks again only after four seconds, and until then it says that
    it knows of no such pair, as charon does; ours counts as dead after two."""
    monkeypatch.setattr(create_child_sa, "is_asking", lambda sa: False)
    pair = Pair(
        connection("b", RIGHT, (rule(),), liveness=Liveness(every_s=1.0, timeout_s=2.0)),
        connection("a", LEFT, (rule("lan", "10.2.0.0/24", "10.1.0.0/24"),)),
    ).establish()
    pair.rekey(pair.right)
    pair.step()
    pair.left.out.clear()
    for _ in range(40):
        pair.advance(0.1, deliver=False)
        pair.right.out[:] = [d for d in pair.right.out if not asks_for_child(d)]
        pair.settle()
    assert pair.right.events("exchange.repeated"), "so far it has been asking in vain"
    pair.advance(20)
    in_order(pair)


def asks_for_child(datagram: SendDatagram) -> bool:
    """A request of CREATE_CHILD_SA, by its header."""
    header = Header.decode(datagram.octets)
    is_request = HeaderFlag.RESPONSE not in HeaderFlag(header.flags)
    return is_request and header.exchange == ExchangeType.CREATE_CHILD_SA
