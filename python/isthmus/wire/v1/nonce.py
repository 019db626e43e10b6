"""Nonce payload (RFC 2408 §3.13)."""

from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.bodies import Opaque
from isthmus.wire.cursor import Reader

NONCE_MIN = 8
NONCE_MAX = 256
"""Octets of a nonce, both ends included (RFC 2409 §5)."""


class Nonce(Opaque):
    """Fresh octets of one side."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.NONCE

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for fewer than 8 or more than 256 octets."""
        if not NONCE_MIN <= body.remaining <= NONCE_MAX:
            raise Malformed(f"nonce of {body.remaining} octets", at=body.offset)
        return cls(body.rest())
