"""OCSP: requests, and answers that are read within bounds (RFC 6960, RFC 4806).

An answer is believed only when the issuer of the certificate signed it, or a responder that this
issuer itself certified for the purpose (RFC 6960 §4.2.2.2); `revocation.py` decides that.
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from isthmus.crypto.signature import BadSignature, PublicKey, verify
from isthmus.values.errors import Malformed
from isthmus.values.signature import WEAK_SCHEMES, Scheme
from isthmus.x509.algorithm import scheme_of
from isthmus.x509.certificate import SERIAL_SIZE_MAX, Certificate
from isthmus.x509.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OCTET_STRING,
    OID,
    SEQUENCE,
    Reader,
    context,
    encode,
    integer,
    time,
)
from isthmus.x509.errors import BadCertificate, BadOcsp
from isthmus.x509.extensions import each_extension, enumerated
from isthmus.x509.name import Name

ANSWER_SIZE_MAX = 128 * 1024
SINGLES_MAX = 64
CERTIFICATES_MAX = 8
NONCE_SIZE = 32
"""Octets of a nonce that we send (RFC 9654)."""

_BASIC = bytes.fromhex("2b0601050507300101")
_NONCE = bytes.fromhex("2b0601050507300102")
_NONCE_TEXT = "1.3.6.1.5.5.7.48.1.2"
_HASHES = {
    "2b0e03021a": "sha1",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
}
_STATUS = {
    1: "malformedRequest",
    2: "internalError",
    3: "tryLater",
    5: "sigRequired",
    6: "unauthorized",
}


class Verdict(StrEnum):
    """CertStatus."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CertId:
    """What an answer is about: hashes of the issuer's name and key, and the serial number."""

    algorithm: str
    name_hash: bytes
    key_hash: bytes
    serial: int

    @classmethod
    def of(cls, certificate: Certificate, issuer: Certificate, algorithm: str = "sha1") -> Self:
        """The CertID of a certificate. SHA-1 is what every responder knows; nothing rests on it."""
        if algorithm == "sha1":
            key_hash = issuer.key_sha1
        else:
            inner = Reader(issuer.public_key.spki).inner()
            inner.any()
            key_hash = hashlib.new(algorithm, inner.take(BIT_STRING)[1:]).digest()
        name = hashlib.new(algorithm, certificate.issuer.der, usedforsecurity=False).digest()
        return cls(algorithm, name, key_hash, certificate.serial)

    def encode(self) -> bytes:
        """CertID in DER."""
        oid = next(oid for oid, name in _HASHES.items() if name == self.algorithm)
        algorithm = encode(SEQUENCE, encode(OID, bytes.fromhex(oid)) + b"\x05\x00")
        size = max(self.serial, ~self.serial).bit_length() // 8 + 1
        return encode(
            SEQUENCE,
            algorithm
            + encode(OCTET_STRING, self.name_hash)
            + encode(OCTET_STRING, self.key_hash)
            + encode(INTEGER, self.serial.to_bytes(size, signed=True)),
        )


@dataclass(frozen=True, slots=True)
class Single:
    """What an answer says of one certificate. Times are Unix seconds."""

    about: CertId
    verdict: Verdict
    since: int | None
    reason: int | None
    this_update: int
    next_update: int | None

    def is_about(self, certificate: Certificate, issuer: Certificate) -> bool:
        """The hashes and the number are those of `certificate`."""
        if self.about.serial != certificate.serial:
            return False
        return self.about == CertId.of(certificate, issuer, self.about.algorithm)


@dataclass(frozen=True, slots=True, eq=False)
class OcspAnswer:
    """A BasicOCSPResponse that was read. `responder` is a name, or SHA-1 of a key."""

    responder: Name | bytes
    produced_at: int
    singles: tuple[Single, ...]
    nonce: bytes | None = field(repr=False)
    certificates: tuple[Certificate, ...] = field(repr=False)
    scheme: Scheme
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    der: bytes = field(repr=False)

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read an OCSPResponse of at most 128 KiB. Raises BadOcsp, and nothing else."""
        if len(der) > ANSWER_SIZE_MAX:
            raise BadOcsp(f"the OCSP answer has {len(der)} octets")
        try:
            return cls._from_der(bytes(der))
        except Malformed as error:
            raise BadOcsp(f"the OCSP answer cannot be read: {error}") from None

    @classmethod
    def _from_der(cls, der: bytes) -> Self:
        whole = Reader(der)
        response = whole.inner()
        whole.finish()
        status = enumerated(response.any().whole)
        if status != 0:
            raise BadOcsp(f"the OCSP responder answers {_STATUS.get(status, str(status))}")
        explicit = response.inner(context(0, constructed=True))
        response.finish()
        inner = explicit.inner()
        explicit.finish()
        if inner.take(OID) != _BASIC:
            raise Malformed("an answer that is not a basic one")
        octets = Reader(inner.take(OCTET_STRING))
        inner.finish()
        basic = octets.inner()
        octets.finish()
        data = basic.any()
        scheme = scheme_of(basic.any().whole)
        signature = basic.take(BIT_STRING)
        bundle = basic.optional(context(0, constructed=True))
        basic.finish()
        if scheme is None:
            raise BadOcsp("the OCSP answer is signed by an algorithm that is not accepted")
        if data.tag != SEQUENCE or not signature or signature[0] != 0:
            raise Malformed("an answer without its data or signature")
        fields = Reader(data.body)
        version = fields.optional(context(0, constructed=True))
        if version not in (None, b"\x02\x01\x00"):
            raise Malformed("an answer of an unknown version")
        responder = _responder(fields)
        produced_at = _time(fields)
        singles = _singles(fields.inner())
        nonce = _extensions(fields.optional(context(1, constructed=True)))
        fields.finish()
        return cls(
            responder=responder,
            produced_at=produced_at,
            singles=singles,
            nonce=nonce,
            certificates=_certificates(bundle),
            scheme=scheme,
            signed=data.whole,
            signature=signature[1:],
            der=der,
        )

    def is_by(self, certificate: Certificate) -> bool:
        """The responder's identifier is that of this certificate."""
        if isinstance(self.responder, Name):
            return self.responder == certificate.subject
        return self.responder == certificate.key_sha1

    def check_signature(self, key: PublicKey, *, allow_sha1: bool = False) -> None:
        """The key signed the answer. Raises BadOcsp."""
        if self.scheme in WEAK_SCHEMES and not allow_sha1:
            raise BadOcsp(f"the OCSP answer is signed by {self.scheme}")
        try:
            verify(key, self.scheme, self.signed, self.signature)
        except BadSignature as error:
            raise BadOcsp(f"the signature of the OCSP answer does not hold: {error}") from None

    def check_nonce(self, sent: bytes) -> None:
        """A nonce must be the one that was sent; many answers have none. Raises BadOcsp."""
        if self.nonce is not None and self.nonce != sent:
            raise BadOcsp("the OCSP answer has another nonce than the request")


