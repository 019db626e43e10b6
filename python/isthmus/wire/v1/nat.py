"""NAT-D and NAT-OA payloads (RFC 3947 §3.2, §5.2), under the numbers of the drafts too."""

from dataclasses import dataclass
from typing import Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import IdType, PayloadType
from isthmus.wire.cursor import Reader, Writer

ADDRESS_SIZES: dict[int, int] = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}


@dataclass(frozen=True, slots=True)
class NatDetection:
    """The hash of an address and a port. `draft`: under the private number of the drafts."""

    data: bytes
    draft: bool = False

    @property
    def type(self) -> PayloadType:
        """The payload type."""
        return PayloadType.NAT_D_DRAFT if self.draft else PayloadType.NAT_D

    @classmethod
    def decode(cls, body: Reader, *, draft: bool) -> Self:
        """Any octets will do."""
        return cls(body.rest(), draft)

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data


@dataclass(frozen=True, slots=True)
class NatOriginalAddress:
    """An address as its host knows it. `kind` is IPV4_ADDR or IPV6_ADDR."""

    kind: int
    data: bytes
    draft: bool = False

    @property
    def type(self) -> PayloadType:
        """The payload type."""
        return PayloadType.NAT_OA_DRAFT if self.draft else PayloadType.NAT_OA

    @classmethod
    def decode(cls, body: Reader, *, draft: bool) -> Self:
        """Raises Malformed for what is no single address."""
        at = body.offset
        kind = body.u8()
        body.skip(3)
        data = body.rest()
        if ADDRESS_SIZES.get(kind) != len(data):
            raise Malformed(f"NAT-OA of type {kind} and {len(data)} octets", at=at)
        return cls(kind, data, draft)

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.kind).zeros(3).put(self.data).octets()
