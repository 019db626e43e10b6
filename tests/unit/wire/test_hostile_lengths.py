"""S-01, S-02, S-04: every length field of every payload at every awkward value, and what it costs.

The length fields are listed in `samples.py` (those inside a body) and here (those of the header and
of each generic payload header); the first test fails when a payload has none and is not excused.
"""

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from isthmus.values.errors import Malformed, UnsupportedCritical
from isthmus.values.registry.ikev2 import PayloadType, TransformType
from isthmus.wire.cursor import (
    MEMORY_FREE,
    MEMORY_PER_OCTET,
    STEPS_FREE,
    STEPS_PER_OCTET,
    Reader,
)
from isthmus.wire.header import Header
from isthmus.wire.v2 import Unknown, decode_chain, payload_type
from isthmus.wire.v2.message import read_message

from .building import generic, last_type, message_of
from .samples import GOLDEN, Golden
from .test_round_trip import value_or_malformed

WITHOUT_INNER_LENGTHS = {
    "ke", "id_i", "id_r", "cert", "certreq", "auth", "nonce", "vendor", "sk", "unknown",
}  # fmt: skip
BIG = 65535 - 28


def awkward(true: int, header: int, rest: int, size: int) -> set[int]:
    """The values of S-01 for a field of `size` octets."""
    top = 256**size - 1
    values = {0, 1, header - 1, header, true - 1, true, true + 1, rest + 1, top}
    return {value for value in values if 0 <= value <= top}


def mutations(golden: Golden) -> Iterator[bytes]:
    """A message of this payload and a Vendor ID with each length field at each awkward value.

    The bodies stay as long as they were, and once more are cut off right behind the field.
    """
    kind = payload_type(golden.value)
    ends = kind in (PayloadType.SK, PayloadType.SKF)
    following = last_type(golden.value) if ends else PayloadType.VENDOR_ID
    tail = b"" if ends else generic(0, b"vendor")
    body = golden.octets
    for value in awkward(4 + len(body), 4, len(body) + 4 + len(tail), 2):
        yield message_of(kind, generic(following, body, length=value) + tail)
        yield message_of(kind, generic(following, body, length=value))
    whole = generic(following, body) + tail
    for value in awkward(28 + len(whole), 28, 28 + len(whole), 4):
        yield message_of(kind, whole, length=value)
    for at, size, header in golden.lengths:
        true = int.from_bytes(body[at : at + size], "big")
        for value in awkward(true, header, len(body) - at, size):
            changed = body[:at] + value.to_bytes(size, "big") + body[at + size :]
            yield message_of(kind, generic(following, changed) + tail)
            yield message_of(kind, generic(following, changed[: at + size]) + tail)


def test_every_length_field_is_listed() -> None:
    listed = {golden.name for golden in GOLDEN if golden.lengths}
    assert listed | WITHOUT_INNER_LENGTHS == {golden.name for golden in GOLDEN}
    assert not listed & WITHOUT_INNER_LENGTHS


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_length_fields_at_awkward_values_give_a_value_or_malformed(golden: Golden) -> None:
    outcomes = [value_or_malformed(octets) for octets in mutations(golden)]
    assert outcomes.count(None) > len(outcomes) // 4
    assert any(outcome is not None for outcome in outcomes)


def test_two_length_fields_changed_at_once_give_a_value_or_malformed() -> None:
    chance = random.Random(7296)
    for golden in GOLDEN:
        fields = [field for field in golden.lengths for _ in range(20)]
        for at, size, header in fields:
            body = bytearray(golden.octets)
            for where, octets, least in ((at, size, header), chance.choice(golden.lengths)):
                true = int.from_bytes(body[where : where + octets], "big")
                values = sorted(awkward(true, least, len(body) - where, octets))
                body[where : where + octets] = chance.choice(values).to_bytes(octets, "big")
            value_or_malformed(message_of(payload_type(golden.value), generic(0, bytes(body))))


def test_random_damage_to_golden_messages_gives_a_value_or_malformed() -> None:
    chance = random.Random(1)
    for _ in range(6000):
        golden = chance.choice(GOLDEN)
        octets = bytearray(
            message_of(payload_type(golden.value), generic(last_type(golden.value), golden.octets))
        )
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(len(octets))] = chance.choice((0, 1, 4, 127, 128, 255))
        value_or_malformed(bytes(octets))


