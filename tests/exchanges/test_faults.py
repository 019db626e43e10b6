"""Messages lost, repeated, forged and out of order; peers that die."""

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType
from isthmus.values.spi import NO_IKE_SPI
from isthmus.wire.header import Header
from isthmus.wire.v2.message import decode_message, encode_message
from isthmus.wire.v2.notify import Notify

from .pair import LEFT, RIGHT, Pair, connection, rule


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_each_message_of_the_handshake_lost_once(lost: int) -> None:
    """The same octets are sent again, and the responder repeats its cached answer."""
    pair = Pair()
    pair.packet(pair.left)
    for _ in range(lost):
        assert pair.step()
    assert pair.lose() == 1
    pair.advance(5)
    assert pair.left.view().rules[0].state == "up"
    assert pair.right.view().rules[0].state == "up"
    pair.agree()


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_each_message_of_a_renewal_lost_once(lost: int, phase: int) -> None:
    pair = Pair().establish()
    pair.rekey(pair.left, phase)
    for _ in range(lost):
        assert pair.step()
    assert pair.lose() == 1
    pair.advance(15)
    assert len(pair.left.children()) == 1
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_every_message_comes_three_times() -> None:
    """Repeats are answered from the cache or dropped; nothing is done twice."""
    pair = Pair()
    pair.packet(pair.left)
    seen: list[SendDatagram] = []
    for _ in range(100):
        side = pair.left if pair.left.out else pair.right
        if not side.out:
            break
        datagram = side.out.pop(0)
        if datagram in seen:
            continue
        seen.append(datagram)
        for _ in range(3):
            pair.deliver(side, datagram)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    assert len(pair.right.events("phase2.up")) == 1
    pair.agree()


def test_old_messages_replayed_later_change_nothing() -> None:
    pair = Pair().establish()
    pair.rekey(pair.left)
    pair.settle()
    pair.advance(10)
    recorded = list(pair.wire)
    before = (pair.left.children(), pair.right.engine.census())
    for datagram in recorded:
        receiver = pair.right if datagram.remote.address == RIGHT else pair.left
        receiver.feed(DatagramReceived(datagram.remote, datagram.local, datagram.octets))
    pair.settle()
    census = pair.right.engine.census()
    assert pair.left.children() == before[0]
    assert census["child_sas"] == before[1]["child_sas"]
    # The replayed first message may open one half-open SA, which never authenticates.
    assert census["ike_sas"] <= before[1]["ike_sas"] + 1
    pair.advance(60)
    assert pair.right.engine.census()["ike_sas"] == 1


def test_silence_is_found_and_the_rule_waits_again() -> None:
    pair = Pair().establish()
    pair.advance(120, deliver=False)
    pair.lose()
    assert pair.left.events("peer.dead")
    assert not pair.left.sas
    assert pair.left.policies[("site-b", "lan")] == "hold"


def test_no_answer_is_e101() -> None:
    pair = Pair()
    pair.packet(pair.left)
    pair.advance(200, deliver=False)
    failure = pair.left.view().failure
    assert failure is not None and failure.code == "E101"
    assert pair.left.engine.census()["ike_sas"] == 0


def test_exchanges_before_authentication_are_not_heard() -> None:
    """S-13: CREATE_CHILD_SA and INFORMATIONAL before IKE_AUTH: no answer, nothing installed."""
    pair = Pair()
    pair.packet(pair.left)
    pair.step(), pair.step()
    auth = pair.left.out.pop(0)
    for exchange in (ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL, 99, 43, 38):
        octets = bytearray(auth.octets)
        octets[18] = exchange
        pair.right.feed(DatagramReceived(auth.remote, auth.local, bytes(octets)))
        assert not pair.right.out and not pair.right.sas
    # An authentic message of the wrong exchange, sealed with the real keys:
    sa = next(iter(pair.left.engine._sas.values()))  # the test forges with the peer's own keys
    assert sa.protector is not None
    for exchange in (ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL):
        header = Header(
            sa.spi_i, sa.spi_r, 0, exchange=exchange, flags=HeaderFlag.INITIATOR, message_id=1
        )
        forged = sa.protector.seal(header, ())
        pair.right.feed(DatagramReceived(auth.remote, auth.local, forged))
        assert not pair.right.out and not pair.right.sas
    pair.right.feed(DatagramReceived(auth.remote, auth.local, auth.octets))
    assert len(pair.right.sas) == 2


