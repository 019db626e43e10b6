"""Messages that others made: two captures from Scapy and an example of RFC 7634."""

import json
from collections import Counter
from pathlib import Path

import pytest

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import NotifyType
from isthmus.wire.describe import describe_message
from isthmus.wire.marker import DatagramKind, classify, unmarked
from isthmus.wire.v2 import (
    Encrypted,
    Message,
    Notify,
    decode_chain,
    decode_message,
    encode_message,
)
from isthmus.wire.v2.encrypted import prefix
from isthmus.wire.v2.rules import check

from .building import generic
from .capture_files import udp_datagrams

VECTORS = Path(__file__).parents[2] / "vectors"


def datagrams(name: str) -> list[tuple[int, int, bytes]]:
    """Source port, destination port and content of every UDP datagram of a capture."""
    return udp_datagrams(VECTORS / "captures" / name)


def ike_messages(name: str) -> list[Message]:
    """Every IKE message of a capture; each is encoded again to the size and value that it had."""
    messages = []
    for source, destination, octets in datagrams(name):
        if 4500 in (source, destination):
            if classify(octets) is not DatagramKind.IKE:
                continue
            octets = unmarked(octets)
        message = decode_message(octets)
        assert decode_message(encode_message(message.header, message.payloads)) == message
        messages.append(message)
    return messages


def test_the_nat_traversal_capture_is_read() -> None:
    """Three handshakes, each with traffic; the IKE messages agree octet for octet."""
    found = datagrams("ikev2_nat_t.pcapng")
    assert all(4500 in (source, destination) for source, destination, _ in found)
    kinds = Counter(classify(octets) for _, _, octets in found)
    assert kinds == {DatagramKind.IKE: 30, DatagramKind.ESP: 24}
    messages = ike_messages("ikev2_nat_t.pcapng")
    lines = [describe_message(message) for message in messages]
    assert lines[:4] == [
        "IKE_SA_INIT request 0 [SA(aes256gcm16-prfsha256-ecp256) KE(ecp256) Ni "
        "V(0xeb4c1b788afd4a9cb7730a68d56c5321) V(0xc61baca1f1a60cc10800000000000000) "
        "V(0x4048b7d56ebce88525e7de7f00d6c2d3c0000000) V(0x4048b7d56ebce88525e7de7f00d6c2d3) "
        "N(IKEV2_FRAGMENTATION_SUPPORTED) N(REDIRECT_SUPPORTED) N(SIGNATURE_HASH_ALGORITHMS)]",
        "IKE_SA_INIT response 0 [SA(aes256gcm16-prfsha256-ecp256) KE(ecp256) Nr "
        "CERTREQ(X509_SIGNATURE 0 octets) V(0x4048b7d56ebce88525e7de7f00d6c2d3c0000000) "
        "V(0x4048b7d56ebce88525e7de7f00d6c2d3) V(0xc6f57ac398f493208145b7581e878983) "
        "V(0x85817703c6e320d2ae5a4dd02056c6d7) N(IKEV2_FRAGMENTATION_SUPPORTED) "
        "N(SIGNATURE_HASH_ALGORITHMS) N(NotifyType(16404))]",
        "IKE_AUTH request 1 [SK(1248 octets)]",
        "IKE_AUTH response 1 [SK(1240 octets)]",
    ]
    sent = [unmarked(octets) for _, _, octets in found if classify(octets) is DatagramKind.IKE]
    assert [encode_message(message.header, message.payloads) for message in messages] == sent
    for message in messages:
        if not isinstance(message.payloads[-1], Encrypted):
            check(message.header.exchange, message.header.is_response, message.payloads)


def test_the_redirect_capture_is_read() -> None:
    """Its notifies name protocol 1 without an SPI, which is ignored (RFC 7296 §3.10)."""
    messages = ike_messages("ikev2_notify_redirect.pcap")
    assert [describe_message(message) for message in messages][1::2] == [
        "IKE_SA_INIT response 0 [N(REDIRECT)]",
        "IKE_SA_INIT response 0 [N(NO_PROPOSAL_CHOSEN)]",
    ]
    for message in messages:
        check(message.header.exchange, message.header.is_response, message.payloads)
    sent = [octets for _, _, octets in datagrams("ikev2_notify_redirect.pcap")]
    assert [len(encode_message(m.header, m.payloads)) for m in messages] == [len(o) for o in sent]
    assert sent[1][32] == 1 and encode_message(messages[1].header, messages[1].payloads)[32] == 0


@pytest.mark.parametrize("name", ["ikev2_nat_t.pcapng", "ikev2_notify_redirect.pcap"])
def test_every_cut_of_a_captured_message_is_malformed(name: str) -> None:
    for message in ike_messages(name):
        octets = encode_message(message.header, message.payloads)
        for cut in range(len(octets)):
            with pytest.raises(Malformed):
                decode_message(octets[:cut])


def test_the_message_of_rfc_7634_is_read() -> None:
    """Appendix B, closed and its inside: the AAD of the example is the prefix that we build."""
    (case,) = json.loads((VECTORS / "esp" / "rfc-ike-message.json").read_text())["tests"]
    octets = bytes.fromhex(case["message"])
    message = decode_message(octets)
    (sealed,) = message.payloads
    assert isinstance(sealed, Encrypted)
    assert prefix(message.header, sealed.first, len(sealed.body)) + sealed.body == octets
    (inner,) = case["inner"]
    body = bytes.fromhex(inner["body"])
    assert sealed.first == inner["type"]
    (notify,) = decode_chain(sealed.first, generic(0, body))
    assert notify == Notify(NotifyType.SET_WINDOW_SIZE, b"\0\0\0\x0a")
    check(message.header.exchange, message.header.is_response, (notify,))
