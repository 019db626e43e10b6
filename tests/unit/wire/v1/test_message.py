"""Whole IKEv1 messages and chains: what they are, what they cost, and what hashes cover."""

import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.values.errors import Malformed
from isthmus.wire.chain import PAYLOADS_MAX
from isthmus.wire.cursor import (
    MEMORY_FREE,
    MEMORY_PER_OCTET,
    STEPS_FREE,
    STEPS_PER_OCTET,
    Reader,
)
from isthmus.wire.describe import describe_payloads
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v1 import (
    Chain,
    Hash,
    Nonce,
    Payload,
    Unknown,
    VendorId,
    decode_chain,
    decode_message,
    encode_chain,
    encode_message,
)
from isthmus.wire.v1.message import PADDING_MAX, read_chain

from ..building import generic
from .building import alone, message_of
from .samples import GOLDEN, Golden
from .strategies import chains, headers, payloads

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
HASHED = generic(10, b"hash") + generic(13, b"n" * 8) + generic(0, b"vendor")
"""HASH, nonce and vendor ID."""


def value_or_malformed(octets: bytes) -> Chain | None:
    """Nothing but these two can come out, and a value is encoded again."""
    try:
        header, chain = decode_message(octets)
    except Malformed:
        return None
    again = encode_message(header, chain.payloads)
    assert decode_message(again)[1].payloads == chain.payloads
    assert describe_payloads(chain.payloads).isprintable()
    return chain


# --- what a chain keeps -------------------------------------------------------------------------


def test_a_chain_keeps_bodies_and_what_stands_behind_each() -> None:
    chain = decode_chain(8, HASHED)
    assert chain.payloads == (Hash(b"hash"), Nonce(b"n" * 8), VendorId(b"vendor"))
    assert chain.bodies == (b"hash", b"n" * 8, b"vendor")
    assert chain.after(0) == generic(13, b"n" * 8) + generic(0, b"vendor")
    assert chain.after(1) == generic(0, b"vendor")
    assert chain.after(2) == b""


def test_bodies_are_as_they_came_where_they_would_be_encoded_otherwise() -> None:
    # RESERVED octets of a NAT-OA are ignored, but a hash covers them.
    body = bytes.fromhex("01 a1a2a3 0a000001")
    chain = decode_chain(21, generic(0, body))
    assert chain.bodies == (body,)
    assert chain.payloads[0].encode() != body


@pytest.mark.parametrize("count", [0, 1, 7, 15, PADDING_MAX])
def test_padding_is_no_part_of_a_chain(count: int) -> None:
    chain = decode_chain(8, HASHED + b"\x55" * count, padded=True)
    assert chain.octets == HASHED
    assert chain.after(0) == decode_chain(8, HASHED).after(0)


def test_more_padding_than_any_block_needs_is_malformed() -> None:
    with pytest.raises(Malformed, match="256 octets of padding"):
        decode_chain(8, HASHED + bytes(PADDING_MAX + 1), padded=True)


def test_padding_where_none_may_be_is_malformed() -> None:
    with pytest.raises(Malformed, match="1 octets too many"):
        decode_chain(8, HASHED + b"\0")


def test_a_chain_of_nothing_has_nothing() -> None:
    assert decode_chain(0, b"") == Chain(())
    assert decode_chain(0, bytes(8), padded=True).bodies == ()
    assert encode_chain(()) == (0, b"")


def test_the_offsets_of_errors_are_those_of_the_datagram() -> None:
    with pytest.raises(Malformed) as caught:
        decode_chain(8, generic(10, b"hash") + generic(0, b"short"))
    assert caught.value.at == HEADER_SIZE + 8 + 4


def test_a_reserved_octet_that_is_not_zero_is_malformed() -> None:
    with pytest.raises(Malformed, match="RESERVED"):
        decode_chain(8, generic(0, b"hash", flags=0x80))


def test_so_many_payloads_and_no_more() -> None:
    octets = generic(13, b"") * (PAYLOADS_MAX - 1) + generic(0, b"")
    assert len(decode_chain(13, octets).payloads) == PAYLOADS_MAX
    with pytest.raises(Malformed, match=f"more than {PAYLOADS_MAX} payloads"):
        decode_chain(13, generic(13, b"") + octets)


