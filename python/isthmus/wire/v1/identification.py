"""ID payload (RFC 2407 §4.6.2): who one side is in phase 1, what it will send in phase 2."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import IdType, PayloadType
from isthmus.wire.cursor import Reader, Writer

SIZES: dict[int, int] = {
    IdType.IPV4_ADDR: 4,
    IdType.IPV4_ADDR_SUBNET: 8,
    IdType.IPV4_ADDR_RANGE: 8,
    IdType.IPV6_ADDR: 16,
    IdType.IPV6_ADDR_SUBNET: 32,
    IdType.IPV6_ADDR_RANGE: 32,
}
"""Octets of what is made of addresses."""
_LAYOUT = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Identification:
    """`protocol` and `port` 0 mean any; in phase 1 they are 0, or UDP and 500."""

    TYPE: ClassVar[PayloadType] = PayloadType.ID
    kind: int
    protocol: int
    port: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for addresses of the wrong size."""
        at = body.offset
        kind, protocol, port = body.unpack(_LAYOUT)
        data = body.rest()
        if len(data) != SIZES.get(kind, len(data)):
            raise Malformed(f"identification {kind} of {len(data)} octets", at=at)
        return cls(kind, protocol, port, data)

    def encode(self) -> bytes:
        """The payload's body: what HASH_I and HASH_R cover as IDii_b and IDir_b."""
        return Writer().u8(self.kind).u8(self.protocol).u16(self.port).put(self.data).octets()
