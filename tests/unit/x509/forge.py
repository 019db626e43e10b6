"""Certificates, lists and answers made octet by octet, so that any single thing can be wrong.

Nothing here checks anything: what a builder with opinions refuses to make is what the tests need.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address, ip_network

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
    x25519,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.x509 import extensions as ext
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.der import Reader, encode
from isthmus.x509.ocsp import OcspAnswer

AT = 1_800_000_000
"""Now, in all these tests: 2027-01-15 08:00:00 UTC."""
DAY = 86_400
YEAR = 365 * DAY

NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"

Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


def seq(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return encode(0x30, b"".join(parts))


def octets(body: bytes) -> bytes:
    """OCTET STRING."""
    return encode(0x04, body)


def bit_string(body: bytes, unused: int = 0) -> bytes:
    """BIT STRING."""
    return encode(0x03, bytes((unused,)) + body)


def number(value: int) -> bytes:
    """INTEGER."""
    size = (value + (value < 0)).bit_length() // 8 + 1
    return encode(0x02, value.to_bytes(size, signed=True))


def tagged(tag: int, body: bytes, *, constructed: bool = True) -> bytes:
    """[tag]."""
    return encode((0xA0 if constructed else 0x80) | tag, body)


def oid(text: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in text.split("."))
    body = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return encode(0x06, body)


def bits(*numbers: int) -> bytes:
    """A named bit list."""
    size = max(numbers) // 8 + 1
    value = bytearray(size)
    for bit in numbers:
        value[bit // 8] |= 0x80 >> bit % 8
    return bit_string(bytes(value), 7 - max(numbers) % 8)


def time(at: int) -> bytes:
    """UTCTime before 2050, GeneralizedTime after."""
    moment = datetime.fromtimestamp(at, UTC)
    if moment.year < 2050:
        return encode(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return generalized(at)


def generalized(at: int) -> bytes:
    """GeneralizedTime."""
    return encode(0x18, datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%SZ").encode())


# Names

ATTRIBUTES = {
    "C": "2.5.4.6",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "CN": "2.5.4.3",
    "DC": "0.9.2342.19200300.100.1.25",
    "E": "1.2.840.113549.1.9.1",
}


def attribute(kind: str, value: str, tag: int = 0x0C) -> bytes:
    """AttributeTypeAndValue; UTF8String unless told."""
    charset = {0x1E: "utf-16-be", 0x14: "latin-1", 0x1C: "utf-32-be"}.get(tag, "utf-8")
    return seq(oid(ATTRIBUTES[kind]), encode(tag, value.encode(charset)))


def rdns(*sets: bytes) -> bytes:
    """A Name of these RelativeDistinguishedNames' contents."""
    return seq(*(encode(0x31, one) for one in sets))


def dn(text: str, tag: int = 0x0C) -> bytes:
    """`C=CH, O=Example, CN=gw` as a Name."""
    if not text:
        return seq()
    parts = [part.partition("=") for part in text.split(", ")]
    return rdns(*(attribute(kind, value, tag) for kind, _, value in parts))


def dns(name: str) -> bytes:
    """A dNSName."""
    return tagged(2, name.encode("latin-1"), constructed=False)


def email(name: str) -> bytes:
    """An rfc822Name."""
    return tagged(1, name.encode("latin-1"), constructed=False)


def uri(name: str) -> bytes:
    """A uniformResourceIdentifier."""
    return tagged(6, name.encode("latin-1"), constructed=False)


def ip(text: str) -> bytes:
    """An iPAddress: an address, or a network with its mask."""
    if "/" in text:
        network = ip_network(text)
        return tagged(7, network.network_address.packed + network.netmask.packed, constructed=False)
    return tagged(7, ip_address(text).packed, constructed=False)


def directory(name: bytes) -> bytes:
    """A directoryName."""
    return tagged(4, name)


def other_name(text: str = "1.3.6.1.4.1.311.20.2.3") -> bytes:
    """An otherName (a Microsoft user principal name)."""
    return tagged(0, oid(text) + tagged(0, encode(0x0C, b"user@example.net")))


# Keys

