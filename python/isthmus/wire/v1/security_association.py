"""SA payload: situation, proposals, transforms and their attributes (RFC 2408 §3.4 to §3.6)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import Doi, PayloadType, Situation
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.proposals import Row, decode_proposals, encode_proposals
from isthmus.wire.v1.attributes import Attribute, Kept, decode_attributes, encode_attributes

_DOI = Struct(">II")
_TRANSFORM = Struct(">BBH")


@dataclass(frozen=True, slots=True)
class TransformV1:
    """One choice, with all that belongs to it: in IKEv1 a transform is a whole suite."""

    number: int
    id: int
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class ProposalV1:
    """One protocol's transforms. Proposals of one number belong together (RFC 2408 §4.2)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[TransformV1, ...]


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """What is offered, or the one transform that was chosen.

    Numbers, protocols and SPI sizes are as the peer wrote them; what an exchange may hold is said
    in `rules.py`.
    """

    TYPE: ClassVar[PayloadType] = PayloadType.SA
    proposals: tuple[ProposalV1, ...]
    doi: int = Doi.IPSEC
    situation: int = Situation.IDENTITY_ONLY

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed for another DOI or situation than we know, which say what follows, for
        too many proposals or attributes, and for counts or marks that do not agree."""
        at = body.offset
        doi, situation = body.unpack(_DOI)
        if doi != Doi.IPSEC:
            raise Malformed(f"DOI {doi} is not supported", at=at)
        if situation != Situation.IDENTITY_ONLY:
            raise Malformed(f"situation {situation} is not supported", at=at + 4)
        kept: Kept = {}
        rows = decode_proposals(body, lambda inside: _decode_transform(inside, kept))
        proposals = tuple(
            ProposalV1(row.number, row.protocol, row.spi, row.transforms) for row in rows
        )
        return cls(proposals, doi, situation)

    def encode(self) -> bytes:
        """The payload's body: what HASH_I and HASH_R cover as SAi_b (RFC 2409 §5)."""
        rows = [
            Row(p.number, p.protocol, p.spi, tuple(_encode_transform(t) for t in p.transforms))
            for p in self.proposals
        ]
        return Writer().u32(self.doi).u32(self.situation).put(encode_proposals(rows)).octets()


def _decode_transform(body: Reader, kept: Kept) -> TransformV1:
    number, transform_id, _ = body.unpack(_TRANSFORM)
    return TransformV1(number, transform_id, decode_attributes(body, kept))


def _encode_transform(transform: TransformV1) -> bytes:
    writer = Writer().u8(transform.number).u8(transform.id).zeros(2)
    return writer.put(encode_attributes(transform.attributes)).octets()
