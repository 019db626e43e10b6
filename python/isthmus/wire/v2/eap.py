"""EAP payload: one EAP packet (RFC 7296 §3.16, RFC 3748 §4)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import EapCode, PayloadType
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.v2.registries import closed

_LAYOUT = Struct(">BBH")
_ENDS = frozenset({EapCode.SUCCESS, EapCode.FAILURE})


@dataclass(frozen=True, slots=True)
class Eap:
    """An EAP packet. `data` begins with the method's type and is empty in success and failure."""

    TYPE: ClassVar[PayloadType] = PayloadType.EAP
    code: int
    identifier: int
    data: bytes = b""

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for an unknown code and a length that is not the payload's."""
        at = body.offset
        size = body.remaining
        code_number, identifier, length = body.unpack(_LAYOUT)
        code = closed(EapCode, code_number, at=at)
        if length != size:
            raise Malformed(f"EAP packet tells {length} octets of {size}", at=at + 2)
        if (code in _ENDS) != (length == _LAYOUT.size):
            raise Malformed(f"EAP {code.name} of {length} octets", at=at + 2)
        return cls(code, identifier, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        writer = Writer().u8(self.code).u8(self.identifier).u16(_LAYOUT.size + len(self.data))
        return writer.put(self.data).octets()
