"""Proposals and the marks between them, the same in both IKE versions.

RFC 2408 §3.5 and RFC 7296 §3.3.1: a row of proposals, each with an SPI and a row of transforms.
What a transform holds behind its first four octets is for each version to say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import Generic, TypeVar

from isthmus.values.errors import LocalFault, Malformed
from isthmus.wire.cursor import Reader

PROPOSALS_MAX = 64
"""Proposals that one SA payload may hold."""
TRANSFORMS_MAX = 255
"""Transforms of one proposal: their number is one octet."""
FIXED_FORM = 0x8000
"""The AF bit of an attribute: the two octets behind the type are the value, not a length."""

_LAST = 0
_MORE_PROPOSALS = 2
_MORE_TRANSFORMS = 3
_SUBSTRUCTURE = Struct(">BBH")
_PROPOSAL = Struct(">BBBB")
_PROPOSAL_HEADER_SIZE = 8
_TRANSFORM_HEADER_SIZE = 8
_PROPOSAL_MEMORY = 192
_TRANSFORM_MEMORY = 136

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """One proposal as it stands on the wire; `at` is its offset in the datagram."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[T, ...]
    at: int = 0


def decode_proposals(body: Reader, decode_transform: Callable[[Reader], T]) -> Iterator[Row[T]]:
    """All proposals up to the end of the body.

    `decode_transform` gets what stands behind a transform's own length field, four octets or more.
    Raises Malformed for too many proposals, and for counts or marks that do not agree.
    """
    more, count = _MORE_PROPOSALS, 0
    while more == _MORE_PROPOSALS:
        if count == PROPOSALS_MAX:
            raise Malformed(f"more than {PROPOSALS_MAX} proposals", at=body.offset)
        more, row = _decode_proposal(body, decode_transform)
        count += 1
        yield row
    body.finish()


def _decode_proposal(body: Reader, decode_transform: Callable[[Reader], T]) -> tuple[int, Row[T]]:
    at = body.offset
    more, _, length = body.unpack(_SUBSTRUCTURE)
    if more not in (_LAST, _MORE_PROPOSALS):
        raise Malformed(f"proposal marked {more}", at=at)
    if length < _PROPOSAL_HEADER_SIZE:
        raise Malformed(f"proposal of {length} octets", at=at)
    body.charge(_PROPOSAL_MEMORY)
    inside = body.part(length - _SUBSTRUCTURE.size)
    number, protocol, spi_size, count = inside.unpack(_PROPOSAL)
    spi = inside.take(spi_size)
    transforms = tuple(
        decode_transform(_open_transform(inside, _LAST if left == 1 else _MORE_TRANSFORMS))
        for left in range(count, 0, -1)
    )
    inside.finish()
    return more, Row(number, protocol, spi, transforms, at)


def _open_transform(body: Reader, expected_mark: int) -> Reader:
    at = body.offset
    body.charge(_TRANSFORM_MEMORY)
    more, _, length = body.unpack(_SUBSTRUCTURE)
    if more != expected_mark:
        raise Malformed(f"transform marked {more}, not {expected_mark}", at=at)
    if length < _TRANSFORM_HEADER_SIZE:
        raise Malformed(f"transform of {length} octets", at=at)
    return body.part(length - _SUBSTRUCTURE.size)


def encode_proposals(rows: Sequence[Row[bytes]]) -> bytes:
    """The proposals behind one another; a transform is given as `decode_transform` would get it.

    Raises LocalFault where a count or a size does not fit its field.
    """
    return b"".join(
        _encode_proposal(row, _MORE_PROPOSALS if left else _LAST)
        for left, row in zip(range(len(rows) - 1, -1, -1), rows, strict=True)
    )


def _encode_proposal(row: Row[bytes], more: int) -> bytes:
    parts = [b"", row.spi]
    left = len(row.transforms)
    try:
        for octets in row.transforms:
            left -= 1
            mark = _MORE_TRANSFORMS if left else _LAST
            parts += _SUBSTRUCTURE.pack(mark, 0, _SUBSTRUCTURE.size + len(octets)), octets
        size = _PROPOSAL_HEADER_SIZE + sum(map(len, parts))
        parts[0] = _SUBSTRUCTURE.pack(more, 0, size) + _PROPOSAL.pack(
            row.number, row.protocol, len(row.spi), len(row.transforms)
        )
    except StructError:
        raise LocalFault(f"a proposal does not fit its fields: number {row.number}") from None
    return b"".join(parts)
