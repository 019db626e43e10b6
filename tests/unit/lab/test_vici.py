"""VICI message bodies."""

import pytest

from isthmus.lab.vici import Section, ViciError, decode, encode


def test_round_trip() -> None:
    """Texts, lists and sections in sections."""
    message: Section = {
        "name": {"version": "2", "local_addrs": ["192.0.2.1", "::1"], "local": {"auth": "psk"}},
        "empty": [],
        "text": "",
    }
    assert decode(encode(message)) == message


def test_known_octets() -> None:
    """The example of an encoded message in strongSwan's description of the protocol."""
    octets = (
        b"\x03\x04key1\x00\x06value1"
        b"\x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02"
        b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02"
    )
    assert decode(octets) == {
        "key1": "value1",
        "section1": {"sub-section": {"key2": "value2"}, "list1": ["item1", "item2"]},
    }
    assert encode(decode(octets)) == octets


def test_nonsense_is_refused() -> None:
    """An element type that does not exist."""
    with pytest.raises(ViciError):
        decode(b"\x09")
