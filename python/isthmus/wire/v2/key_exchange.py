"""KE payload (RFC 7296 §3.4)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader, Writer


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """A public value. Whether its size and content fit the method is for `crypto` to say."""

    TYPE: ClassVar[PayloadType] = PayloadType.KE
    method: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the method is cut off."""
        method = body.u16()
        body.skip(2)
        return cls(method, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u16(self.method).zeros(2).put(self.data).octets()