def test_a_payload_shorter_than_its_header_or_longer_than_its_message_is_malformed() -> None:
    for length in (0, 3, 9, 65535):
        with pytest.raises(Malformed):
            decode_chain(8, generic(0, b"hash", length=length))


# --- whole messages -----------------------------------------------------------------------------


def test_a_header_of_version_1_keeps_its_flags_and_cookies() -> None:
    header, chain = decode_message(message_of(8, HASHED, exchange=5, flags=0x06))
    assert (header.version, header.exchange, header.flags) == (0x10, 5, 6)
    assert header.spi_i == b"\x11" * 8
    assert header.length == 28 + len(HASHED)
    assert encode_message(header, chain.payloads) == message_of(8, HASHED, exchange=5, flags=6)


def test_an_encrypted_message_has_to_be_decrypted_first() -> None:
    with pytest.raises(Malformed, match="the message is encrypted"):
        decode_message(message_of(8, HASHED, flags=1))


def test_a_message_of_ikev2_is_none_of_ikev1() -> None:
    octets = bytearray(message_of(8, HASHED))
    octets[17] = 0x20
    with pytest.raises(Malformed, match="version 2 is not IKEv1"):
        decode_message(bytes(octets))


@pytest.mark.parametrize("kind", range(256))
def test_every_payload_type_gives_a_value_or_malformed(kind: int) -> None:
    known = {golden.kind for golden in GOLDEN} - {200}
    for body in (b"", *(golden.octets for golden in GOLDEN)):
        chain = value_or_malformed(alone(kind, body))
        if kind and kind not in known:
            assert (chain is None) == (kind < 128)
            assert chain is None or chain.payloads == (Unknown(kind, body),)


# --- any octets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(payloads))
def test_every_payload_comes_back_as_it_went(name: str) -> None:
    @quick
    @given(payloads[name])
    def comes_back(payload: Payload) -> None:
        first, octets = encode_chain((payload,))
        chain = decode_chain(first, octets)
        assert chain.payloads == (payload,)
        assert chain.bodies == (payload.encode(),)

    comes_back()


@quick
@given(headers, chains)
def test_a_message_comes_back_as_it_went(header: Header, chain: tuple[Payload, ...]) -> None:
    octets = encode_message(header, chain)
    again, read = decode_message(octets)
    assert read.payloads == chain
    assert read.bodies == tuple(payload.encode() for payload in chain)
    assert read.octets == octets[HEADER_SIZE:]
    assert encode_message(again, read.payloads) == octets


@settings(quick, max_examples=400)
@given(st.integers(0, 255), st.binary(max_size=200), st.booleans())
def test_any_octets_give_a_chain_or_malformed(first: int, octets: bytes, padded: bool) -> None:
    try:
        chain = decode_chain(first, octets, padded=padded)
    except Malformed:
        return
    assert octets.startswith(chain.octets)
    assert decode_chain(*encode_chain(chain.payloads)).payloads == chain.payloads


@settings(quick, max_examples=200)
@given(headers, chains, st.data())
def test_a_message_with_one_octet_changed_gives_a_message_or_malformed(
    header: Header, chain: tuple[Payload, ...], data: st.DataObject
) -> None:
    octets = bytearray(encode_message(header, chain))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    value_or_malformed(bytes(octets))


@quick
@given(headers, chains, st.data())
def test_a_message_cut_short_or_made_longer_is_malformed(
    header: Header, chain: tuple[Payload, ...], data: st.DataObject
) -> None:
    octets = encode_message(header, chain)
    cut = data.draw(st.integers(0, len(octets) - 1))
    for wrong in (octets[:cut], octets + octets[: cut + 1]):
        with pytest.raises(Malformed):
            decode_message(wrong)


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_length_fields_at_awkward_values_give_a_value_or_malformed(golden: Golden) -> None:
    body = golden.octets
    for at, size in golden.lengths:
        true = int.from_bytes(body[at : at + size], "big")
        top = 256**size - 1
        for value in {0, 1, 7, 8, true - 1, true + 1, len(body) - at + 1, top} - {true}:
            if not 0 <= value <= top:
                continue
            changed = body[:at] + value.to_bytes(size, "big") + body[at + size :]
            for tail in (changed, changed[: at + size]):
                value_or_malformed(message_of(golden.kind, generic(13, tail) + generic(0, b"v")))


