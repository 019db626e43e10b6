"""decode(encode(x)) == x for every payload and for whole messages; any octets give a value or
Malformed and nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.values.errors import Malformed
from isthmus.wire.describe import describe_message
from isthmus.wire.header import Header
from isthmus.wire.marker import DatagramKind, classify, marked, unmarked
from isthmus.wire.v2 import Message, Payload, decode_chain, decode_message, encode_message
from isthmus.wire.v2 import encode_chain as chain_octets

from .building import body_of
from .strategies import chains, headers, message_payloads, payloads

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def value_or_malformed(octets: bytes) -> Message | None:
    """The property of S-01: nothing but these two can come out, and a value is encoded again."""
    try:
        message = decode_message(octets)
    except Malformed:
        return None
    again = encode_message(message.header, message.payloads)
    assert decode_message(again).payloads == message.payloads
    assert describe_message(message).isprintable()
    return message


@pytest.mark.parametrize("name", sorted(payloads))
def test_every_payload_comes_back_as_it_went(name: str) -> None:
    @quick
    @given(payloads[name])
    def comes_back(payload: Payload) -> None:
        assert body_of(payload) == payload

    comes_back()


@quick
@given(headers, message_payloads)
def test_a_message_comes_back_as_it_went(header: Header, chain: tuple[Payload, ...]) -> None:
    octets = encode_message(header, chain)
    message = decode_message(octets)
    assert message.payloads == chain
    assert encode_message(message.header, message.payloads) == octets
    assert message.header.length == len(octets)
    assert classify(marked(octets)) is DatagramKind.IKE
    assert unmarked(marked(octets)) == octets


@quick
@given(chains)
def test_a_chain_comes_back_as_it_went(chain: tuple[Payload, ...]) -> None:
    first, octets = chain_octets(chain)
    assert decode_chain(first, octets) == chain


@settings(quick, max_examples=400)
@given(st.binary(max_size=200))
def test_any_octets_give_a_message_or_malformed(octets: bytes) -> None:
    value_or_malformed(octets)


@settings(quick, max_examples=400)
@given(st.integers(0, 255), st.binary(max_size=120))
def test_any_octets_give_a_chain_or_malformed(first: int, octets: bytes) -> None:
    try:
        chain = decode_chain(first, octets)
    except Malformed:
        return
    assert decode_chain(*chain_octets(chain)) == chain


@settings(quick, max_examples=200)
@given(headers, message_payloads, st.data())
def test_a_message_with_one_octet_changed_gives_a_message_or_malformed(
    header: Header, chain: tuple[Payload, ...], data: st.DataObject
) -> None:
    octets = bytearray(encode_message(header, chain))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] = data.draw(st.integers(0, 255))
    value_or_malformed(bytes(octets))


@settings(quick, max_examples=100)
@given(headers, message_payloads, st.data())
def test_a_message_cut_short_or_made_longer_is_malformed(
    header: Header, chain: tuple[Payload, ...], data: st.DataObject
) -> None:
    octets = encode_message(header, chain)
    cut = data.draw(st.integers(0, len(octets) - 1))
    for wrong in (octets[:cut], octets + octets[: cut + 1]):
        with pytest.raises(Malformed):
            decode_message(wrong)
