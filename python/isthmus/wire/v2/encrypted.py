"""SK and SKF payloads as they lie on the wire, closed (RFC 7296 §3.14, RFC 7383 §2.5)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.header import HEADER_SIZE, Header

_GENERIC = Struct(">BBH")
_NUMBERS = Struct(">HH")
_U16_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class Encrypted:
    """`first` is the type of the first payload inside; `body` is IV, ciphertext and ICV."""

    TYPE: ClassVar[PayloadType] = PayloadType.SK
    first: int
    body: bytes

    @classmethod
    def decode(cls, body: Reader, first: int) -> Self:
        """Any octets will do: what they are is known once the ICV has been checked."""
        return cls(first, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.body


@dataclass(frozen=True, slots=True)
class EncryptedFragment:
    """Piece `number` of `total`, counted from 1. `first` stands in piece 1 and is 0 elsewhere."""

    TYPE: ClassVar[PayloadType] = PayloadType.SKF
    first: int
    number: int
    total: int
    body: bytes

    @classmethod
    def decode(cls, body: Reader, first: int) -> Self:
        """Raises Malformed for piece 0 and for a piece behind the last one."""
        at = body.offset
        number, total = body.unpack(_NUMBERS)
        if not 1 <= number <= total:
            raise Malformed(f"fragment {number} of {total}", at=at)
        return cls(first, number, total, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u16(self.number).u16(self.total).put(self.body).octets()


def prefix(
    header: Header,
    first_inner: int,
    body_length: int,
    fragment: tuple[int, int] | None = None,
) -> bytes:
    """What stands before the IV of a message that holds one SK (or SKF) payload.

    The header and the generic payload header, and for a fragment `(number, total)` its two numbers.
    `body_length` counts IV, ciphertext and ICV in octets. The result is the start of the datagram
    and, for AEAD ciphers, the associated data (RFC 5282 §5.1). Raises LocalFault for a message that
    is too long.
    """
    size = _GENERIC.size + body_length + (_NUMBERS.size if fragment else 0)
    kind = PayloadType.SKF if fragment else PayloadType.SK
    if size > _U16_MAX:
        raise LocalFault(f"an encrypted payload cannot have {size} octets")
    start = header.with_payload(kind, 0).encode(HEADER_SIZE + size)
    start += _GENERIC.pack(first_inner, 0, size)
    if fragment is None:
        return start
    number, total = fragment
    if not 1 <= number <= total <= _U16_MAX:
        raise LocalFault(f"there is no fragment {number} of {total}")
    return start + _NUMBERS.pack(number, total)
