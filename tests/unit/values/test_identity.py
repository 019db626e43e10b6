"""Identities: typed, compared strictly, printed with their type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.values.identity import Identity, printable
from isthmus.values.registry.ikev2 import IdType


@pytest.mark.parametrize(
    ("text", "kind", "octets", "shown"),
    [
        ("ip:10.1.0.1", IdType.IPV4_ADDR, b"\x0a\x01\x00\x01", "ip:10.1.0.1"),
        ("10.1.0.1", IdType.IPV4_ADDR, b"\x0a\x01\x00\x01", "ip:10.1.0.1"),
        ("fd00::1", IdType.IPV6_ADDR, b"\xfd" + bytes(14) + b"\x01", "ip:fd00::1"),
        ("ip:fd00::1", IdType.IPV6_ADDR, b"\xfd" + bytes(14) + b"\x01", "ip:fd00::1"),
        ("hq.example", IdType.FQDN, b"hq.example", "fqdn:hq.example"),
        ("fqdn:HQ.example", IdType.FQDN, b"HQ.example", "fqdn:HQ.example"),
        ("a@hq.example", IdType.RFC822_ADDR, b"a@hq.example", "email:a@hq.example"),
        ("email:a@b", IdType.RFC822_ADDR, b"a@b", "email:a@b"),
        ("keyid:office", IdType.KEY_ID, b"office", "keyid:0x6f6666696365"),
        ("keyid:0x00ff", IdType.KEY_ID, b"\x00\xff", "keyid:0x00ff"),
    ],
)
def test_an_identity_is_read_and_shown(text: str, kind: IdType, octets: bytes, shown: str) -> None:
    identity = Identity.parse(text)
    assert identity == Identity(kind, octets)
    assert str(identity) == shown
    assert Identity.parse(shown) == identity


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fqdn:", "empty"),
        ("", "empty"),
        ("ip:hq.example", "not an IP address"),
        ("ip:10.1.0.01", "not an IP address"),
        ("fqdn:10.1.0.1", "write ip:"),
        ("email:hq.example", "has no @"),
        ("keyid:0xzz", "not hexadecimal"),
        ("fqdn:hq example", "without blanks"),
        ("fqdn:hq.exämple", "ASCII"),
        ("dn:CN=a", "certificates"),
    ],
)
def test_a_text_that_is_no_identity_is_refused_with_a_sentence(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Identity.parse(text)


def test_names_match_without_regard_to_case_and_nothing_else_does() -> None:
    for kind in (IdType.FQDN, IdType.RFC822_ADDR):
        assert Identity(kind, b"A@Hq.Example").matches(Identity(kind, b"a@hQ.eXample"))
    assert not Identity(IdType.KEY_ID, b"Office").matches(Identity(IdType.KEY_ID, b"office"))


def test_identities_of_different_types_never_match() -> None:
    """The same octets as another type are another peer."""
    octets = b"\x0a\x01\x00\x01"
    kinds = (IdType.IPV4_ADDR, IdType.FQDN, IdType.KEY_ID, IdType.RFC822_ADDR, 201)
    for one in kinds:
        for other in kinds:
            assert Identity(one, octets).matches(Identity(other, octets)) is (one == other)


@given(st.integers(0, 255), st.binary(max_size=400))
def test_any_identity_of_a_stranger_prints_as_one_safe_line(kind: int, octets: bytes) -> None:
    line = str(Identity(kind, octets))
    assert line.isprintable() and line.isascii() and ":" in line


@given(st.binary(max_size=400))
def test_printable_text_is_safe_and_bounded(octets: bytes) -> None:
    text = printable(octets)
    assert text.isprintable() and text.isascii() and len(text) <= 4 * 256
    if octets.isascii() and octets.decode().isprintable() and len(octets) <= 256:
        assert text == octets.decode()
