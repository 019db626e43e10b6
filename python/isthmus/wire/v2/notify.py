"""Notify payload (RFC 7296 §3.10)."""

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import ClassVar, Self

from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import PayloadType, SecurityProtocol
from isthmus.wire.cursor import Reader
from isthmus.wire.v2.registries import closed

_LAYOUT = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Notify:
    """An error or a status. `protocol` and `spi` name an SA where the notify is about one."""

    TYPE: ClassVar[PayloadType] = PayloadType.NOTIFY
    kind: int
    data: bytes = b""
    protocol: SecurityProtocol = SecurityProtocol.NONE
    spi: bytes = b""

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for an SPI that is cut off or of a protocol that does not exist."""
        at = body.offset
        protocol_number, spi_size, kind = body.unpack(_LAYOUT)
        if not spi_size:
            # Without an SPI the protocol says nothing and is ignored (RFC 7296 §3.10).
            return cls(kind, body.rest())
        protocol = closed(SecurityProtocol, protocol_number, at=at)
        spi = body.take(spi_size)
        return cls(kind, body.rest(), protocol, spi)

    def encode(self) -> bytes:
        """The payload's body; without an SPI the protocol is sent as zero."""
        protocol = self.protocol if self.spi else SecurityProtocol.NONE
        try:
            start = _LAYOUT.pack(protocol, len(self.spi), self.kind)
        except StructError:
            raise LocalFault(f"notify {self.kind} does not fit its fields") from None
        return start + self.spi + self.data