def unprotected(pair: Pair, kind: NotifyType, spi_i: bytes, spi_r: bytes, mid: int) -> bytes:
    """A forged error notify without protection."""
    header = Header(
        spi_i,
        spi_r,
        0,
        exchange=ExchangeType.INFORMATIONAL,
        flags=HeaderFlag.RESPONSE,
        message_id=mid,
    )
    return encode_message(header, (Notify(kind=kind),))


@pytest.mark.parametrize(
    "kind",
    [NotifyType.INVALID_IKE_SPI, NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX],
)
def test_unprotected_errors_change_nothing(kind: NotifyType) -> None:
    """RFC 7296 §2.21.4."""
    pair = Pair().establish()
    view = pair.left.view().phase1
    assert view is not None
    for mid in range(4):
        octets = unprotected(pair, kind, bytes.fromhex(view.spi_i), bytes.fromhex(view.spi_r), mid)
        pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(RIGHT, 500), octets))
    assert pair.left.view().state == "up" and not pair.left.out


def test_forged_refusal_of_the_first_message_is_outlived() -> None:
    """A stranger's NO_PROPOSAL_CHOSEN comes first, the genuine answer after it."""
    pair = Pair()
    pair.packet(pair.left)
    request = pair.left.out[0]
    sent = decode_message(request.octets).header
    header = Header(
        sent.spi_i,
        NO_IKE_SPI,
        0,
        exchange=ExchangeType.IKE_SA_INIT,
        flags=HeaderFlag.RESPONSE,
    )
    forged = encode_message(header, (Notify(kind=NotifyType.NO_PROPOSAL_CHOSEN),))
    pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(RIGHT, 500), forged))
    pair.settle()
    assert pair.left.view().state == "up"


def anybody() -> Pair:
    """The right side takes peers from any address."""
    mirrored = rule(local="10.2.0.0/24", remote="10.1.0.0/24")
    return Pair(right=connection("a", None, (mirrored,), remote_id=f"ip:{LEFT}"))


def test_cookies_under_flood_and_an_honest_peer_gets_in() -> None:
    pair = anybody()
    pair.packet(pair.left)
    first = pair.left.out[0]
    for n in range(200):
        octets = bytearray(first.octets)
        octets[0:8] = n.to_bytes(8, "big", signed=False) if n else b"\x99" * 8
        source = Endpoint(f"203.0.113.{n % 200 + 1}", 500)
        pair.right.feed(DatagramReceived(first.remote, source, bytes(octets)))
    assert pair.right.engine.census()["half_open"] == 64
    pair.right.out.clear()
    pair.settle()
    assert pair.left.view().state == "up"
    cookies = [d for d in pair.wire if d.octets != b"" and len(d.octets) < 90]
    assert cookies, "a cookie was asked for"
    pair.advance(40)
    assert pair.right.engine.census()["half_open"] == 0


def test_unverified_sources_never_get_more_than_they_sent() -> None:
    """R-26: octets out ÷ octets in ≤ 1 towards whoever has not shown that it hears us."""
    pair = anybody()
    sent = received = 0
    pair.packet(pair.left)
    first = pair.left.out.pop(0)
    for n in range(500):
        octets = bytearray(first.octets)
        octets[0:8] = (n + 1).to_bytes(8, "big")
        source = Endpoint(f"203.0.113.{n % 200 + 1}", 500)
        sent += len(octets)
        pair.right.feed(DatagramReceived(first.remote, source, bytes(octets)))
        received += sum(len(d.octets) for d in pair.right.out)
        pair.right.out.clear()
    pair.advance(60, deliver=False)
    received += sum(len(d.octets) for d in pair.right.out)
    assert received <= sent


