"""SA payload: proposals, their transforms and attributes (RFC 7296 §3.3)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.proposal import Proposal, Transform
from isthmus.values.registry.ikev2 import PayloadType, SecurityProtocol, TransformAttribute
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.v2.registries import closed

PROPOSALS_MAX = 64
"""Proposals that one SA payload may hold."""
TRANSFORMS_MAX = 255
"""Transforms of one proposal: their number is one octet."""
ATTRIBUTES_MAX = 16
"""Attributes of one transform; RFC 7296 defines one."""

_LAST = 0
_MORE_PROPOSALS = 2
_MORE_TRANSFORMS = 3
_SUBSTRUCTURE = Struct(">BBH")
_PROPOSAL = Struct(">BBBB")
_PROPOSAL_HEADER_SIZE = 8
_TRANSFORM = Struct(">BBHBBH")
_TRANSFORM_HEADER_SIZE = 8
_ATTRIBUTE = Struct(">HH")
_FIXED_FORM = 0x8000
"""The AF bit: the two octets behind the type are the value, not a length."""
_STAND_IN_ATTRIBUTE = _FIXED_FORM | 0x7FFF
"""Private use: encodes that a transform had attributes which we do not know."""
_PROPOSAL_MEMORY = 192
_TRANSFORM_MEMORY = 136


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
        proposals: list[Proposal] = []
        more = _MORE_PROPOSALS
        while more == _MORE_PROPOSALS:
            if len(proposals) == PROPOSALS_MAX:
                raise Malformed(f"more than {PROPOSALS_MAX} proposals", at=body.offset)
            more, proposal = _decode_proposal(body)
            proposals.append(proposal)
        body.finish()
        return cls(tuple(proposals))

    def encode(self) -> bytes:
        """The payload's body."""
        last = len(self.proposals) - 1
        return b"".join(
            _encode_proposal(proposal, _LAST if at == last else _MORE_PROPOSALS)
            for at, proposal in enumerate(self.proposals)
        )


def _decode_proposal(body: Reader) -> tuple[int, Proposal]:
    at = body.offset
    more, _, length = body.unpack(_SUBSTRUCTURE)
    if more not in (_LAST, _MORE_PROPOSALS):
        raise Malformed(f"proposal marked {more}", at=at)
    if length < _PROPOSAL_HEADER_SIZE:
        raise Malformed(f"proposal of {length} octets", at=at)
    body.charge(_PROPOSAL_MEMORY)
    inside = body.part(length - _SUBSTRUCTURE.size)
    number, protocol_number, spi_size, count = inside.unpack(_PROPOSAL)
    protocol = closed(SecurityProtocol, protocol_number, at=at + 5)
    if protocol is SecurityProtocol.NONE:
        raise Malformed("proposal for no protocol", at=at + 5)
    spi = inside.take(spi_size)
    transforms = tuple(
        _decode_transform(inside, _LAST if left == 1 else _MORE_TRANSFORMS)
        for left in range(count, 0, -1)
    )
    inside.finish()
    return more, Proposal(protocol, transforms, spi, number)


def _decode_transform(body: Reader, expected_mark: int) -> Transform:
    at = body.offset
    body.charge(_TRANSFORM_MEMORY)
    more, _, length, kind, _, number = body.unpack(_TRANSFORM)
    if more != expected_mark:
        raise Malformed(f"transform marked {more}, not {expected_mark}", at=at)
    if length < _TRANSFORM_HEADER_SIZE:
        raise Malformed(f"transform of {length} octets", at=at)
    if length == _TRANSFORM_HEADER_SIZE:
        return Transform(kind, number)
    key_bits, unknown = _decode_attributes(body.part(length - _TRANSFORM_HEADER_SIZE))
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
        if kind & ~_FIXED_FORM in seen:
            raise Malformed("an attribute stands twice in a transform", at=at)
        seen.add(kind & ~_FIXED_FORM)
        if kind == _FIXED_FORM | TransformAttribute.KEY_LENGTH:
            key_bits = value
            continue
        unknown = True
        if not kind & _FIXED_FORM:
            body.skip(value)
    return key_bits, unknown


def _encode_proposal(proposal: Proposal, more: int) -> bytes:
    last = len(proposal.transforms) - 1
    transforms = b"".join(
        _encode_transform(transform, _LAST if at == last else _MORE_TRANSFORMS)
        for at, transform in enumerate(proposal.transforms)
    )
    length = _PROPOSAL_HEADER_SIZE + len(proposal.spi) + len(transforms)
    writer = Writer().u8(more).u8(0).u16(length)
    writer.u8(proposal.number).u8(proposal.protocol)
    writer.u8(len(proposal.spi)).u8(len(proposal.transforms))
    return writer.put(proposal.spi).put(transforms).octets()


def _encode_transform(transform: Transform, more: int) -> bytes:
    attributes = Writer()
    if transform.key_bits is not None:
        attributes.u16(_FIXED_FORM | TransformAttribute.KEY_LENGTH).u16(transform.key_bits)
    if transform.unknown_attributes:
        attributes.u16(_STAND_IN_ATTRIBUTE).u16(0)
    writer = Writer().u8(more).u8(0).u16(_TRANSFORM_HEADER_SIZE + len(attributes))
    writer.u8(transform.kind).u8(0).u16(transform.number)
    return writer.put(attributes.octets()).octets()