def request(certificate: Certificate, issuer: Certificate, nonce: bytes = b"") -> bytes:
    """An unsigned OCSPRequest for one certificate (RFC 6960 §4.1), with a nonce if given."""
    single = encode(SEQUENCE, CertId.of(certificate, issuer).encode())
    body = encode(SEQUENCE, single)
    if nonce:
        value = encode(OCTET_STRING, encode(OCTET_STRING, nonce))
        extension = encode(SEQUENCE, encode(OID, _NONCE) + value)
        body += encode(context(2, constructed=True), encode(SEQUENCE, extension))
    return encode(SEQUENCE, encode(SEQUENCE, body))


def _responder(fields: Reader) -> Name | bytes:
    choice = fields.any()
    inner = Reader(choice.body)
    if choice.tag == context(1, constructed=True):
        return Name.parse(choice.body)
    if choice.tag == context(2, constructed=True):
        key = inner.take(OCTET_STRING)
        inner.finish()
        if len(key) == 20:
            return key
    raise Malformed("a responder that is neither a name nor a key")


def _time(reader: Reader) -> int:
    return time(GENERALIZED_TIME, reader.take(GENERALIZED_TIME))


def _singles(reader: Reader) -> tuple[Single, ...]:
    found: list[Single] = []
    while not reader.empty:
        if len(found) == SINGLES_MAX:
            raise Malformed(f"an answer about more than {SINGLES_MAX} certificates")
        one = reader.inner()
        about = _cert_id(one.inner())
        verdict, since, reason = _verdict(one)
        this_update = _time(one)
        explicit = one.optional(context(0, constructed=True))
        next_update = None
        if explicit is not None:
            inner = Reader(explicit)
            next_update = _time(inner)
            inner.finish()
        _extensions(one.optional(context(1, constructed=True)))
        one.finish()
        found.append(Single(about, verdict, since, reason, this_update, next_update))
    return tuple(found)


def _cert_id(reader: Reader) -> CertId:
    algorithm = reader.inner()
    name = _HASHES.get(algorithm.take(OID).hex())
    if name is None:
        raise Malformed("a certificate named by an unknown hash")
    if algorithm.optional(0x05) not in (None, b""):
        raise Malformed("a hash algorithm with parameters")
    algorithm.finish()
    name_hash, key_hash = reader.take(OCTET_STRING), reader.take(OCTET_STRING)
    serial = reader.take(INTEGER)
    reader.finish()
    if len(serial) > SERIAL_SIZE_MAX:
        raise Malformed("a serial number of more than 20 octets")
    return CertId(name, name_hash, key_hash, integer(serial))


def _verdict(one: Reader) -> tuple[Verdict, int | None, int | None]:
    choice = one.any()
    if choice.tag == context(1, constructed=True):
        inner = Reader(choice.body)
        since = _time(inner)
        explicit = inner.optional(context(0, constructed=True))
        inner.finish()
        return Verdict.REVOKED, since, 0 if explicit is None else enumerated(explicit)
    if choice.tag in (context(0), context(2)) and not choice.body:
        return (Verdict.GOOD if choice.tag == context(0) else Verdict.UNKNOWN), None, None
    raise Malformed("a status that is none of good, revoked and unknown")


def _extensions(body: bytes | None) -> bytes | None:
    """Reads extensions for the nonce. Raises BadOcsp for a critical one that is unknown."""
    if body is None:
        return None
    outer = Reader(body)
    reader = outer.inner()
    outer.finish()
    nonce: bytes | None = None
    for oid, critical, value in each_extension(reader):
        if oid == _NONCE_TEXT:
            inner = Reader(value)
            # Before RFC 8954 some responders did not wrap the nonce once more.
            nonce = inner.take(OCTET_STRING) if inner.tag == OCTET_STRING else value
        elif critical:
            raise BadOcsp(f"the OCSP answer has the unknown critical extension {oid}")
    return nonce


def _certificates(bundle: bytes | None) -> tuple[Certificate, ...]:
    """Those that can be read: one that cannot signs nothing that we believe."""
    if bundle is None:
        return ()
    outer = Reader(bundle)
    reader = outer.inner()
    outer.finish()
    found: list[Certificate] = []
    seen = 0
    while not reader.empty:
        seen += 1
        if seen > CERTIFICATES_MAX:
            raise Malformed(f"an answer with more than {CERTIFICATES_MAX} certificates")
        octets = reader.any().whole
        try:
            found.append(Certificate.parse(octets))
        except BadCertificate:
            continue
    return tuple(found)
