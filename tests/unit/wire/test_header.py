"""The header and what lies on port 4500."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.values.errors import LocalFault, Malformed
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.header import DATAGRAM_MAX, HEADER_SIZE, Header
from isthmus.wire.marker import DatagramKind, classify, marked
from isthmus.wire.v2 import Encrypted, EncryptedFragment, decode_message, encode_message, prefix

from .building import message_of
from .strategies import headers

HEADER = Header(b"initiate", b"responds", 0, exchange=37, flags=0x28, message_id=0x01020304)


def test_the_golden_header() -> None:
    octets = HEADER.encode(28)
    assert octets == b"initiateresponds" + bytes.fromhex("00 20 25 28 01020304 0000001c")
    back = Header.decode(octets)
    assert back == HEADER.with_payload(0, 28)
    assert back.is_response and back.from_initiator and back.major == 2


@given(headers)
def test_a_header_comes_back_as_it_went(header: Header) -> None:
    assert Header.decode(header.encode(28)) == header.with_payload(0, 28)


@given(st.integers(0, 255))
def test_reserved_flags_are_ignored_on_receipt_and_zero_on_sending(flags: int) -> None:
    """RFC 7296 §3.1."""
    header = Header.decode(message_of(0, b"", flags=flags))
    assert header.flags == flags & 0x28
    assert Header(bytes(8), bytes(8), 0, flags=flags).encode(28)[19] == flags & 0x28


def test_the_flags_of_another_major_version_are_left_alone() -> None:
    """Their meaning is that version's business: IKEv1 uses the low three bits."""
    octets = bytearray(message_of(0, b"", flags=0x07))
    octets[17] = 0x10
    header = Header.decode(bytes(octets))
    assert (header.major, header.flags) == (1, 0x07)
    assert header.encode(28) == octets
    with pytest.raises(Malformed, match="version 1"):
        decode_message(bytes(octets))


def test_a_later_minor_version_is_read() -> None:
    """RFC 7296 §2.5: the minor version of a received message is ignored."""
    octets = bytearray(message_of(0, b""))
    octets[17] = 0x2F
    assert decode_message(bytes(octets)).payloads == ()


@pytest.mark.parametrize("length", [0, 1, 27, 29, 2**31, 2**32 - 1])
def test_a_length_field_that_is_not_the_size_is_malformed(length: int) -> None:
    with pytest.raises(Malformed, match="header tells"):
        Header.decode(message_of(0, b"", length=length))


@pytest.mark.parametrize("size", range(HEADER_SIZE))
def test_fewer_octets_than_a_header_are_malformed(size: int) -> None:
    with pytest.raises(Malformed):
        decode_message(message_of(0, b"")[:size])


def test_more_octets_than_a_datagram_can_have_are_malformed() -> None:
    with pytest.raises(Malformed, match="too many"):
        Header.decode(message_of(43, bytes(DATAGRAM_MAX + 1 - HEADER_SIZE)))


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (HEADER, 27),
        (HEADER, DATAGRAM_MAX + 1),
        (Header(b"short", bytes(8), 0), 28),
        (Header(bytes(8), bytes(9), 0), 28),
        (Header(bytes(8), bytes(8), 0, message_id=2**32), 28),
        (Header(bytes(8), bytes(8), 256), 28),
    ],
)
def test_a_header_that_cannot_be_said_is_our_own_fault(header: Header, length: int) -> None:
    with pytest.raises(LocalFault):
        header.encode(length)


def test_the_prefix_is_the_start_of_the_encrypted_message() -> None:
    body = bytes(range(40))
    whole = encode_message(HEADER, (Encrypted(41, body),))
    assert prefix(HEADER, 41, len(body)) + body == whole
    piece = encode_message(HEADER, (EncryptedFragment(0, 2, 3, body),))
    assert prefix(HEADER, 0, len(body), (2, 3)) + body == piece


@pytest.mark.parametrize(
    ("length", "fragment"),
    [(65536, None), (65535 - 28, None), (1, (0, 1)), (1, (2, 1)), (1, (1, 65536))],
)
def test_a_prefix_that_cannot_be_said_is_our_own_fault(
    length: int, fragment: tuple[int, int] | None
) -> None:
    with pytest.raises(LocalFault):
        prefix(HEADER, 0, length, fragment)


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"", DatagramKind.JUNK),
        (b"\xff", DatagramKind.KEEPALIVE),
        (b"\xff\xff", DatagramKind.JUNK),
        (b"\x00", DatagramKind.JUNK),
        (bytes(4), DatagramKind.JUNK),
        (bytes(31), DatagramKind.JUNK),
        (bytes(32), DatagramKind.IKE),
        (marked(HEADER.encode(28)), DatagramKind.IKE),
        (b"\x00\x00\x01\x00\x00\x00\x00", DatagramKind.JUNK),
        (b"\x00\x00\x01\x00\x00\x00\x00\x01", DatagramKind.ESP),
        (b"\xff" * 100, DatagramKind.ESP),
    ],
)
def test_datagrams_on_port_4500_are_told_apart(octets: bytes, kind: DatagramKind) -> None:
    """RFC 3948 §2."""
    assert classify(octets) is kind


def test_a_reader_tells_where_it_stands() -> None:
    reader = Reader(bytes(range(12)), base=100)
    assert (reader.u8(), reader.u16(), reader.u32()) == (0, 0x0102, 0x03040506)
    part = reader.part(3)
    assert (part.offset, part.remaining, reader.offset) == (107, 3, 110)
    part.skip(1)
    assert part.rest() == b"\x08\x09"
    part.finish()
    with pytest.raises(Malformed, match="1 octets wanted, 0 left"):
        part.u8()  # what lies behind belongs to somebody else
    with pytest.raises(Malformed):
        reader.part(3)
    with pytest.raises(Malformed):
        reader.take(-1)
    with pytest.raises(Malformed) as caught:
        reader.take(3)
    assert (caught.value.at, reader.remaining) == (110, 2)
    with pytest.raises(Malformed, match="2 octets too many"):
        reader.finish()


def test_a_writer_writes_what_it_is_told() -> None:
    writer = Writer().u8(1).u16(2).u32(3).zeros(2).put(b"x")
    assert writer.octets() == b"\x01\x00\x02\x00\x00\x00\x03\x00\x00x"
    assert len(writer) == 10
    for size, write in ((8, Writer().u8), (16, Writer().u16), (32, Writer().u32)):
        for wrong in (-1, 2**size):
            with pytest.raises(LocalFault):
                write(wrong)
