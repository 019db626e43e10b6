"""Damage to IKE messages: flipped bits, cut, grown, repeated, shuffled, lengths that lie.

A chain of payloads is damaged in clear, so that it can be sealed afterwards with real keys and gets
behind the integrity check; a datagram is damaged as it lies on the wire.
"""

from dataclasses import dataclass, replace
from random import Random
from struct import Struct

GENERIC = Struct(">BBH")
GENERIC_SIZE = 4
HEADER_SIZE = 28
CRITICAL = 0x80
EXCHANGE_AT, FLAGS_AT, MESSAGE_ID_AT, LENGTH_AT = 18, 19, 20, 24
SPI_R_AT = 8
GROWN_MAX = 1200
CHAIN_MAX = 16_000


@dataclass(frozen=True, slots=True)
class Dislikes:
    """What a version of IKE has in its fields, and beside them: what damage puts there."""

    kinds: tuple[int, ...]
    """Payload types that others are turned into."""
    exchanges: tuple[int, ...]
    flags: tuple[int, ...]
    versions: tuple[int, ...]
    notify: int
    """The payload type of a Notify."""
    before_notify_type: bytes
    """What is in front of the two octets that say what a Notify is about."""
    notifies: tuple[int, ...]
    status_notifies: tuple[int, ...]


