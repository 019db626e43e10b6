"""One certificate, read within bounds (RFC 5280 §4).

`cryptography` reads it first and whole; names, algorithm identifiers and extensions are then read
from the octets as they stand, because paths are decided by exactly these.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self, TypeVar

from cryptography import x509 as library

from isthmus.crypto.signature import BadKey, PublicKey
from isthmus.values.errors import Malformed
from isthmus.values.signature import Scheme
from isthmus.x509 import extensions
from isthmus.x509.algorithm import scheme_of
from isthmus.x509.der import BIT_STRING, SEQUENCE, Reader, context
from isthmus.x509.errors import BadCertificate, Defect, refused_as
from isthmus.x509.extensions import Extensions
from isthmus.x509.general_name import GeneralName
from isthmus.x509.name import Name

CERTIFICATE_SIZE_MAX = 64 * 1024
SERIAL_SIZE_MAX = 21
"""Octets: RFC 5280 §4.1.2.2 allows 20, and a leading zero may be counted or not."""
RSA_BITS_READ_MIN = 1024
"""What can be read; what is trusted is decided by `PathRules.rsa_bits_min`."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certificate that was read. Two are equal when their octets are.

    Times are Unix seconds. `signed` and `signature` are what the issuer's key is held against;
    `scheme` is None when the algorithm is none of ours.
    """

    der: bytes = field(repr=False)
    serial: int
    subject: Name
    issuer: Name
    not_before: int
    not_after: int
    public_key: PublicKey
    version: int
    extensions: Extensions = field(repr=False)
    scheme: Scheme | None
    algorithms_equal: bool = field(repr=False)
    """The algorithm inside the signed part is the one outside (RFC 5280 §4.1.1.2)."""
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a certificate of at most 64 KiB. Raises BadCertificate, and nothing else."""
        if len(der) > CERTIFICATE_SIZE_MAX:
            raise BadCertificate(f"the certificate has {len(der)} octets")
        der = bytes(der)
        with refused_as(BadCertificate, "the certificate"):
            read = library.load_der_x509_certificate(der)
            not_before = int(read.not_valid_before_utc.timestamp())
            not_after = int(read.not_valid_after_utc.timestamp())
            return cls._from_fields(der, not_before, not_after)

    @classmethod
    def _from_fields(cls, der: bytes, not_before: int, not_after: int) -> Self:
        whole = Reader(der)
        outer = whole.inner()
        whole.finish()
        tbs = outer.any()
        algorithm = outer.any().whole
        signature = outer.take(BIT_STRING)
        outer.finish()
        if not signature or signature[0] != 0:
            raise Malformed("a signature that is no whole number of octets")
        fields = Reader(tbs.body)
        version = 1 + _version(fields.optional(context(0, constructed=True)))
        serial_octets = fields.any()
        if len(serial_octets.body) > SERIAL_SIZE_MAX:
            raise Malformed("a serial number of more than 20 octets")
        inside = fields.any().whole
        issuer = Name.parse(fields.any().whole)
        fields.take(SEQUENCE)  # The validity, which the library has read.
        subject = Name.parse(fields.any().whole)
        spki = fields.any().whole
        unique = [fields.optional(context(number)) for number in (1, 2)]
        body = fields.optional(context(3, constructed=True))
        fields.finish()
        found = Extensions()
        if body is not None:
            inner = Reader(body)
            found = extensions.parse(inner.take(SEQUENCE))
            inner.finish()
        _check_version(version, any(u is not None for u in unique), body is not None)
        if issuer.empty:
            raise Malformed("an empty issuer name")
        return cls(
            der=der,
            serial=int.from_bytes(serial_octets.body, signed=True),
            subject=subject,
            issuer=issuer,
            not_before=not_before,
            not_after=not_after,
            public_key=_public_key(spki),
            version=version,
            extensions=found,
            scheme=scheme_of(algorithm),
            algorithms_equal=inside == algorithm,
            signed=tbs.whole,
            signature=signature[1:],
        )

    @property
    def subject_text(self) -> str:
        """The subject for people, safe for a log line."""
        return str(self.subject)

    @property
    def alternative_names(self) -> tuple[GeneralName, ...]:
        """SubjectAltName (RFC 5280 §4.2.1.6)."""
        return self.extensions.alternative_names

    @cached_property
    def spki_sha1(self) -> bytes:
        """SHA-1 over SubjectPublicKeyInfo: what a CERTREQ names an authority by (RFC 7296 §3.7)."""
        return hashlib.sha1(self.public_key.spki, usedforsecurity=False).digest()

    @cached_property
    def key_sha1(self) -> bytes:
        """SHA-1 over the key bits alone: KeyHash of RFC 6960 and the usual key identifier."""
        inner = Reader(self.public_key.spki).inner()
        inner.any()
        return hashlib.sha1(inner.take(BIT_STRING)[1:], usedforsecurity=False).digest()

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 over the whole certificate."""
        return hashlib.sha256(self.der).digest()

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are one name (RFC 5280 §6.1): not counted in path lengths."""
        return self.subject == self.issuer

    @property
    def is_authority(self) -> bool:
        """BasicConstraints with cA (RFC 5280 §4.2.1.9)."""
        return self.extensions.is_authority is True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Certificate):
            return NotImplemented
        return self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)


def _version(body: bytes | None) -> int:
    if body is None:
        return 0
    reader = Reader(body)
    value = reader.integer()
    reader.finish()
    return value


def _public_key(spki: bytes) -> PublicKey:
    try:
        return PublicKey.from_spki(spki, rsa_bits_min=RSA_BITS_READ_MIN)
    except BadKey as error:
        raise BadCertificate(f"the public key: {error}", code=Defect.KEY) from None


def _check_version(version: int, unique_identifiers: bool, has_extensions: bool) -> None:
    """RFC 5280 §4.1.2.1: extensions are version 3's, unique identifiers not version 1's."""
    if (has_extensions and version != 3) or (unique_identifiers and version == 1):
        raise BadCertificate(
            f"a certificate of version {version} with fields of a later one",
            code=Defect.CONTRADICTION,
        )
