"""Vendor ID payload (RFC 7296 §3.12)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader


@dataclass(frozen=True, slots=True)
class VendorId:
    """Octets by which one implementation tells another what it is."""

    TYPE: ClassVar[PayloadType] = PayloadType.VENDOR_ID
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Any octets will do."""
        return cls(body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
