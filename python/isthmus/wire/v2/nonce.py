"""Ni and Nr payloads (RFC 7296 §3.9)."""

from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader

NONCE_MIN = 16
NONCE_MAX = 256
"""Octets of a nonce, both ends included."""


@dataclass(frozen=True, slots=True)
class Nonce:
    """Fresh octets of one side."""

    TYPE: ClassVar[PayloadType] = PayloadType.NONCE
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for fewer than 16 or more than 256 octets."""
        if not NONCE_MIN <= body.remaining <= NONCE_MAX:
            raise Malformed(f"nonce of {body.remaining} octets", at=body.offset)
        return cls(body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
