"""Delete payload (RFC 7296 §3.11)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev2 import PayloadType, SecurityProtocol
from isthmus.values.spi import ESP_SPI_SIZE
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.v2.registries import closed

SPI_SIZES = {
    SecurityProtocol.IKE: 0,
    SecurityProtocol.AH: ESP_SPI_SIZE,
    SecurityProtocol.ESP: ESP_SPI_SIZE,
}
"""Octets of an SPI in a Delete: the header names the IKE SA, so none stands there."""
_LAYOUT = Struct(">BBH")
_SPI_MEMORY = 52


@dataclass(frozen=True, slots=True)
class Delete:
    """SPIs that the sender has stopped using; for IKE there is none and the SA itself is meant."""

    TYPE: ClassVar[PayloadType] = PayloadType.DELETE
    protocol: SecurityProtocol
    spis: tuple[bytes, ...] = ()

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for another protocol, SPI size or count than the octets hold."""
        at = body.offset
        protocol_number, spi_size, count = body.unpack(_LAYOUT)
        protocol = closed(SecurityProtocol, protocol_number, at=at)
        if SPI_SIZES.get(protocol) != spi_size:
            raise Malformed(f"{spi_size}-octet SPI for {protocol.name}", at=at + 1)
        if not spi_size:
            # An SPI of no octets consumes nothing, so its count is not believed.
            body.finish()
            return cls(protocol)
        if count * spi_size != body.remaining:
            raise Malformed(f"{count} SPIs in {body.remaining} octets", at=at + 2)
        body.charge(count * _SPI_MEMORY)
        return cls(protocol, tuple(body.take(spi_size) for _ in range(count)))

    def encode(self) -> bytes:
        """The payload's body. Raises LocalFault for an SPI that is none of the protocol."""
        size = SPI_SIZES.get(self.protocol)
        if size is None or any(len(spi) != size for spi in self.spis) or (not size and self.spis):
            raise LocalFault(f"no Delete can say {self}")
        writer = Writer().u8(self.protocol).u8(size).u16(len(self.spis))
        return writer.put(b"".join(self.spis)).octets()
