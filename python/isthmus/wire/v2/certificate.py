"""CERT and CERTREQ payloads (RFC 7296 §3.6, §3.7)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader, Writer


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate or something like it; `data` is not looked into here."""

    TYPE: ClassVar[PayloadType] = PayloadType.CERT
    encoding: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the encoding is cut off."""
        return cls(body.u8(), body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.encoding).put(self.data).octets()


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Which certificates the sender would like; for X.509 a row of 20-octet key hashes."""

    TYPE: ClassVar[PayloadType] = PayloadType.CERTREQ
    encoding: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the encoding is cut off."""
        return cls(body.u8(), body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.encoding).put(self.data).octets()
