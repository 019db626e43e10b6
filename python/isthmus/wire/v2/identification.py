"""IDi and IDr payloads (RFC 7296 §3.5)."""

from dataclasses import dataclass
from typing import Self

from isthmus.values.errors import Malformed
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import IdType, PayloadType, known
from isthmus.wire.cursor import Reader, Writer

ADDRESS_SIZES = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}
"""Identities whose size is fixed, in octets."""


@dataclass(frozen=True, slots=True)
class Identification:
    """Who one side says it is. `role` is ID_I or ID_R."""

    role: PayloadType
    identity: Identity

    @property
    def type(self) -> PayloadType:
        """The payload type: the role."""
        return self.role

    @classmethod
    def decode(cls, body: Reader, role: PayloadType) -> Self:
        """Raises Malformed for an address of the wrong size."""
        kind = known(IdType, body.u8())
        body.skip(3)
        octets = body.rest()
        if isinstance(kind, IdType) and len(octets) != ADDRESS_SIZES.get(kind, len(octets)):
            raise Malformed(f"{kind.name} identity of {len(octets)} octets", at=body.offset)
        return cls(role, Identity(kind, octets))

    def encode(self) -> bytes:
        """The payload's body: what AUTH covers as RestOfIDPayload (RFC 7296 §2.15)."""
        return Writer().u8(self.identity.kind).zeros(3).put(self.identity.octets).octets()