def test_invalid_ke_leads_to_the_group_that_the_peer_wants() -> None:
    both = ("aes256gcm16-prfsha384-x25519-ecp256",)
    pair = Pair(
        connection("b", RIGHT, (rule(),), both),
        connection(
            "a",
            LEFT,
            (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
            ("aes256gcm16-prfsha384-ecp256",),
        ),
    )
    pair.establish()
    view = pair.left.view().phase1
    assert view is not None and "ecp256" in view.suite


def test_no_common_proposal_is_named_on_both_sides() -> None:
    pair = Pair(
        connection("b", RIGHT, (rule(),), ("aes256gcm16-prfsha384-x25519",)),
        connection("a", LEFT, (rule(),), ("aes128gcm16-prfsha384-x25519",)),
    )
    pair.packet(pair.left)
    pair.settle()
    pair.advance(2)
    for side in (pair.left, pair.right):
        failure = side.view().failure
        assert failure is not None and failure.code == "E110"
        assert side.engine.census()["ike_sas"] == 0
    assert "cipher" in pair.right.view().failure.reason  # type: ignore[union-attr]


def test_unacceptable_selectors_are_named_and_nothing_is_left() -> None:
    pair = Pair(right=connection("a", LEFT, (rule(local="10.9.0.0/24", remote="10.1.0.0/24"),)))
    pair.packet(pair.left)
    pair.settle()
    pair.advance(6)
    for side in (pair.left, pair.right):
        failure = side.view().rules[0].failure
        assert failure is not None and failure.code == "E203"
        assert side.engine.census()["ike_sas"] == 0 and not side.sas


@pytest.mark.parametrize("where", ["left", "right"])
def test_wrong_identity_is_named_and_nothing_is_left(where: str) -> None:
    left = connection(
        "b", RIGHT, (rule(),), remote_id="fqdn:wrong.example" if where == "left" else None
    )
    right = connection(
        "a",
        LEFT,
        (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
        remote_id="fqdn:wrong.example" if where == "right" else None,
    )
    pair = Pair(left, right)
    pair.packet(pair.left)
    pair.settle()
    pair.advance(31)
    side = pair.right  # the one who can tell
    failure = side.view().failure
    assert failure is not None and failure.code == "E130"
    # The left sends whom it expects as IDr; of the right's expectation it knows nothing.
    mine, yours = ("; we are ip:", "asks for") if where == "left" else ("expected was", "says that")
    assert "fqdn:wrong.example" in failure.reason
    assert mine in failure.reason and yours in failure.reason, failure.reason
    for each in (pair.left, pair.right):
        assert each.engine.census()["ike_sas"] == 0 and not each.sas


def test_responder_of_another_identity_is_refused_by_the_initiator() -> None:
    """Without IDr in the request the responder answers as itself; the initiator judges."""
    right = connection(
        "a", LEFT, (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),), local_id="fqdn:other.example"
    )
    pair = Pair(right=right)
    pair.packet(pair.left)
    pair.settle()
    failure = pair.left.view().failure
    assert failure is not None and failure.code == "E130"
    pair.advance(10)
    for each in (pair.left, pair.right):
        assert each.engine.census()["ike_sas"] == 0 and not each.sas


def test_peer_that_restarts_says_initial_contact() -> None:
    pair = Pair().establish()
    fresh = Pair(seed=77)
    # The left side is replaced by one that knows nothing.
    fresh.left.command(Initiate("site-b"))
    old = pair.right.children()
    for _ in range(10):
        while fresh.left.out:
            d = fresh.left.out.pop(0)
            pair.right.feed(DatagramReceived(d.remote, d.local, d.octets))
        while pair.right.out:
            d = pair.right.out.pop(0)
            fresh.left.feed(DatagramReceived(d.remote, d.local, d.octets))
    assert fresh.left.view().state == "up"
    assert pair.right.engine.census()["ike_sas"] == 1
    assert pair.right.children() != old and len(pair.right.children()) == 1


def test_same_input_same_output() -> None:
    """R-19: the same seed and events give the same octets."""
    runs = []
    for _ in range(2):
        pair = Pair(seed=3).establish()
        pair.rekey(pair.right)
        pair.settle()
        pair.advance(4000)
        runs.append([d.octets for d in pair.wire])
    assert runs[0] == runs[1]