_EC = {"P256": ec.SECP256R1(), "P384": ec.SECP384R1(), "P521": ec.SECP521R1()}
KINDS = ("RSA", "P256", "P384", "P521", "ED25519", "ED448")


@cache
def key(kind: str, which: str = "") -> Key:
    """A key of a kind; the same one for the same words, made once in a run."""
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65_537, int(kind[3:] or 2048))
    if kind == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ED448":
        return ed448.Ed448PrivateKey.generate()
    return ec.generate_private_key(_EC[kind])


def spki(private: Key) -> bytes:
    """SubjectPublicKeyInfo."""
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def strange_spki(kind: str) -> bytes:
    """Keys that nobody may have here."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match kind:
        case "dsa":
            return dsa.generate_private_key(1024).public_key().public_bytes(*form)
        case "x25519":
            return x25519.X25519PrivateKey.generate().public_key().public_bytes(*form)
        case "secp256k1":
            return ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(*form)
        case "brainpool":
            return ec.generate_private_key(ec.BrainpoolP256R1()).public_key().public_bytes(*form)
        case _:
            raise AssertionError(kind)


def rsa_spki(modulus: int, exponent: int) -> bytes:
    """An RSA key of any numbers."""
    algorithm = seq(oid("1.2.840.113549.1.1.1"), NULL)
    return seq(algorithm, bit_string(seq(number(modulus), number(exponent))))


def explicit_curve_spki() -> bytes:
    """P-256 by its parameters in full (RFC 3279 §2.3.5), as CVE-2020-0601 used them."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    point = key("P256").public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    base = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    parameters = seq(
        number(1),
        seq(oid("1.2.840.10045.1.1"), number(p)),
        seq(octets((p - 3).to_bytes(32)), octets(b.to_bytes(32))),
        octets(base),
        number(n),
        number(1),
    )
    return seq(seq(oid("1.2.840.10045.2.1"), parameters), bit_string(base))


# Signatures

PKCS1 = {1: 5, 256: 11, 384: 12, 512: 13}
_DIGESTS: dict[int, hashes.HashAlgorithm] = {
    1: hashes.SHA1(),
    256: hashes.SHA256(),
    384: hashes.SHA384(),
    512: hashes.SHA512(),
}


def pss_parameters(bits_: int, salt: int) -> bytes:
    """RSASSA-PSS-params with MGF1 of the same hash."""
    digest = seq(oid(f"2.16.840.1.101.3.4.2.{ {256: 1, 384: 2, 512: 3}[bits_] }"), NULL)
    mask = seq(oid("1.2.840.113549.1.1.8"), digest)
    return seq(tagged(0, digest), tagged(1, mask), tagged(2, number(salt)))


