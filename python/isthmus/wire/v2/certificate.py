"""CERT and CERTREQ payloads (RFC 7296 §3.6, §3.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import CertEncoding, PayloadType
from isthmus.wire.bodies import Encoded
from isthmus.wire.cursor import Reader

KEY_HASH_SIZE = 20
"""Octets of the SHA-1 that names a trusted key, or a certificate behind a URL."""
URL_SIZE_MAX = 1024


class Certificate(Encoded):
    """A certificate or something like it; `data` is not looked into here."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.CERT


class CertificateRequest(Encoded):
    """Which certificates the sender would like; for X.509 a row of 20-octet key hashes."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.CERTREQ

    @classmethod
    def for_keys(cls, key_hashes: Sequence[bytes]) -> Self:
        """Ask for X.509 certificates below the keys with these hashes."""
        return cls(CertEncoding.X509_SIGNATURE, b"".join(key_hashes))

    def key_hashes(self) -> tuple[bytes, ...]:
        """The hashes in a request for X.509 certificates. Raises Malformed for part of a hash."""
        if len(self.data) % KEY_HASH_SIZE:
            raise Malformed(f"key hashes of {len(self.data)} octets")
        starts = range(0, len(self.data), KEY_HASH_SIZE)
        return tuple(self.data[at : at + KEY_HASH_SIZE] for at in starts)


@dataclass(frozen=True, slots=True)
class HashAndUrl:
    """What a CERT payload of encoding 12 holds: where a certificate lies, and its SHA-1."""

    digest: bytes
    url: str

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises Malformed for what is cut off, too long, or no printable ASCII."""
        reader = Reader(data)
        digest = reader.take(KEY_HASH_SIZE)
        octets = reader.rest()
        if not 0 < len(octets) <= URL_SIZE_MAX or not all(0x21 <= o <= 0x7E for o in octets):
            raise Malformed("the URL of a certificate is empty, too long, or not printable")
        return cls(digest, octets.decode("ascii"))

    def encode(self) -> bytes:
        """The certificate data of the payload."""
        return self.digest + self.url.encode("ascii")
