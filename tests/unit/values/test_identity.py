"""Identities: typed, compared strictly, printed with their type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.values.identity import Identity, IdentityPattern, printable
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
        (
            "dn:C=DE,O=Ex\\, Inc, CN=gw",
            IdType.DER_ASN1_DN,
            bytes.fromhex(
                "302c310b300906035504061302444531"
                "10300e060355040a0c0745782c20496e63"
                "310b300906035504030c026777"
            ),
            "dn:C=DE, O=Ex\\, Inc, CN=gw",
        ),
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
        ("dn:CN", "is written as"),
        ("dn:/C=DE/CN=a", "is written as"),
        ("dn:X=a", "no attribute"),
        ("dn:C=ä", "ASCII only"),
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


def test_distinguished_names_match_whichever_string_types_hold_them() -> None:
    """RFC 5280 §7.1: string types, case and blanks do not tell two names apart."""
    ours = Identity.parse("dn:C=DE, O=Example  Works, CN=gw")
    theirs = Identity(IdType.DER_ASN1_DN, ours.octets.replace(b"\x0c\x02gw", b"\x13\x02GW"))
    assert theirs.octets != ours.octets and ours.matches(theirs) and theirs.matches(ours)
    assert ours.matches(Identity.parse("dn:c=de,o=example works,cn=GW"))
    for other in ("CN=gw, O=Example Works, C=DE", "C=DE, O=Example Works", "C=DE+O=x, CN=gw"):
        assert not ours.matches(Identity.parse(f"dn:{other}"))


def test_attributes_of_one_relative_name_are_in_no_order() -> None:
    one, other = Identity.parse("dn:CN=a+UID=b, O=c"), Identity.parse("dn:UID=b+CN=a, O=c")
    assert one == other and str(one) in ("dn:CN=a+UID=b, O=c", "dn:UID=b+CN=a, O=c")


@given(st.binary(max_size=200))
def test_octets_that_are_no_name_match_themselves_alone(octets: bytes) -> None:
    stranger = Identity(IdType.DER_ASN1_DN, octets)
    assert str(stranger).isprintable() and stranger.matches(stranger)
    assert not stranger.matches(Identity.parse("dn:CN=gw"))
    assert not IdentityPattern.parse("dn:CN=*").matches(stranger)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        (
            "fqdn:*.Example.net",
            ("fqdn:a.example.net", "fqdn:B.EXAMPLE.NET"),
            (
                "fqdn:example.net",
                "fqdn:.example.net",
                "fqdn:a.b.example.net",
                "fqdn:aexample.net",
                "email:a@a.example.net",
                "keyid:a.example.net",
            ),
        ),
        (
            "email:*@example.net",
            ("email:a@example.net",),
            ("email:@example.net", "email:a@b@example.net", "fqdn:example.net"),
        ),
        (
            "dn:O=Example, CN=*",
            ("dn:O=example, CN=anybody",),
            (
                "dn:O=Other, CN=a",
                "dn:CN=a",
                "dn:O=Example, CN=a, OU=b",
                "dn:O=Example, OU=a",
                "dn:CN=a, O=Example",
            ),
        ),
    ],
)
def test_an_asterisk_stands_for_one_label_mailbox_or_value(
    pattern: str, fits: tuple[str, ...], fits_not: tuple[str, ...]
) -> None:
    wanted = IdentityPattern.parse(pattern)
    assert str(wanted) == pattern
    assert all(wanted.matches(Identity.parse(text)) for text in fits)
    assert not any(wanted.matches(Identity.parse(text)) for text in fits_not)


@pytest.mark.parametrize(
    "text",
    [
        "*.example.net",
        "ip:10.*",
        "fqdn:*",
        "fqdn:*.",
        "fqdn:a.*.net",
        "fqdn:*.*.net",
        "keyid:*",
        "email:*",
        "email:a*@example.net",
        "dn:CN=gw",
        "fqdn:*.a b",
    ],
)
def test_an_asterisk_anywhere_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        IdentityPattern.parse(text)