OF_V2 = Dislikes(
    kinds=(0, 1, 4, *range(33, 50), 53, 54, 255),
    exchanges=(0, 33, 34, 35, 36, 37, 38, 43, 44, 255),
    flags=(0, 0x08, 0x20, 0x28, 0x10, 0xFF),
    versions=(0x00, 0x10, 0x21, 0x2F, 0x30, 0xFF),
    notify=41,
    before_notify_type=b"\0\0",
    notifies=(1, 4, 7, 11, 14, 17, 24, 34, 38, 39, 43, 44),
    status_notifies=tuple(range(16384, 16448)),
)
OF_V1 = Dislikes(
    kinds=(*range(16), 20, 21, 33, 41, 46, 128, 130, 131, 132, 255),
    exchanges=(0, 1, 2, 3, 4, 5, 6, 32, 33, 34, 35, 37, 240, 255),
    flags=(0, 0x01, 0x02, 0x03, 0x04, 0x08, 0x20, 0xFF),
    versions=(0x00, 0x11, 0x1F, 0x20, 0x30, 0xFF),
    notify=11,
    # DOI of IPsec, protocol ESP, and an SPI of four octets.
    before_notify_type=b"\0\0\0\1\3\4",
    notifies=tuple(range(31)),
    status_notifies=(16384, 24576, 24577, 24578, 36136, 36137, 40503, 65535),
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One payload: what its generic header says, and its body."""

    kind: int
    body: bytes
    flags: int = 0
    length: int | None = None
    """What the length field says; None: the truth."""


def split(first: int, octets: bytes) -> list[Piece]:
    """The payloads of a sound chain; `first` is the type of the first."""
    pieces: list[Piece] = []
    kind, at = first, 0
    while kind:
        following, flags, length = GENERIC.unpack_from(octets, at)
        pieces.append(Piece(kind, octets[at + GENERIC_SIZE : at + length], flags))
        kind, at = following, at + length
    assert at == len(octets), "only sound chains are split"
    return pieces


def join(pieces: list[Piece]) -> tuple[int, bytes]:
    """The chain of these payloads: the type of the first, and the octets."""
    parts: list[bytes] = []
    for index, piece in enumerate(pieces):
        following = pieces[index + 1].kind if index + 1 < len(pieces) else 0
        length = GENERIC_SIZE + len(piece.body) if piece.length is None else piece.length
        parts.append(GENERIC.pack(following, piece.flags, length & 0xFFFF) + piece.body)
    return (pieces[0].kind if pieces else 0), b"".join(parts)


class Mutator:
    """Draws damage from a seeded source, so that a run can be repeated."""

    def __init__(self, chance: Random, dislikes: Dislikes = OF_V2) -> None:
        self.chance = chance
        self._dislikes = dislikes
        self._of_chain = (
            self._omit,
            self._twice,
            self._shuffle,
            self._retype,
            self._flag,
            self._lie,
            self._cut_body,
            self._grow_body,
            self._flip_body,
            self._field,
            self._field,
            self._insert,
        )
        self._of_datagram = (
            self._flip,
            self._cut,
            self._grow,
            self._splice,
            self._header,
            self._header_field,
        )

    def chain(self, first: int, octets: bytes) -> tuple[int, bytes]:
        """A chain with one to three kinds of damage."""
        pieces = split(first, octets)
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            pieces = self.chance.choice(self._of_chain)(list(pieces))
        first, octets = join(pieces)
        if self.chance.random() < 0.08:
            octets = self._flip(octets)
        elif self.chance.random() < 0.05:
            octets = octets[: self.chance.randrange(len(octets) + 1)]
        return first, octets[:CHAIN_MAX]

    def datagram(self, octets: bytes, other: bytes = b"") -> bytes:
        """A datagram with one or two kinds of damage; `other` is what it may be mixed with."""
        for _ in range(self.chance.choice((1, 1, 2))):
            damage = self.chance.choice(self._of_datagram)
            octets = damage(octets, other) if damage == self._splice else damage(octets)
        if self.chance.random() < 0.5 and len(octets) >= HEADER_SIZE:
            # An honest length field gets the damage past the first check.
            octets = octets[:LENGTH_AT] + len(octets).to_bytes(4, "big") + octets[HEADER_SIZE:]
        return octets

    # --- chains ----------------------------------------------------------------------------

    def _at(self, pieces: list[Piece]) -> int | None:
        return self.chance.randrange(len(pieces)) if pieces else None

    def _omit(self, pieces: list[Piece]) -> list[Piece]:
        at = self._at(pieces)
        return [p for n, p in enumerate(pieces) if n != at]

    def _twice(self, pieces: list[Piece]) -> list[Piece]:
        if not pieces:
            return pieces
        times = self.chance.choice((1, 1, 1, 3, 70))
        again = [self.chance.choice(pieces)] * times
        at = self.chance.randrange(len(pieces) + 1)
        return pieces[:at] + again + pieces[at:]

    def _shuffle(self, pieces: list[Piece]) -> list[Piece]:
        self.chance.shuffle(pieces)
        return pieces

    def _changed(self, pieces: list[Piece], **fields: object) -> list[Piece]:
        at = self._at(pieces)
        if at is not None:
            pieces[at] = replace(pieces[at], **fields)  # type: ignore[arg-type]
        return pieces

    def _retype(self, pieces: list[Piece]) -> list[Piece]:
        return self._changed(pieces, kind=self.chance.choice(self._dislikes.kinds))

    def _flag(self, pieces: list[Piece]) -> list[Piece]:
        return self._changed(pieces, flags=self.chance.choice((CRITICAL, 0x7F, 0xFF)))

    def _lie(self, pieces: list[Piece]) -> list[Piece]:
        at = self._at(pieces)
        if at is not None:
            true = GENERIC_SIZE + len(pieces[at].body)
            rest = sum(GENERIC_SIZE + len(p.body) for p in pieces[at:])
            lies = (0, 1, 3, 4, true - 1, true + 1, rest, rest + 1, 0xFFFF)
            pieces[at] = replace(pieces[at], length=self.chance.choice(lies))
        return pieces

    def _body(self, pieces: list[Piece], body: bytes, at: int) -> list[Piece]:
        pieces[at] = replace(pieces[at], body=body)
        return pieces

    def _cut_body(self, pieces: list[Piece]) -> list[Piece]:
        at = self._at(pieces)
        if at is None:
            return pieces
        body = pieces[at].body
        return self._body(pieces, body[: self.chance.randrange(len(body) + 1)], at)

    def _grow_body(self, pieces: list[Piece]) -> list[Piece]:
        at = self._at(pieces)
        if at is None:
            return pieces
        return self._body(pieces, self._grow(pieces[at].body), at)

    def _flip_body(self, pieces: list[Piece]) -> list[Piece]:
        at = self._at(pieces)
        return pieces if at is None else self._body(pieces, self._flip(pieces[at].body), at)

    def _field(self, pieces: list[Piece]) -> list[Piece]:
        """One, two or four octets of a body at values that length and count fields dislike."""
        at = self._at(pieces)
        if at is None or not pieces[at].body:
            return pieces
        body = bytearray(pieces[at].body)
        size = self.chance.choice((1, 1, 2, 2, 4))
        where = self.chance.randrange(min(len(body), self.chance.choice((8, 8, 64, 4096))))
        size = min(size, len(body) - where)
        true = int.from_bytes(body[where : where + size], "big")
        top = 256**size - 1
        rest = len(body) - where
        value = self.chance.choice((0, 1, 3, 4, 7, 8, true - 1, true + 1, rest, rest + 1, top))
        body[where : where + size] = (value & top).to_bytes(size, "big")
        return self._body(pieces, bytes(body), at)

    def _insert(self, pieces: list[Piece]) -> list[Piece]:
        kind = self.chance.choice(self._dislikes.kinds[1:])
        body = self.chance.randbytes(self.chance.choice((0, 1, 4, 8, 40)))
        if kind == self._dislikes.notify and self.chance.random() < 0.8:
            number = self.chance.choice(self._dislikes.notifies)
            number = self.chance.choice(
                (number, self.chance.choice(self._dislikes.status_notifies))
            )
            body = self._dislikes.before_notify_type + number.to_bytes(2, "big") + body
        flags = self.chance.choice((0, 0, CRITICAL))
        at = self.chance.randrange(len(pieces) + 1)
        return [*pieces[:at], Piece(kind, body, flags), *pieces[at:]]

    # --- datagrams -------------------------------------------------------------------------

    def _flip(self, octets: bytes) -> bytes:
        if not octets:
            return octets
        damaged = bytearray(octets)
        for _ in range(self.chance.choice((1, 1, 2, 8))):
            damaged[self.chance.randrange(len(damaged))] ^= 1 << self.chance.randrange(8)
        return bytes(damaged)

    def _cut(self, octets: bytes) -> bytes:
        return octets[: self.chance.randrange(len(octets) + 1)]

    def _grow(self, octets: bytes) -> bytes:
        size = self.chance.choice((1, 4, 16, 200, GROWN_MAX))
        extra = self.chance.choice((bytes(size), self.chance.randbytes(size), octets[:size]))
        at = self.chance.choice((len(octets), self.chance.randrange(len(octets) + 1)))
        return octets[:at] + extra + octets[at:]

    def _splice(self, octets: bytes, other: bytes) -> bytes:
        cut = self.chance.randrange(len(octets) + 1)
        return octets[:cut] + other[cut:]

    def _header(self, octets: bytes) -> bytes:
        """Another exchange, other flags, another message ID, another version."""
        if len(octets) < HEADER_SIZE:
            return octets
        damaged = bytearray(octets)
        match self.chance.randrange(5):
            case 0:
                damaged[EXCHANGE_AT] = self.chance.choice(self._dislikes.exchanges)
            case 1:
                damaged[FLAGS_AT] = self.chance.choice(self._dislikes.flags)
            case 2:
                number = self.chance.choice((0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
                damaged[MESSAGE_ID_AT:LENGTH_AT] = number.to_bytes(4, "big")
            case 3:
                damaged[17] = self.chance.choice(self._dislikes.versions)
            case _:
                damaged[16] = self.chance.choice(self._dislikes.kinds)
        return bytes(damaged)

    def _header_field(self, octets: bytes) -> bytes:
        """Other SPIs, or a length field that lies."""
        if len(octets) < HEADER_SIZE:
            return octets
        damaged = bytearray(octets)
        match self.chance.randrange(4):
            case 0:
                damaged[0:8] = self.chance.choice((bytes(8), self.chance.randbytes(8)))
            case 1:
                damaged[8:16] = self.chance.choice((bytes(8), self.chance.randbytes(8)))
            case 2:
                damaged[0:16] = damaged[8:16] + damaged[0:8]
            case _:
                true = len(octets)
                lie = self.chance.choice((0, 1, 27, 28, true - 1, true + 1, 0xFFFF, 0xFFFFFFFF))
                damaged[LENGTH_AT:HEADER_SIZE] = lie.to_bytes(4, "big")
        return bytes(damaged)
