"""The 28-octet header that both IKE versions share (RFC 7296 §3.1)."""

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev2 import HeaderFlag
from isthmus.values.spi import IKE_SPI_SIZE

HEADER_SIZE = 28
DATAGRAM_MAX = 65535
"""The longest IKE message that we read or write, in octets."""
VERSION_2 = 0x20
_MAJOR = 0xF0
_LAYOUT = Struct(">8s8sBBBBII")
_INITIATOR, _RESPONSE = int(HeaderFlag.INITIATOR), int(HeaderFlag.RESPONSE)
_FLAGS_V2 = _INITIATOR | _RESPONSE
"""IKEv2 sends the other bits, the version bit too, as zero and ignores them on receipt."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the first payload.

    `version` holds major (high four bits) and minor version. `length` counts the whole message in
    octets; `encode` is told it, so 0 stands in a header that has not been sent.
    """

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    version: int = VERSION_2
    exchange: int = 0
    flags: int = 0
    message_id: int = 0
    length: int = 0

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Of a whole datagram. Raises Malformed unless its length field tells its size."""
        size = len(octets)
        if size < HEADER_SIZE:
            raise Malformed(f"{size} octets are too few for a header", at=size)
        if size > DATAGRAM_MAX:
            raise Malformed(f"{size} octets are too many for a message", at=DATAGRAM_MAX)
        spi_i, spi_r, first, version, exchange, flags, message_id, length = _LAYOUT.unpack_from(
            octets
        )
        if length != size:
            raise Malformed(f"the header tells {length} octets, the datagram has {size}", at=24)
        if version & _MAJOR == VERSION_2:
            flags &= _FLAGS_V2
        return cls(spi_i, spi_r, first, version, exchange, flags, message_id, length)

    def encode(self, length: int) -> bytes:
        """The 28 octets of a message of `length` octets, these included.

        Raises LocalFault for a message longer than `DATAGRAM_MAX`, or a field that does not fit.
        """
        if not HEADER_SIZE <= length <= DATAGRAM_MAX:
            raise LocalFault(f"an IKE message cannot have {length} octets")
        if len(self.spi_i) != IKE_SPI_SIZE or len(self.spi_r) != IKE_SPI_SIZE:
            raise LocalFault("an IKE SPI has eight octets")
        flags = int(self.flags) & _FLAGS_V2 if self.major == 2 else self.flags
        try:
            return _LAYOUT.pack(
                self.spi_i,
                self.spi_r,
                self.next_payload,
                self.version,
                self.exchange,
                flags,
                self.message_id,
                length,
            )
        except StructError:
            raise LocalFault(f"a header field is out of range in {self}") from None

    @property
    def major(self) -> int:
        """The major version: 1 or 2 for what we know."""
        return self.version >> 4

    @property
    def is_response(self) -> bool:
        """The Response flag."""
        return bool(int(self.flags) & _RESPONSE)

    @property
    def from_initiator(self) -> bool:
        """Sent by the original initiator of the IKE SA."""
        return bool(int(self.flags) & _INITIATOR)

    def with_payload(self, next_payload: int, length: int) -> Self:
        """The same header in front of another first payload."""
        return type(self)(
            self.spi_i,
            self.spi_r,
            next_payload,
            self.version,
            self.exchange,
            self.flags,
            self.message_id,
            length,
        )
