"""Delete payload (RFC 2408 §3.15)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev1 import Doi, PayloadType, ProtocolId
from isthmus.values.spi import ESP_SPI_SIZE, IKE_SPI_SIZE
from isthmus.wire.cursor import Reader, Writer

SPI_SIZES: dict[int, tuple[int, ...]] = {
    ProtocolId.ISAKMP: (2 * IKE_SPI_SIZE,),
    ProtocolId.AH: (ESP_SPI_SIZE,),
    ProtocolId.ESP: (ESP_SPI_SIZE,),
    ProtocolId.IPCOMP: (2, 4),
}
"""Octets of an SPI: for ISAKMP the two cookies, for IPCOMP a CPI in either form (RFC 3173)."""
_LAYOUT = Struct(">IBBH")
_SPI_MEMORY = 64


@dataclass(frozen=True, slots=True)
class Delete:
    """SPIs that the sender has stopped using."""

    TYPE: ClassVar[PayloadType] = PayloadType.DELETE
    protocol: int
    spis: tuple[bytes, ...]
    doi: int = Doi.IPSEC

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for another protocol, SPI size or count than the octets hold, and for
        no SPI at all."""
        at = body.offset
        doi, protocol, spi_size, count = body.unpack(_LAYOUT)
        if spi_size not in SPI_SIZES.get(protocol, ()):
            raise Malformed(f"{spi_size}-octet SPI for protocol {protocol}", at=at + 5)
        if not count or count * spi_size != body.remaining:
            raise Malformed(f"{count} SPIs in {body.remaining} octets", at=at + 6)
        body.charge(count * _SPI_MEMORY)
        return cls(protocol, tuple(body.take(spi_size) for _ in range(count)), doi)

    def encode(self) -> bytes:
        """The payload's body. Raises LocalFault for SPIs that are none of the protocol."""
        sizes = {len(spi) for spi in self.spis}
        if len(sizes) != 1 or not sizes <= set(SPI_SIZES.get(self.protocol, ())):
            raise LocalFault(f"no Delete can say {self}")
        writer = Writer().u32(self.doi).u8(self.protocol).u8(sizes.pop()).u16(len(self.spis))
        return writer.put(b"".join(self.spis)).octets()
