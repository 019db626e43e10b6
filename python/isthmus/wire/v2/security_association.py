"""SA payload: proposals, their transforms and attributes (RFC 7296 §3.3)."""

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import ClassVar, Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.proposal import Proposal, Transform
from isthmus.values.registry.ikev2 import PayloadType, SecurityProtocol, TransformAttribute
from isthmus.wire.cursor import Reader
from isthmus.wire.proposals import FIXED_FORM, Row, decode_proposals, encode_proposals
from isthmus.wire.v2.registries import closed

ATTRIBUTES_MAX = 16
"""Attributes of one transform; RFC 7296 defines one."""

_TRANSFORM = Struct(">BBH")
_ATTRIBUTE = Struct(">HH")
_KEY_LENGTH = FIXED_FORM | int(TransformAttribute.KEY_LENGTH)
_STAND_IN_ATTRIBUTE = FIXED_FORM | 0x7FFF
"""Private use: encodes that a transform had attributes which we do not know."""


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """What is offered, or the one proposal that was chosen.

    Numbers and SPI sizes of the proposals are as the peer wrote them; what an exchange may hold is
    said in `rules.py`.
    """

    TYPE: ClassVar[PayloadType] = PayloadType.SA
    proposals: tuple[Proposal, ...]

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for no proposals, too many, and counts or marks that do not agree."""
        return cls(tuple(_proposal(row) for row in decode_proposals(body, _decode_transform)))

    def encode(self) -> bytes:
        """The payload's body."""
        return encode_proposals(
            [
                Row(p.number, p.protocol, p.spi, tuple(_encode_transform(t) for t in p.transforms))
                for p in self.proposals
            ]
        )


def _proposal(row: Row[Transform]) -> Proposal:
    protocol = closed(SecurityProtocol, row.protocol, at=row.at + 5)
    if protocol is SecurityProtocol.NONE:
        raise Malformed("proposal for no protocol", at=row.at + 5)
    return Proposal(protocol, row.transforms, row.spi, row.number)


def _decode_transform(body: Reader) -> Transform:
    kind, _, number = body.unpack(_TRANSFORM)
    if not body.remaining:
        return Transform(kind, number)
    key_bits, unknown = _decode_attributes(body)
    return Transform(kind, number, key_bits, unknown)


def _decode_attributes(body: Reader) -> tuple[int | None, bool]:
    """The key length if there is one, and whether there is anything that we do not know.

    A key length in the long form is none that we know: RFC 7296 §3.3.5 gives it the short one.
    """
    key_bits: int | None = None
    unknown = False
    seen: set[int] = set()
    while body.remaining:
        at = body.offset
        if len(seen) == ATTRIBUTES_MAX:
            raise Malformed(f"more than {ATTRIBUTES_MAX} attributes", at=at)
        kind, value = body.unpack(_ATTRIBUTE)
        if kind & ~FIXED_FORM in seen:
            raise Malformed("an attribute stands twice in a transform", at=at)
        seen.add(kind & ~FIXED_FORM)
        if kind == _KEY_LENGTH:
            key_bits = value
            continue
        unknown = True
        if not kind & FIXED_FORM:
            body.skip(value)
    return key_bits, unknown


def _encode_transform(transform: Transform) -> bytes:
    try:
        octets = _TRANSFORM.pack(transform.kind, 0, transform.number)
        if transform.key_bits is not None:
            octets += _ATTRIBUTE.pack(_KEY_LENGTH, transform.key_bits)
        if transform.unknown_attributes:
            octets += _ATTRIBUTE.pack(_STAND_IN_ATTRIBUTE, 0)
    except StructError:
        raise LocalFault(f"the transform {transform} does not fit its fields") from None
    return octets
