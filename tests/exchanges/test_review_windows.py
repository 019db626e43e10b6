"""What a hostile review asked of windows and authentication: only what is sealed and new moves an
IKE SA (RFC 7296 §2.3, §2.4, §2.21)."""

from isthmus.ike.core.events import DatagramReceived
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType
from isthmus.values.spi import NO_IKE_SPI
from isthmus.wire.header import Header
from isthmus.wire.v2.message import decode_message, encode_message
from isthmus.wire.v2.notify import Notify

from .pair import LEFT, RIGHT, Pair, connection, rule
from .scenes import far_side, from_stranger, header_from

UNKNOWN_PAYLOAD = 200
CRITICAL = 0x80
ECP_256 = 19


def test_a_forged_critical_payload_outside_sk_neither_answers_nor_moves_the_window() -> None:
    pair = Pair().establish()
    header = header_from(pair, pair.left, ExchangeType.INFORMATIONAL)
    octets = header.with_payload(UNKNOWN_PAYLOAD, 32).encode(32) + bytes((0, CRITICAL, 0, 4))
    from_stranger(pair.right, octets)
    assert not pair.right.out, "what nobody sealed is not answered under the SA's keys"
    pair.rekey(pair.left)
    pair.settle()
    assert pair.left.events("phase2.rekeyed"), "the peer's next message ID is still expected"
    pair.advance(60)
    assert not pair.left.events("peer.dead")
    pair.down(pair.left)
    pair.settle().advance(60)
    assert not pair.right.sas


def test_a_replayed_message_does_not_prove_life() -> None:
    pair = Pair().establish()
    pair.rekey(pair.right)
    pair.settle().advance(6)
    old = next(
        d
        for d in pair.wire
        if d.local.address == RIGHT
        and decode_message(d.octets).header.exchange == ExchangeType.CREATE_CHILD_SA
    )
    for _ in range(60):  # the peer is dead, and somebody replays it
        pair.left.feed(DatagramReceived(old.remote, old.local, old.octets))
        pair.advance(5, deliver=False)
        pair.lose()
    assert pair.left.events("peer.dead")


def test_a_forged_wish_for_another_group_is_outlived() -> None:
    """INVALID_KE_PAYLOAD is not protected: the true answer may come after it."""
    both = ("aes256gcm16-prfsha384-x25519-ecp256",)
    pair = Pair(connection("b", RIGHT, (rule(),), both), far_side(proposals=both))
    pair.packet(pair.left)
    sent = decode_message(pair.left.out[0].octets).header
    header = Header(
        sent.spi_i,
        NO_IKE_SPI,
        0,
        exchange=ExchangeType.IKE_SA_INIT,
        flags=HeaderFlag.RESPONSE,
    )
    other_group = Notify(kind=NotifyType.INVALID_KE_PAYLOAD, data=ECP_256.to_bytes(2, "big"))
    forged = encode_message(header, (other_group,))
    from_stranger(pair.left, forged, Endpoint(RIGHT, 500))
    pair.settle().advance(10)
    assert pair.left.view().state == "up"


def test_a_forged_answer_that_chooses_what_was_not_offered_is_outlived() -> None:
    pair = Pair()
    pair.packet(pair.left)
    weak = ("aes128gcm16-prfsha256-x25519",)
    other = Pair(connection("b", RIGHT, (rule(),), weak), connection("a", LEFT, (rule(),), weak))
    other.packet(other.left)
    other.step()
    forged = bytearray(other.right.out[0].octets)
    forged[0:8] = pair.left.out[0].octets[0:8]
    from_stranger(pair.left, bytes(forged), Endpoint(RIGHT, 500))
    pair.settle()
    assert pair.left.view().state == "up", pair.left.view().failure