def test_random_damage_to_golden_messages_gives_a_value_or_malformed() -> None:
    chance = random.Random(2408)
    for _ in range(4000):
        golden = chance.choice(GOLDEN)
        octets = bytearray(alone(golden.kind, golden.octets))
        for _ in range(chance.randint(1, 4)):
            octets[chance.randrange(len(octets))] = chance.choice((0, 1, 4, 127, 128, 255))
        value_or_malformed(bytes(octets))


# --- what hostile octets cost -------------------------------------------------------------------

BIG = 65535 - 28


def _repeated(unit: str, size: int) -> bytes:
    octets = bytes.fromhex(unit.replace(" ", ""))
    return octets * (size // len(octets))


def _distinct_attributes(size: int) -> bytes:
    """Attributes of the short form, no two alike."""
    return b"".join(
        (0x8000 | (at >> 16)).to_bytes(2, "big") + (at & 0xFFFF).to_bytes(2, "big")
        for at in range(size // 4)
    )


def _transforms(count: int, inside: bytes) -> bytes:
    """An SA body of one proposal with so many transforms of these attributes."""
    length = 8 + len(inside)
    row = length.to_bytes(2, "big") + b"\1\1\0\0" + inside
    octets = b"".join((b"\0\0" if left == 0 else b"\3\0") + row for left in range(count)[::-1])
    head = b"\0\0" + (8 + len(octets)).to_bytes(2, "big") + b"\1\1\0" + bytes([count])
    return b"\0\0\0\1\0\0\0\1" + head + octets


HOSTILE = {
    "empty payloads": (13, _repeated("0d000004", BIG)),
    "unknown payloads": (200, _repeated("c8000004", BIG)),
    "payloads of no length": (13, _repeated("0d000000", BIG)),
    "empty proposals": (1, generic(0, b"\0\0\0\1" * 2 + _repeated("0200000801010000", BIG - 12))),
    "empty transforms": (1, generic(0, _transforms(255, b""))),
    "the same attributes": (1, generic(0, _transforms(255, _repeated("80010007", 240)))),
    "attributes without a value": (1, generic(0, _transforms(255, _repeated("00010000", 240)))),
    "attributes that differ": (1, generic(0, _transforms(200, _distinct_attributes(256)))),
    "one transform of attributes": (1, generic(0, _transforms(1, _distinct_attributes(60000)))),
    "configuration": (14, generic(0, b"\1\0\0\0" + _distinct_attributes(60000))),
    "SPIs": (12, generic(0, bytes.fromhex("0000000103043ff0") + _repeated("c0ffee01", 65472))),
    "short SPIs": (12, generic(0, bytes.fromhex("0000000104027fe0") + bytes(65472))),
    "one large vendor ID": (13, generic(0, bytes(BIG - 4))),
    "ones": (255, b"\xff" * BIG),
    "zeros": (1, bytes(BIG)),
}
"""First payload and chain, made to cost as much as they can."""


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_on_hostile_octets_is_bounded(name: str) -> None:
    first, octets = HOSTILE[name]
    reader = Reader(octets, HEADER_SIZE)
    try:
        read_chain(first, reader, octets, padded=True)
    except Malformed:
        pass
    else:
        assert reader.remaining <= PADDING_MAX
    assert 0 < reader.budget.steps <= STEPS_PER_OCTET * len(octets) + STEPS_FREE


@pytest.mark.parametrize("name", HOSTILE)
def test_the_memory_for_hostile_octets_is_bounded(name: str) -> None:
    first, octets = HOSTILE[name]

    def read() -> Chain | None:
        try:
            return decode_chain(first, octets, padded=True)
        except Malformed:
            return None

    read()  # what is made once and kept (error texts, enum members) is made now
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        chain = read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= MEMORY_PER_OCTET * len(octets) + MEMORY_FREE
    del chain
