"""Names, algorithms and extensions as they are read: at the edge of each bound."""

import hashlib

import pytest

from isthmus.values.errors import Malformed
from isthmus.values.signature import Scheme
from isthmus.x509 import algorithm
from isthmus.x509.certificate import CERTIFICATE_SIZE_MAX, Certificate
from isthmus.x509.errors import BadCertificate
from isthmus.x509.extensions import KEY_IDENTIFIER_MAX
from isthmus.x509.general_name import GeneralName, NameKind
from isthmus.x509.name import NAME_SIZE_MAX, VALUE_SIZE_MAX, Name

from . import forge
from .forge import NULL, dn, oid, seq, tagged
from .scenes import leaf

RSA = "1.2.840.113549.1.1"
PKCS1 = {
    5: Scheme.RSA_PKCS1_SHA1,
    11: Scheme.RSA_PKCS1_SHA256,
    12: Scheme.RSA_PKCS1_SHA384,
    13: Scheme.RSA_PKCS1_SHA512,
}
PLAIN = {
    "1.2.840.10045.4.1": Scheme.ECDSA_SHA1,
    "1.2.840.10045.4.3.2": Scheme.ECDSA_SHA256,
    "1.2.840.10045.4.3.3": Scheme.ECDSA_SHA384,
    "1.2.840.10045.4.3.4": Scheme.ECDSA_SHA512,
    "1.3.101.112": Scheme.ED25519,
    "1.3.101.113": Scheme.ED448,
}
PSS = {
    1: (32, Scheme.RSA_PSS_SHA256),
    2: (48, Scheme.RSA_PSS_SHA384),
    3: (64, Scheme.RSA_PSS_SHA512),
}


def identifiers() -> dict[bytes, Scheme]:
    """RFC 4055 §3.1 and §5, RFC 5758 §3.2, RFC 8410 §3, put together by the tests' own means."""
    found: dict[bytes, Scheme] = {seq(oid(name)): scheme for name, scheme in PLAIN.items()}
    for last, scheme in PKCS1.items():
        for null in (NULL, b""):
            found[seq(oid(f"{RSA}.{last}"), null)] = scheme
    for last, (salt, scheme) in PSS.items():
        digests = [seq(oid(f"2.16.840.1.101.3.4.2.{last}"), null) for null in (NULL, b"")]
        for digest in digests:
            for inner in digests:
                mask = seq(oid(f"{RSA}.8"), inner)
                body = seq(tagged(0, digest), tagged(1, mask), tagged(2, forge.number(salt)))
                found[seq(oid(f"{RSA}.10"), body)] = scheme
    return found


def test_the_algorithms_are_these_octets_and_no_others() -> None:
    assert algorithm._table() == identifiers()
    assert all(algorithm.scheme_of(each) is scheme for each, scheme in identifiers().items())


def test_a_certificate_is_as_large_as_the_bound_and_no_larger() -> None:
    def padded(octets: int) -> bytes:
        large = ("1.3.6.1.4.1.55555.31", False, bytes(octets))
        # Signatures with Ed25519 are all of one size.
        return leaf("P256", "ED25519").having(large=large).der()

    near = CERTIFICATE_SIZE_MAX - 2000
    room = near + CERTIFICATE_SIZE_MAX - len(padded(near))
    assert len(padded(room)) == CERTIFICATE_SIZE_MAX
    assert Certificate.parse(padded(room)).serial == 0x1234
    with pytest.raises(BadCertificate) as caught:
        Certificate.parse(padded(room + 1))
    assert caught.value.reason == f"the certificate has {CERTIFICATE_SIZE_MAX + 1} octets"


def test_sha1_of_keys_is_declared_not_to_be_for_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine in FIPS mode refuses otherwise."""
    sha1 = hashlib.sha1

    def strict(data: bytes, *, usedforsecurity: bool = True) -> object:
        assert not usedforsecurity
        return sha1(data, usedforsecurity=usedforsecurity)

    found = leaf().made()
    identifier = forge.key_identifier(forge.key("P256", "leaf"))
    monkeypatch.setattr(hashlib, "sha1", strict)
    assert found.key_sha1 == identifier != found.spki_sha1


def test_key_identifiers_are_as_long_as_the_bound_and_no_longer() -> None:
    longest = bytes(KEY_IDENTIFIER_MAX)
    found = leaf().having(subject_key=forge.subject_key(longest)).made()
    assert found.extensions.subject_key_identifier == longest
    with pytest.raises(BadCertificate):
        leaf().having(subject_key=forge.subject_key(longest + b"\0")).made()


def test_places_that_are_told_for_something_else_are_not_asked() -> None:
    other = seq(oid("1.3.6.1.5.5.7.48.9"), forge.uri("http://elsewhere.example.net/"))
    named = seq(oid("1.3.6.1.5.5.7.48.2"), forge.dns("ca.example.net"))
    places = ("1.3.6.1.5.5.7.1.1", False, seq(other, named))
    found = leaf().having(places=places).made().extensions
    assert (found.ocsp_urls, found.ca_issuer_urls) == ((), ())


def test_names_are_as_long_as_the_bounds_and_no_longer() -> None:
    assert not Name.parse(dn("CN=" + "x" * VALUE_SIZE_MAX)).empty
    with pytest.raises(Malformed):
        Name.parse(dn("CN=" + "x" * (VALUE_SIZE_MAX + 1)))
    seven = ", ".join(["O=" + "x" * 1005] * 7)
    short = len(dn(f"{seven}, CN=" + "x" * 1000))
    longest = dn(f"{seven}, CN=" + "x" * (1000 + NAME_SIZE_MAX - short))
    assert len(longest) == NAME_SIZE_MAX
    assert not Name.parse(longest).empty
    with pytest.raises(Malformed):
        Name.parse(dn(f"{seven}, CN=" + "x" * (1001 + NAME_SIZE_MAX - short)))


@pytest.mark.parametrize(
    ("kind", "octets", "shown"),
    [
        (NameKind.IP, bytes((192, 0, 2, 3)), "ip:192.0.2.3"),
        (NameKind.IP, bytes((192, 0, 2, 3, 255, 255, 255, 0)), "ip:192.0.2.3/24"),
        (NameKind.IP, b"\x20\x01" + bytes(13) + b"\x07" + b"\xff" * 4 + bytes(12), "ip:2001::7/32"),
        (NameKind.IP, b"\xab" * 65, "ip:" + "ab" * 64),
        (NameKind.OTHER, b"\xab" * 65, "other:0x" + "ab" * 64),
    ],
)
def test_names_are_shown_in_bounded_length(kind: NameKind, octets: bytes, shown: str) -> None:
    assert str(GeneralName(kind, octets)) == shown
