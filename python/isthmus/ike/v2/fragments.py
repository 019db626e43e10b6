"""Messages in pieces (RFC 7383): cutting what is too large, putting together what comes so."""

from dataclasses import dataclass, field

from isthmus.ike.core.agenda import Owner
from isthmus.ike.core.context import Context
from isthmus.ike.core.fragments import (
    HALF_OPEN_MAX,
    LIFE_S,
    MESSAGE_MAX,
    NotKept,
    datagram_size,
    room,
    wait,
)
from isthmus.ike.v2.protect import Protector
from isthmus.values.address import Endpoint
from isthmus.values.time import Instant
from isthmus.wire.header import Header
from isthmus.wire.v2.encrypted import EncryptedFragment

PIECES_MAX = 32
"""Of one message, in either direction. Windows is seen to send 29."""
SMALL_SIZE = 576
"""An IP datagram that passes nearly everywhere (RFC 7383 §2.5.1)."""
SIZES = (1280, SMALL_SIZE)
"""What is tried next, where a message of a larger size gets no answer (RFC 7383 §2.5.2)."""
TRIES_PER_SIZE = 2
"""Sendings of one size before a smaller one is tried."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it goes out: whole, or in pieces that go out together. A repeat is the same
    octets."""

    header: Header
    datagrams: tuple[bytes, ...]
    first: int = 0
    plain: bytes = field(default=b"", repr=False)
    """What is under SK, and the type of its first payload: what a smaller cut is made from."""
    size: int = 0
    """The IP datagram that it was cut for, in octets; 0: it cannot be cut."""

    @property
    def octets(self) -> int:
        """Octets of all its datagrams."""
        return sum(map(len, self.datagrams))


def pack(
    protector: Protector, header: Header, first: int, plain: bytes, size: int, remote: Endpoint
) -> Parcel:
    """The message whole if it fits into an IP datagram of `size` octets, else in pieces.

    Whole also where it would take more pieces than anybody puts together: IP has to cut it then.
    """
    space = room(size, remote)
    if protector.whole_size(len(plain)) <= space:
        return Parcel(header, (protector.seal_octets(header, first, plain),), first, plain, size)
    part = protector.fragment_room(space)
    total = _pieces(len(plain), part)
    if total > PIECES_MAX:
        return Parcel(header, (protector.seal_octets(header, first, plain),), first, plain, size)
    return Parcel(header, _cut(protector, header, first, plain, part, total), first, plain, size)


def pack_smaller(protector: Protector, parcel: Parcel, remote: Endpoint) -> Parcel | None:
    """The same message in more pieces, or None when there is no such cut.

    The number of pieces has to grow: it tells the new set from the old one (RFC 7383 §2.5.2).
    """
    for size in SIZES:
        space = room(size, remote)
        if size >= parcel.size or protector.whole_size(len(parcel.plain)) <= space:
            continue
        part = protector.fragment_room(space)
        total = _pieces(len(parcel.plain), part)
        if len(parcel.datagrams) < total <= PIECES_MAX:
            header, first, plain = parcel.header, parcel.first, parcel.plain
            pieces = _cut(protector, header, first, plain, part, total)
            return Parcel(header, pieces, first, plain, size)
    return None


def follow(size: int, largest: int, remote: Endpoint) -> int:
    """The size to cut for from now on, as the pieces of a request are so large: what came through
    in one direction is likely to in the other (RFC 7383 §2.5.1). Never larger than before."""
    return min(size, max(datagram_size(largest, remote), SMALL_SIZE))