def algorithm(private: Key, size: int = 256, pss: bool = False) -> bytes:
    """The AlgorithmIdentifier of a signature by this key."""
    match private:
        case rsa.RSAPrivateKey() if pss:
            return seq(oid("1.2.840.113549.1.1.10"), pss_parameters(size, size // 8))
        case rsa.RSAPrivateKey():
            return seq(oid(f"1.2.840.113549.1.1.{PKCS1[size]}"), NULL)
        case ec.EllipticCurvePrivateKey():
            arc = {1: "1", 256: "3.2", 384: "3.3", 512: "3.4"}[size]
            return seq(oid(f"1.2.840.10045.4.{arc}"))
        case ed25519.Ed25519PrivateKey():
            return seq(oid("1.3.101.112"))
        case ed448.Ed448PrivateKey():
            return seq(oid("1.3.101.113"))


def sign(private: Key, message: bytes, size: int = 256, pss: bool = False) -> bytes:
    """A signature."""
    digest = _DIGESTS[size]
    match private:
        case rsa.RSAPrivateKey() if pss:
            return private.sign(message, padding.PSS(padding.MGF1(digest), size // 8), digest)
        case rsa.RSAPrivateKey():
            return private.sign(message, padding.PKCS1v15(), digest)
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(digest))
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return private.sign(message)


# Extensions: name in a spec -> (object identifier, critical, value)

Extension = tuple[str, bool, bytes]


def basic(ca: bool = True, length: int | None = None, critical: bool = True) -> Extension:
    body = (TRUE if ca else b"") + (b"" if length is None else number(length))
    return ext.BASIC_CONSTRAINTS, critical, seq(body)


def usage(*numbers: int) -> Extension:
    return ext.KEY_USAGE, True, bits(*numbers)


def purposes(*oids: str) -> Extension:
    return ext.EXTENDED_KEY_USAGE, False, seq(*(oid(one) for one in oids))


def names(*general: bytes) -> Extension:
    return ext.SUBJECT_ALTERNATIVE_NAME, False, seq(*general)


def subtrees(
    permitted: Sequence[bytes] = (), excluded: Sequence[bytes] = (), extra: bytes = b""
) -> Extension:
    body = b""
    if permitted:
        body += tagged(0, b"".join(seq(one, extra) for one in permitted))
    if excluded:
        body += tagged(1, b"".join(seq(one, extra) for one in excluded))
    return ext.NAME_CONSTRAINTS, True, seq(body)


def policies(*oids: str) -> Extension:
    return ext.CERTIFICATE_POLICIES, False, seq(*(seq(oid(one)) for one in oids))


def mappings(*pairs: tuple[str, str]) -> Extension:
    return ext.POLICY_MAPPINGS, True, seq(*(seq(oid(a), oid(b)) for a, b in pairs))


def policy_constraints(explicit: int | None = None, mapping: int | None = None) -> Extension:
    body = b""
    for tag, value in ((0, explicit), (1, mapping)):
        if value is not None:
            body += tagged(tag, number(value)[2:], constructed=False)
    return ext.POLICY_CONSTRAINTS, True, seq(body)


def inhibit_any(skip: int) -> Extension:
    return ext.INHIBIT_ANY_POLICY, True, number(skip)


def subject_key(identifier: bytes) -> Extension:
    return ext.SUBJECT_KEY_IDENTIFIER, False, octets(identifier)


def authority_key(
    identifier: bytes, issuer: bytes | None = None, serial: int | None = None
) -> Extension:
    body = tagged(0, identifier, constructed=False)
    if issuer is not None:
        body += tagged(1, directory(issuer))
    if serial is not None:
        body += tagged(2, number(serial)[2:], constructed=False)
    return ext.AUTHORITY_KEY_IDENTIFIER, False, seq(body)


def point(
    full: Sequence[bytes] = (),
    relative: bytes | None = None,
    reasons: Sequence[int] = (),
    issuers: Sequence[bytes] = (),
) -> bytes:
    """A DistributionPoint."""
    body = b""
    if full:
        body += tagged(0, tagged(0, b"".join(full)))
    if relative is not None:
        body += tagged(0, tagged(1, relative))
    if reasons:
        body += tagged(1, Reader(bits(*reasons)).any().body, constructed=False)
    if issuers:
        body += tagged(2, b"".join(issuers))
    return seq(body)


def points(*each: bytes) -> Extension:
    return ext.CRL_DISTRIBUTION_POINTS, False, seq(*each)


def authority_information(ocsp: str = "", issuers: str = "") -> Extension:
    body = b""
    if ocsp:
        body += seq(oid(ext.OCSP_METHOD), uri(ocsp))
    if issuers:
        body += seq(oid(ext.CA_ISSUERS_METHOD), uri(issuers))
    return ext.AUTHORITY_INFORMATION, False, seq(body)


def no_check() -> Extension:
    return ext.OCSP_NO_CHECK, False, NULL


def unknown(critical: bool = True) -> Extension:
    return "1.3.6.1.4.1.55555.1", critical, NULL


def scope(
    full: Sequence[bytes] = (),
    relative: bytes | None = None,
    users: bool = False,
    authorities: bool = False,
    reasons: Sequence[int] = (),
    indirect: bool = False,
    attributes: bool = False,
) -> Extension:
    """IssuingDistributionPoint."""
    body = b""
    if full:
        body += tagged(0, tagged(0, b"".join(full)))
    if relative is not None:
        body += tagged(0, tagged(1, relative))
    for tag, said in ((1, users), (2, authorities)):
        if said:
            body += tagged(tag, b"\xff", constructed=False)
    if reasons:
        body += tagged(3, Reader(bits(*reasons)).any().body, constructed=False)
    for tag, said in ((4, indirect), (5, attributes)):
        if said:
            body += tagged(tag, b"\xff", constructed=False)
    return ext.ISSUING_DISTRIBUTION_POINT, True, seq(body)


def crl_number(value: int) -> Extension:
    return ext.CRL_NUMBER, False, number(value)


def delta_of(value: int) -> Extension:
    return ext.DELTA_CRL_INDICATOR, True, number(value)


def extension(one: Extension) -> bytes:
    """Extension in DER."""
    name, critical, value = one
    return seq(oid(name), TRUE if critical else b"", octets(value))


# Certificates


def unchanged(octets_: bytes) -> bytes:
    """What nothing is done to."""
    return octets_


def untouched(signature: bytes, tbs: bytes) -> bytes:
    """A signature that nothing is done to."""
    return signature


@dataclass(frozen=True)
class Spec:
    """A certificate to be. `extensions` by nickname, so that one can be replaced or dropped."""

    subject: bytes
    issuer: bytes
    key: Key
    signer: Key
    serial: int = 77
    not_before: int = AT - YEAR
    not_after: int = AT + YEAR
    version: int | None = 2
    extensions: dict[str, Extension] = field(default_factory=dict)
    size: int = 256
    pss: bool = False
    spki: bytes | None = None
    inside: bytes | None = None
    outside: bytes | None = None
    late: Callable[[bytes], bytes] = unchanged
    """What happens to the signed part after it was signed."""
    mangle: Callable[[bytes, bytes], bytes] = untouched
    """What happens to the signature."""
    raw: Callable[[bytes], bytes] = unchanged
    """What happens to the whole."""
    unique: bytes = b""

    def but(self, **changes: object) -> "Spec":
        """With other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def having(self, **extensions: Extension | None) -> "Spec":
        """With extensions replaced, added, or dropped (None)."""
        kept = {**self.extensions, **extensions}
        return replace(self, extensions={k: v for k, v in kept.items() if v is not None})

    def der(self) -> bytes:
        """The certificate."""
        proper = algorithm(self.signer, self.size, self.pss)
        body = b"" if self.version is None else tagged(0, number(self.version))
        tbs = seq(
            body,
            number(self.serial),
            self.inside or proper,
            self.issuer,
            seq(time(self.not_before), time(self.not_after)),
            self.subject,
            self.spki or spki(self.key),
            self.unique,
            tagged(3, seq(*(extension(one) for one in self.extensions.values())))
            if self.extensions
            else b"",
        )
        signature = self.mangle(sign(self.signer, tbs, self.size, self.pss), tbs)
        return self.raw(seq(self.late(tbs), self.outside or proper, bit_string(signature)))

    def made(self) -> Certificate:
        """The certificate, read. Raises BadCertificate."""
        return Certificate.parse(self.der())


def key_identifier(private: Key) -> bytes:
    """SHA-1 of the key bits."""
    inner = Reader(spki(private)).inner()
    inner.any()
    return hashlib.sha1(inner.take(0x03)[1:]).digest()


# Revocation lists


@dataclass(frozen=True)
class ListSpec:
    """A revocation list to be. An entry is (serial, since, extensions)."""

    issuer: bytes
    signer: Key
    entries: tuple[tuple[int, int, tuple[Extension, ...]], ...] = ()
    this_update: int = AT - DAY
    next_update: int | None = AT + DAY
    extensions: tuple[Extension, ...] = (crl_number(1),)
    version: int | None = 1
    size: int = 256
    inside: bytes | None = None
    outside: bytes | None = None
    late: Callable[[bytes], bytes] = unchanged
    mangle: Callable[[bytes], bytes] = unchanged
    raw: Callable[[bytes], bytes] = unchanged

    def but(self, **changes: object) -> "ListSpec":
        """With other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def der(self) -> bytes:
        """The list."""
        proper = algorithm(self.signer, self.size)
        entries = b"".join(
            seq(number(serial), time(since), seq(*map(extension, more)) if more else b"")
            for serial, since, more in self.entries
        )
        tbs = seq(
            b"" if self.version is None else number(self.version),
            self.inside or proper,
            self.issuer,
            time(self.this_update),
            b"" if self.next_update is None else time(self.next_update),
            seq(entries) if entries else b"",
            tagged(0, seq(*map(extension, self.extensions))) if self.extensions else b"",
        )
        signature = self.mangle(sign(self.signer, tbs, self.size))
        return self.raw(seq(self.late(tbs), self.outside or proper, bit_string(signature)))

    def made(self) -> Crl:
        """The list, read. Raises BadCrl."""
        return Crl.parse(self.der())


def reason(value: int) -> Extension:
    """CRLReason of an entry."""
    return "2.5.29.21", False, encode(0x0A, bytes((value,)))


def entry_issuer(name: bytes) -> Extension:
    """CertificateIssuer of an entry."""
    return "2.5.29.29", True, seq(directory(name))


# OCSP answers


def cert_id(issuer_name: bytes, issuer_key: Key, serial: int, digest: str = "sha1") -> bytes:
    """CertID."""
    inner = Reader(spki(issuer_key)).inner()
    inner.any()
    bits_ = inner.take(0x03)[1:]
    arc = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1"}[digest]
    return seq(
        seq(oid(arc), NULL),
        octets(hashlib.new(digest, issuer_name).digest()),
        octets(hashlib.new(digest, bits_).digest()),
        number(serial),
    )


GOOD = tagged(0, b"", constructed=False)
UNKNOWN = tagged(2, b"", constructed=False)


def revoked(since: int, why: int | None = None) -> bytes:
    """CertStatus revoked."""
    body = generalized(since)
    if why is not None:
        body += tagged(0, encode(0x0A, bytes((why,))))
    return tagged(1, body)


@dataclass(frozen=True)
class AnswerSpec:
    """An OCSP answer to be, about one certificate."""

    about: bytes
    signer: Key
    responder: bytes
    """ResponderID: `tagged(1, name)` or `tagged(2, octets(hash))`."""
    status: bytes = GOOD
    this_update: int = AT - 3600
    moment: bytes | None = None
    """The content of thisUpdate, if it is to be no proper time."""
    next_update: int | None = AT + 3600
    certificates: tuple[bytes, ...] = ()
    nonce: bytes = b""
    extensions: tuple[Extension, ...] = ()
    single_extensions: tuple[Extension, ...] = ()
    outcome: int = 0
    bare: bool = True
    """An outcome other than success stands alone."""
    times: int = 1
    """How often it says so."""
    version: bytes = b""
    kind: str = "1.3.6.1.5.5.7.48.1.1"
    outside: bytes | None = None
    unused: int = 0
    raw: Callable[[bytes], bytes] = unchanged
    size: int = 256
    mangle: Callable[[bytes], bytes] = unchanged
    late: Callable[[bytes], bytes] = unchanged

    def but(self, **changes: object) -> "AnswerSpec":
        """With other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def der(self) -> bytes:
        """The answer."""
        if self.outcome and self.bare:
            return seq(encode(0x0A, bytes((self.outcome,))))
        single = seq(
            self.about,
            self.status,
            generalized(self.this_update) if self.moment is None else encode(0x18, self.moment),
            b"" if self.next_update is None else tagged(0, generalized(self.next_update)),
            tagged(1, seq(*map(extension, self.single_extensions)))
            if self.single_extensions
            else b"",
        )
        extensions = self.extensions
        if self.nonce:
            extensions = (*extensions, ("1.3.6.1.5.5.7.48.1.2", False, octets(self.nonce)))
        data = seq(
            self.version,
            self.responder,
            generalized(self.this_update),
            seq(single * self.times),
            tagged(1, seq(*map(extension, extensions))) if extensions else b"",
        )
        basic_response = seq(
            self.late(data),
            self.outside or algorithm(self.signer, self.size),
            bit_string(self.mangle(sign(self.signer, data, self.size)), self.unused),
            tagged(0, seq(*self.certificates)) if self.certificates else b"",
        )
        body = seq(oid(self.kind), octets(basic_response))
        return self.raw(seq(encode(0x0A, bytes((self.outcome,))), tagged(0, body)))

    def made(self) -> OcspAnswer:
        """The answer, read. Raises BadOcsp."""
        return OcspAnswer.parse(self.der())
