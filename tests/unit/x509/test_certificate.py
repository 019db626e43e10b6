"""One certificate: what it tells, and that nothing else than BadCertificate comes out."""

import hashlib

import pytest
from cryptography import x509 as library

from isthmus.values.signature import KeyKind, Scheme
from isthmus.x509.certificate import CERTIFICATE_SIZE_MAX, Certificate
from isthmus.x509.errors import BadCertificate
from isthmus.x509.general_name import NameKind

from . import forge
from .campaign import full_inter, full_leaf
from .forge import AT, YEAR, dn
from .scenes import leaf, root

SIZES = (*range(1, 130, 7), *range(500, 2060, 52), *range(2047, 2050), *range(2100, 20_001, 358))
BELOW_LIMITS = range(1024, 8193)


def test_a_certificate_tells_what_stands_in_it() -> None:
    der = full_leaf().der()
    found = Certificate.parse(der)
    assert found.der == der
    assert found.serial == 0x1234
    assert (found.not_before, found.not_after) == (AT - YEAR, AT + YEAR)
    assert found.subject_text == "C=CH, O=Example, CN=gw.example.net"
    assert found.issuer.der == dn("C=CH, O=Example, CN=Example Issuing CA")
    assert found.public_key.kind is KeyKind.EC_P256
    assert found.scheme is Scheme.ED25519
    assert found.version == 3
    assert not found.self_issued and not found.is_authority
    assert [name.kind for name in found.alternative_names][:3] == [
        NameKind.DNS,
        NameKind.EMAIL,
        NameKind.URI,
    ]
    assert found.extensions.ocsp_urls == ("http://ocsp.example.net/",)
    assert found.extensions.ca_issuer_urls == ("http://example.net/ca",)
    assert root().made().self_issued and root().made().is_authority


def test_hashes_are_the_ones_that_others_compute() -> None:
    der = full_leaf().der()
    found, read = Certificate.parse(der), library.load_der_x509_certificate(der)
    assert found.fingerprint == hashlib.sha256(der).digest()
    assert found.spki_sha1 == hashlib.sha1(found.public_key.spki).digest()
    assert found.key_sha1 == library.SubjectKeyIdentifier.from_public_key(read.public_key()).digest
    assert found.signed == read.tbs_certificate_bytes
    assert found.signature == read.signature


def test_certificates_are_equal_when_their_octets_are() -> None:
    one, other = (leaf("P256", "ED25519", serial=n).der() for n in (1, 2))
    assert Certificate.parse(one) == Certificate.parse(one)
    assert len({Certificate.parse(one), Certificate.parse(one), Certificate.parse(other)}) == 2
    assert Certificate.parse(one) != one


def test_constraints_of_an_authority_are_read() -> None:
    found = Certificate.parse(full_inter().der()).extensions
    assert found.subtrees is not None
    assert [str(base) for base in found.subtrees.permitted] == [
        "fqdn:example.net",
        "ip:192.0.2.0/24",
        "ip:2001:db8::/32",
        "email:example.net",
    ]
    assert found.mappings == (("1.2.3", "1.2.4"),)
    assert (found.require_explicit_policy, found.inhibit_policy_mapping) == (3, 2)
    assert found.inhibit_any_policy == 2


@pytest.mark.parametrize("bits", SIZES)
def test_rsa_keys_of_every_size_are_refused_or_read(bits: int) -> None:
    """S-09: n of 1 to 20,000 bits; what is read is within the bounds."""
    spec = leaf(spki=forge.rsa_spki(1 << bits - 1 | 1, 65_537))
    try:
        found = spec.made()
    except BadCertificate as error:
        assert error.code in ("E156", "E157")
        assert bits not in BELOW_LIMITS
    else:
        assert found.public_key.bits == bits
        assert bits in BELOW_LIMITS


@pytest.mark.parametrize("bits", [1, 2, 15, 16, 17, 64, 65, 512, 2048, 4096, 20_000])
def test_rsa_exponents_of_every_size_are_refused_or_read(bits: int) -> None:
    modulus = (1 << 2047) | 1
    for exponent in {1 << bits - 1, (1 << bits - 1) | 1, (1 << bits) - 1}:
        spec = leaf(spki=forge.rsa_spki(modulus, exponent))
        if exponent % 2 and 65_537 <= exponent < 1 << 64:
            assert spec.made().public_key.bits == 2048
        else:
            with pytest.raises(BadCertificate):
                spec.made()


def test_a_certificate_may_be_as_large_as_the_bound() -> None:
    der = leaf().der()
    room = CERTIFICATE_SIZE_MAX - len(der) - 40
    spec = leaf().having(large=("1.3.6.1.4.1.55555.31", False, bytes(room)))
    assert len(spec.der()) > CERTIFICATE_SIZE_MAX - 100
    assert spec.made().serial == 0x1234


@pytest.mark.parametrize("junk", [b"", b"\0", b"0", b"0\0", b"\x30\x80", b"\xff" * 200, bytes(70)])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(BadCertificate):
        Certificate.parse(junk)


def test_other_buffers_are_taken_too() -> None:
    assert Certificate.parse(memoryview(leaf().der())).serial == 0x1234  # type: ignore[arg-type]
