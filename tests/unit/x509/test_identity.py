"""Identities against certificates: whole, of the same type, nothing by way of the common name."""

import pytest

from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import IdType
from isthmus.x509.identity import (
    describe,
    identities,
    key_identifiers,
    matches,
    same_mailbox,
)

from . import forge
from .forge import dn, dns, email, ip
from .scenes import LEAF, leaf

NAMES = (
    dns("gw.example.net"),
    dns("*.wild.example.net"),
    dns("xn--bcher-kva.example.net"),
    email("Admin@Example.net"),
    ip("192.0.2.1"),
    ip("2001:db8::1"),
    forge.uri("http://uri.example.net/"),
    forge.directory(dn("C=CH, O=Example, CN=alias")),
)
CERTIFICATE = leaf().having(names=forge.names(*NAMES)).made()
KEY_ID = forge.key_identifier(forge.key("P256", "leaf"))


def dn_identity(name: bytes) -> Identity:
    return Identity(IdType.DER_ASN1_DN, name)


MATCHING = [
    Identity.parse("fqdn:gw.example.net"),
    Identity.parse("fqdn:GW.Example.NET"),
    Identity.parse("fqdn:xn--bcher-kva.example.net"),
    Identity.parse("email:Admin@example.NET"),
    Identity.parse("ip:192.0.2.1"),
    Identity.parse("ip:2001:db8::1"),
    dn_identity(LEAF),
    dn_identity(dn("C=CH, O=Example, CN=gw.example.net", 0x13)),
    dn_identity(dn("C=ch, O=EXAMPLE,  CN= GW.example.net".replace(",  ", ", "))),
    dn_identity(dn("C=CH, O=Example, CN=alias")),
    Identity(IdType.KEY_ID, KEY_ID),
    Identity(IdType.KEY_ID, CERTIFICATE.spki_sha1),
]
OTHERS = [
    Identity.parse("fqdn:gw.example.org"),
    Identity.parse("fqdn:example.net"),
    Identity.parse("fqdn:a.gw.example.net"),
    Identity.parse("fqdn:gw.example.net."),
    Identity.parse("fqdn:a.wild.example.net"),
    Identity.parse("fqdn:wild.example.net"),
    Identity.parse("fqdn:uri.example.net"),
    Identity.parse("fqdn:example.net@gw"),
    Identity.parse("fqdn:Admin@Example.net"),
    Identity(IdType.FQDN, b"gw.example.net\0"),
    Identity(IdType.FQDN, b"gw.example.net\0.evil.org"),
    Identity(IdType.FQDN, b""),
    Identity(IdType.FQDN, b"192.0.2.1"),
    Identity(IdType.FQDN, "gw.éxample.net".encode()),
    Identity.parse("email:admin@example.net"),
    Identity.parse("email:Admin@example.org"),
    Identity(IdType.RFC822_ADDR, b"Example.net"),
    Identity(IdType.RFC822_ADDR, b"@Example.net"),
    Identity(IdType.RFC822_ADDR, b"gw.example.net"),
    Identity(IdType.RFC822_ADDR, b""),
    Identity.parse("ip:192.0.2.2"),
    Identity.parse("ip:2001:db8::2"),
    Identity(IdType.IPV4_ADDR, b""),
    Identity(IdType.IPV4_ADDR, bytes(16)),
    Identity(IdType.IPV6_ADDR, bytes((192, 0, 2, 1))),
    Identity(IdType.IPV6_ADDR, bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 1))),
    dn_identity(dn("")),
    dn_identity(b""),
    dn_identity(LEAF[:-1]),
    dn_identity(LEAF + b"\0"),
    dn_identity(dn("CN=gw.example.net")),
    dn_identity(dn("C=CH, O=Example")),
    dn_identity(dn("C=CH, O=Example, CN=gw.example.net, CN=x")),
    dn_identity(dn("O=Example, C=CH, CN=gw.example.net")),
    dn_identity(dn("C=CH, O=Example, CN=gw.exаmple.net")),  # A Cyrillic letter.
    dn_identity(dn("C=CH, O=Example, CN=gw.example.net\u200b")),
    dn_identity(dn("C=CH, O=Exam ple, CN=gw.example.net")),
    dn_identity(dn("C=CH, O=*, CN=gw.example.net")),
    Identity(IdType.KEY_ID, KEY_ID[:-1]),
    Identity(IdType.KEY_ID, b""),
    Identity(IdType.KEY_ID, b"gw.example.net"),
    Identity(IdType.DER_ASN1_GN, dns("gw.example.net")),
    Identity(99, b"gw.example.net"),
]