def _pieces(length: int, part: int) -> int:
    return -(-length // part) if part > 0 else PIECES_MAX + 1


def _cut(
    protector: Protector, header: Header, first: int, plain: bytes, part: int, total: int
) -> tuple[bytes, ...]:
    return tuple(
        protector.seal_octets(
            header,
            first if number == 1 else 0,
            plain[(number - 1) * part : number * part],
            (number, total),
        )
        for number in range(1, total + 1)
    )


# --- putting together -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message came."""

    octets: int
    """Of all its datagrams."""
    pieces: int = 1
    largest: int | None = None
    """Octets of the largest piece; None: it came whole."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A chain of payloads whose pieces are all here."""

    first: int
    plain: bytes
    arrival: Arrival


@dataclass(slots=True)
class _Set:
    message_id: int
    exchange: int
    total: int
    begun_at: Instant
    parts: dict[int, bytes] = field(default_factory=dict)
    first: int = 0
    held: int = 0
    octets: int = 0
    largest: int = 0


@dataclass(slots=True)
class Assembly:
    """The pieces that one IKE SA waits with: at most one message in each direction."""

    owner: Owner
    _sets: dict[bool, _Set] = field(default_factory=dict)
    """By whether the message is a response."""

    def judge(self, header: Header, piece: EncryptedFragment) -> None:
        """What can be said of a piece before its ICV is looked at. Raises NotKept."""
        if piece.total > PIECES_MAX:
            raise NotKept("fragments_too_many")
        waiting = self._matching(header)
        if waiting is None:
            return
        if piece.total < waiting.total:
            raise NotKept("fragment_of_old_set")
        if piece.total == waiting.total and piece.number in waiting.parts:
            raise NotKept("fragment_repeat")

    def keep(
        self,
        ctx: Context,
        header: Header,
        piece: EncryptedFragment,
        plain: bytes,
        *,
        is_authenticated: bool,
    ) -> Assembled | None:
        """Take an authentic piece that `judge` has let pass; what it completes, if it does.

        Raises NotKept when there is no room. Pieces of another message, or of a coarser cut of
        this one, make way (RFC 7383 §2.6).
        """
        waiting = self._matching(header)
        if waiting is None or waiting.total != piece.total:
            self.discard(ctx, is_response=header.is_response)
            waiting = _Set(header.message_id, header.exchange, piece.total, ctx.now)
        held = waiting.held + len(plain)
        if held > MESSAGE_MAX:
            self.discard(ctx, is_response=header.is_response)
            raise NotKept("fragments_too_large")
        if not is_authenticated and ctx.fragments_held + len(plain) > HALF_OPEN_MAX:
            raise NotKept("fragments_full")
        if not waiting.parts:
            self._sets[header.is_response] = waiting
            self._arm(ctx)
        waiting.parts[piece.number] = plain
        waiting.held = held
        ctx.fragments_held += len(plain)
        waiting.octets += header.length
        waiting.largest = max(waiting.largest, header.length)
        if piece.number == 1:
            waiting.first = piece.first
        if len(waiting.parts) < waiting.total:
            return None
        whole = b"".join(waiting.parts[number] for number in range(1, waiting.total + 1))
        self.discard(ctx, is_response=header.is_response)
        arrival = Arrival(waiting.octets, waiting.total, waiting.largest)
        return Assembled(waiting.first, whole, arrival)

    def discard(self, ctx: Context, *, is_response: bool) -> None:
        """Forget the pieces of one direction; nothing happens when there are none."""
        gone = self._sets.pop(is_response, None)
        if gone is not None:
            ctx.fragments_held -= gone.held
            self._arm(ctx)

    def clear(self, ctx: Context) -> None:
        """Forget everything: the IKE SA is no more."""
        for is_response in tuple(self._sets):
            self.discard(ctx, is_response=is_response)

    def expire(self, ctx: Context) -> tuple[tuple[int, int], ...]:
        """Forget sets that have waited too long: how many pieces of how many were here."""
        gone = []
        for is_response, waiting in tuple(self._sets.items()):
            if ctx.now >= waiting.begun_at + LIFE_S:
                gone.append((len(waiting.parts), waiting.total))
                self.discard(ctx, is_response=is_response)
        return tuple(gone)

    def _matching(self, header: Header) -> _Set | None:
        waiting = self._sets.get(header.is_response)
        same = (header.message_id, header.exchange)
        if waiting is None or (waiting.message_id, waiting.exchange) != same:
            return None
        return waiting

    def _arm(self, ctx: Context) -> None:
        begun_at = min((waiting.begun_at for waiting in self._sets.values()), default=None)
        wait(ctx, self.owner, begun_at)
