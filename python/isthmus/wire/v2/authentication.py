"""AUTH payload (RFC 7296 §3.8)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader, Writer


@dataclass(frozen=True, slots=True)
class Authentication:
    """A proof of identity, not yet checked."""

    TYPE: ClassVar[PayloadType] = PayloadType.AUTH
    method: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the method is cut off."""
        method = body.u8()
        body.skip(3)
        return cls(method, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.method).zeros(3).put(self.data).octets()
