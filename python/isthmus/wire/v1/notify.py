"""Notification payload (RFC 2408 §3.14)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.registry.ikev1 import Doi, PayloadType, ProtocolId
from isthmus.wire.cursor import Reader, Writer

_LAYOUT = Struct(">IBBH")


@dataclass(frozen=True, slots=True)
class Notify:
    """An error or a status, about the SA that `protocol` and `spi` name.

    For phase 1 the SPI is the two cookies, or nothing (RFC 2407 §4.6.3).
    """

    TYPE: ClassVar[PayloadType] = PayloadType.NOTIFY
    kind: int
    data: bytes = b""
    protocol: int = ProtocolId.ISAKMP
    spi: bytes = b""
    doi: int = Doi.IPSEC

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for an SPI that is cut off."""
        doi, protocol, spi_size, kind = body.unpack(_LAYOUT)
        spi = body.take(spi_size)
        return cls(kind, body.rest(), protocol, spi, doi)

    def encode(self) -> bytes:
        """The payload's body."""
        writer = Writer().u32(self.doi).u8(self.protocol).u8(len(self.spi)).u16(self.kind)
        return writer.put(self.spi).put(self.data).octets()