def numbered(identities_: list[Identity]) -> list[str]:
    """Names that are the same in each process, though keys are not."""
    return [f"{number} of type {int(one.kind)}" for number, one in enumerate(identities_)]


@pytest.mark.parametrize("identity", MATCHING, ids=numbered(MATCHING))
def test_a_certificate_speaks_for_what_it_names(identity: Identity) -> None:
    assert matches(CERTIFICATE, identity)


@pytest.mark.parametrize("identity", OTHERS, ids=numbered(OTHERS))
def test_a_certificate_speaks_for_nothing_else(identity: Identity) -> None:
    assert not matches(CERTIFICATE, identity)


def test_the_common_name_is_no_domain_name() -> None:
    bare = leaf().having(names=None).made()
    assert not matches(bare, Identity.parse("fqdn:gw.example.net"))
    assert matches(bare, dn_identity(LEAF))


def test_an_asterisk_in_a_certificate_is_a_character() -> None:
    assert matches(CERTIFICATE, Identity(IdType.FQDN, b"*.wild.example.net"))
    assert not matches(CERTIFICATE, Identity.parse("fqdn:host.wild.example.net"))


def test_all_names_are_told() -> None:
    told = describe(CERTIFICATE)
    for part in (
        "fqdn:gw.example.net",
        "email:Admin@Example.net",
        "ip:192.0.2.1",
        "ip:2001:db8::1",
        "dn:C=CH, O=Example, CN=gw.example.net",
        f"keyid:0x{KEY_ID.hex()}",
    ):
        assert part in told
    assert told.isprintable()


def test_every_identity_of_a_certificate_matches_it() -> None:
    found = identities(CERTIFICATE)
    assert found[0] == Identity.parse("fqdn:gw.example.net")
    assert all(matches(CERTIFICATE, identity) for identity in found)
    assert {identity.kind for identity in found} == {
        IdType.FQDN,
        IdType.RFC822_ADDR,
        IdType.IPV4_ADDR,
        IdType.IPV6_ADDR,
        IdType.DER_ASN1_DN,
        IdType.KEY_ID,
    }


def test_the_subject_is_among_the_identities_if_there_is_one() -> None:
    assert dn_identity(LEAF) in identities(CERTIFICATE)
    assert dn_identity(dn("")) not in identities(leaf(subject=dn("")).made())


def test_a_key_identifier_of_the_certificate_s_own_comes_first() -> None:
    own = leaf().having(subject_key=forge.subject_key(b"x" * 20)).made()
    assert key_identifiers(own) == (b"x" * 20, own.key_sha1, own.spki_sha1)
    assert describe(own).endswith(f"keyid:0x{b'x'.hex() * 20}")
    bare = leaf().having(subject_key=None).made()
    assert key_identifiers(bare) == (bare.key_sha1, bare.spki_sha1)
    assert describe(bare).endswith(f"keyid:0x{bare.key_sha1.hex()}")


def test_thirty_two_names_are_told() -> None:
    many = leaf().having(names=forge.names(*(dns(f"h{n}.example.net") for n in range(40)))).made()
    assert describe(many).count("fqdn:") == 32


def test_a_mailbox_has_two_parts() -> None:
    assert same_mailbox(b"a@example.net", b"a@EXAMPLE.net")
    for one, other in (
        (b"example.net", b"@example.net"),
        (b"@example.net", b"example.net"),
        (b"@example.net", b"@example.net"),
        (b"example.net", b"example.net"),
        (b"a@example.net", b"example.net"),
    ):
        assert not same_mailbox(one, other)


@pytest.mark.parametrize(
    ("name", "sensible"), [("a!", True), ("a~", True), ("a ", False), ("a\x7f", False), ("", False)]
)
def test_names_that_cannot_be_printed_are_nobody_s(name: str, sensible: bool) -> None:
    found = leaf().having(names=forge.names(dns(name))).made()
    assert matches(found, Identity(IdType.FQDN, name.encode())) is sensible


def test_what_strangers_write_into_names_is_shown_safely() -> None:
    nasty = leaf(subject=dn("CN=\x1b[2J\u202eevil\n, O=a=b")).having(
        names=forge.names(dns("a\x1b[2J\n"), email("b\r\n@c"))
    )
    told = describe(nasty.made())
    assert told.isprintable() and "\x1b" not in told and "\u202e" not in told
