"""Fragment payload: a piece of a whole IKE message, as other vendors' IKEv1 sends it.

No RFC says it. The body is a fragment ID (two octets), the piece's number from 1, flags (1: the
last), and the piece. It stands alone in a message that is in clear, whatever the pieces hold.
"""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.cursor import Reader, Writer

_LAYOUT = Struct(">HBB")
_LAST = 1


@dataclass(frozen=True, slots=True)
class Fragment:
    """`number` counts from 1; pieces of one message have one `id`."""

    TYPE: ClassVar[PayloadType] = PayloadType.FRAGMENT
    id: int
    number: int
    is_last: bool
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for a piece of number 0 or without content."""
        at = body.offset
        fragment_id, number, flags = body.unpack(_LAYOUT)
        if not number or not body.remaining:
            raise Malformed(f"fragment {number} of {body.remaining} octets", at=at)
        return cls(fragment_id, number, bool(flags & _LAST), body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        flags = _LAST if self.is_last else 0
        return Writer().u16(self.id).u8(self.number).u8(flags).put(self.data).octets()
