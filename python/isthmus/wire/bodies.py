"""Payload bodies that both IKE versions have alike; the payload's type is the subclass's."""

from dataclasses import dataclass
from typing import Self

from isthmus.wire.cursor import Reader, Writer


@dataclass(frozen=True, slots=True)
class Opaque:
    """Octets that mean nothing here: hashes, signatures, public values, vendor IDs."""

    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Any octets will do."""
        return cls(body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data


@dataclass(frozen=True, slots=True)
class Encoded:
    """A certificate, or what stands for one, with its encoding (RFC 2408 §3.9, RFC 7296 §3.6)."""

    encoding: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the encoding is cut off."""
        return cls(body.u8(), body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.encoding).put(self.data).octets()