def repeated(unit: str, size: int) -> bytes:
    """As many whole units as fit."""
    octets = bytes.fromhex(unit.replace(" ", ""))
    return octets * (size // len(octets))


def single(kind: int, body: bytes) -> bytes:
    """A message of one payload."""
    return message_of(kind, generic(0, body))


HOSTILE = {
    "empty payloads": message_of(43, repeated("2b000004", BIG)),
    "unknown payloads": message_of(99, repeated("63000004", BIG)),
    "payloads of no length": message_of(43, repeated("2b000000", BIG)),
    "empty proposals": single(33, repeated("0200000801010000", BIG - 4)),
    "transforms": single(
        33,
        repeated("020007f8 010300fe" + "0300000801000014" * 253 + "0000000801000014", BIG - 4),
    ),
    "attributes": single(
        33, bytes.fromhex("0000fff0010100010000ffe801000014") + repeated("00010000", BIG - 20)
    ),
    "self-nesting proposal": single(33, repeated("0000000801010001", BIG - 4)),
    "selectors": single(44, b"\xff\0\0\0" + repeated("0700001000000fff" + "0" * 16, BIG - 8)),
    "all selectors": single(44, b"\xff\0\0\0" + repeated("0706001001c001d00a0000000affffff", 4080)),
    "all six selectors": single(
        45, b"\xff\0\0\0" + repeated("0806002801c001d0" + "fd" * 16 + "fe" * 16, 255 * 40)
    ),
    "selectors of no length": single(44, b"\xff\0\0\0" + repeated("0a000000", BIG - 8)),
    "smallest selectors": single(44, b"\xff\0\0\0" + repeated("0a000004", 1020)),
    "SPIs": single(42, bytes.fromhex("03043ff0") + repeated("c0ffee01", 4 * 0x3FF0)),
    "SPIs of no octets": single(42, bytes.fromhex("0100ffff")),
    "configuration attributes": single(47, bytes(4) + repeated("0fff0000", BIG - 8)),
    "deletes": message_of(42, repeated("2a00000c0304000101020304", BIG)),
    "notifies": message_of(41, repeated("2900000800004004", BIG)),
    "one large vendor ID": single(43, bytes(BIG - 4)),
    "one large SK payload": single(46, bytes(BIG - 4)),
    "ones": message_of(255, b"\xff" * BIG),
    "zeros": message_of(33, bytes(BIG)),
    "many traffic selector payloads": message_of(
        44,
        b"".join(
            generic(44, b"\x30\0\0\0" + repeated("0706001001c001d00a0000000affffff", 768))
            for _ in range(64)
        ),
    ),
}
"""Inputs made to cost as much as they can, most of them as long as a datagram can be."""


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_on_hostile_octets_is_bounded(name: str) -> None:
    """S-02: steps <= 8 * octets + 256. One step is one read."""
    octets = HOSTILE[name]
    reader = Reader(octets)
    try:
        read_message(reader, Header.decode(octets))
    except Malformed:
        pass
    else:
        assert reader.remaining == 0
    assert 0 < reader.budget.steps <= STEPS_PER_OCTET * len(octets) + STEPS_FREE
    # What strict decoding really takes is far less: no octet is looked at twice.
    assert reader.budget.steps <= len(octets) + 2


@pytest.mark.parametrize("name", HOSTILE)
def test_the_memory_for_hostile_octets_is_bounded(name: str) -> None:
    """S-01: allocation <= 4 * octets + 64 KiB."""
    octets = HOSTILE[name]
    value_or_malformed(octets)  # what is made once and kept (error texts, enum members) is made now
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        try:
            message = read_message(Reader(octets), Header.decode(octets))
        except Malformed:
            message = None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= MEMORY_PER_OCTET * len(octets) + MEMORY_FREE
    del message


def test_the_budget_of_steps_bites() -> None:
    reader = Reader(b"")
    with pytest.raises(Malformed, match="more work"):
        while True:
            reader.take(0)
    assert reader.budget.steps == STEPS_FREE + 1


def test_parts_of_a_reader_share_its_budget() -> None:
    reader = Reader(bytes(100))
    reader.part(10).part(5).u8()
    assert reader.budget.steps == 3


def test_every_payload_type_gives_a_value_or_malformed() -> None:
    """S-04: 0 to 255, those of IKEv1 too, empty and with the body of each golden payload."""
    known = {int(kind) for kind in PayloadType}
    bodies = [b"", *(golden.octets for golden in GOLDEN)]
    for kind in range(256):
        for body in bodies:
            message = value_or_malformed(message_of(kind, generic(0, body)))
            if kind not in known:
                assert message is not None
                assert message.payloads == (Unknown(kind, False, body),)
                with pytest.raises(UnsupportedCritical):
                    decode_chain(kind, generic(0, body, flags=0x80))


@pytest.mark.parametrize("kind", [0, *TransformType, 6, 241, 255])
def test_every_transform_number_is_kept_as_a_number(kind: int) -> None:
    """S-04: 0 to 65,535 of every transform type; none has a meaning of its own in here."""
    for start in range(0, 65536, 128):
        numbers = range(start, start + 128)
        octets = b"".join(
            bytes([0 if number == numbers[-1] else 3, 0, 0, 8, kind, 0]) + number.to_bytes(2, "big")
            for number in numbers
        )
        body = b"\0\0" + (8 + len(octets)).to_bytes(2, "big") + b"\1\1\0\x80" + octets
        (sa,) = decode_chain(33, generic(0, body))
        assert not isinstance(sa, Unknown)
        (proposal,) = sa.proposals  # type: ignore[union-attr]
        assert [(t.kind, t.number) for t in proposal.transforms] == [(kind, n) for n in numbers]
        assert sa.encode() == body
