"""Messages in pieces, as IKEv1 has them: a form that vendors share and no RFC says.

A whole message, header included, is cut, and each piece goes behind a header in clear. Nothing of
a piece is authentic, whatever it is a piece of: who sees or guesses the cookies can spoil one
message, and the peer's next repeat of it is as good as the first. So pieces have narrow bounds,
and what comes out of them is not believed any more than a datagram is.
"""

import hashlib
from dataclasses import dataclass, field, replace

from isthmus.ike.core.agenda import Owner
from isthmus.ike.core.context import Context
from isthmus.ike.core.fragments import HALF_OPEN_MAX, LIFE_S, MESSAGE_MAX, NotKept, room, wait
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import ExchangeType, PayloadType
from isthmus.values.time import Instant
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v1 import Fragment, decode_chain, encode_message

PIECES_MAX = 64
"""Of one message that is put together: racoon's pieces are small."""
PIECES_SENT_MAX = 16
"""Of one message that goes out: Libreswan takes no more."""
STRANGERS_MESSAGE_MAX = 16_384
"""Octets of a message that is put together before the peer is authenticated."""
ROOM_MAX = HALF_OPEN_MAX // 2
"""Octets of pieces of all IKE SAs together from which on none is kept. Strangers can send such
pieces at no cost, so they do not get the room that IKEv2's half-open peers share."""

_OVERHEAD = HEADER_SIZE + 8
"""Octets in front of a piece: header, the payload's generic header and its own fields."""
_PHASE1 = frozenset({ExchangeType.MAIN_MODE, ExchangeType.AGGRESSIVE_MODE})


def cut(
    header: Header,
    octets: bytes,
    size: int,
    remote: Endpoint,
    fragment_id: int,
    mode: ExchangeType = ExchangeType.MAIN_MODE,
) -> tuple[bytes, ...]:
    """The datagrams of a message: itself if it fits into an IP datagram of `size` octets, else
    pieces that do. For peers that sent the vendor ID FRAGMENTATION, and nobody else.

    `octets` is the whole message, encrypted or not, and `header` its own. Pieces have its cookies,
    message ID 0 and no flags; their exchange is that of phase 1, `mode` for messages of phase 2:
    strongSwan neither sends nor reads others, and the rest look at the cookies only.
    Whole also where it would take more pieces than peers put together: IP has to cut it then.
    """
    space = room(size, remote)
    part = space - _OVERHEAD
    if len(octets) <= space or len(octets) > part * PIECES_SENT_MAX:
        return (octets,)
    exchange = header.exchange if header.exchange in _PHASE1 else mode
    carrier = replace(header, exchange=exchange, flags=0, message_id=0)
    starts = range(0, len(octets), part)
    return tuple(
        encode_message(
            carrier,
            (Fragment(fragment_id, number, number == len(starts), octets[at : at + part]),),
        )
        for number, at in enumerate(starts, 1)
    )


def piece_in(header: Header, octets: bytes) -> Fragment | None:
    """The piece that a datagram brings; None for one that is a message itself.

    The flag that says encrypted is not asked: some leave it as the whole message has it. Raises
    Malformed for what is no payload, and for payloads beside the piece.
    """
    if header.next_payload != PayloadType.FRAGMENT:
        return None
    payloads = decode_chain(header.next_payload, octets[HEADER_SIZE:]).payloads
    match payloads:
        case (Fragment() as piece,):
            return piece
        case _:
            raise Malformed(f"{len(payloads) - 1} payloads beside a fragment")


# --- putting together -----------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    """The pieces of one message that are here."""

    key: tuple[int, int, int]
    """Exchange and message ID in front of the pieces, and their fragment ID."""
    begun_at: Instant
    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    """How many there are; None: the last one has not come."""
    held: int = 0

    def has(self, piece: Fragment) -> bool:
        """It came before, and is no different now."""
        same_end = piece.is_last == (piece.number == self.total)
        return same_end and self.parts.get(piece.number) == piece.data

    def fits(self, piece: Fragment) -> bool:
        """A piece that is not here may be of the same message."""
        if piece.number in self.parts:
            return False
        if piece.is_last:
            return self.total is None and piece.number > max(self.parts, default=0)
        return self.total is None or piece.number < self.total

    def digests(self) -> frozenset[bytes]:
        """What its pieces are known by when they come again."""
        return frozenset(
            _digest(Fragment(self.key[-1], number, number == self.total, data))
            for number, data in self.parts.items()
        )


@dataclass(slots=True)
class Assembly:
    """The pieces that one IKE SA, or what may become one, waits with: of one message only."""

    owner: Owner
    _waiting: _Waiting | None = None
    _late: frozenset[bytes] = frozenset()
    """Digests of the pieces of the last whole message. The others come again when one had to be
    repeated, and shall not wait for a message that nobody sends. When all is repeated, for want of
    an answer, the first piece says so."""

    def keep(
        self, ctx: Context, header: Header, piece: Fragment, *, is_authenticated: bool
    ) -> bytes | None:
        """Take a piece; the whole message, its header included, when no other is missing.

        `header` is the one in front of the piece. Pieces of another message make way: one at most
        is half here. A piece that contradicts those that are here takes them along, as nobody can
        tell which are genuine. Raises NotKept for a piece that is of no use.
        """
        if not 1 <= piece.number <= PIECES_MAX:
            raise NotKept("fragments_too_many")
        if piece.number == 1:
            self._late = frozenset()
        elif _digest(piece) in self._late:
            raise NotKept("fragment_repeat")
        waiting = self._place(ctx, header, piece)
        held = waiting.held + len(piece.data)
        if held > (MESSAGE_MAX if is_authenticated else STRANGERS_MESSAGE_MAX):
            self._forget(ctx)
            raise NotKept("fragments_too_large")
        if ctx.fragments_held + len(piece.data) > ROOM_MAX:
            raise NotKept("fragments_full")
        if self._waiting is None:
            self._waiting = waiting
            wait(ctx, self.owner, waiting.begun_at)
        waiting.parts[piece.number] = piece.data
        waiting.held = held
        ctx.fragments_held += len(piece.data)
        if piece.is_last:
            waiting.total = piece.number
        if len(waiting.parts) != waiting.total:
            return None
        self._forget(ctx)
        return self._finish(header, waiting)

    def clear(self, ctx: Context) -> None:
        """Forget everything: the IKE SA is no more."""
        self._forget(ctx)
        self._late = frozenset()

    def expire(self, ctx: Context) -> int:
        """Forget pieces that have waited too long; how many there were."""
        waiting = self._waiting
        if waiting is None or ctx.now < waiting.begun_at + LIFE_S:
            return 0
        self._forget(ctx)
        return len(waiting.parts)

    def _place(self, ctx: Context, header: Header, piece: Fragment) -> _Waiting:
        """What the piece belongs to. Raises NotKept for a repeat and for a contradiction."""
        key = (header.exchange, header.message_id, piece.id)
        waiting = self._waiting
        if waiting is not None and waiting.key == key:
            if waiting.has(piece):
                raise NotKept("fragment_repeat")
            if waiting.fits(piece):
                return waiting
            self._forget(ctx)
            raise NotKept("fragments_contradict")
        self._forget(ctx)
        return _Waiting(key, ctx.now)

    def _finish(self, carrier: Header, waiting: _Waiting) -> bytes:
        """What the pieces are together. Raises NotKept unless it may be a message of the SA."""
        whole = b"".join(waiting.parts[number] for number in sorted(waiting.parts))
        try:
            header = Header.decode(whole)
        except Malformed as malformed:
            raise NotKept("fragments_malformed") from malformed
        if (header.spi_i, header.spi_r) != (carrier.spi_i, carrier.spi_r):
            raise NotKept("fragments_of_other_spi")
        if header.version != carrier.version:
            raise NotKept("fragments_malformed")
        if header.next_payload == PayloadType.FRAGMENT:
            raise NotKept("fragment_in_fragment")
        self._late = waiting.digests()
        return whole

    def _forget(self, ctx: Context) -> None:
        """Give the room of the pieces back; nothing happens when there are none."""
        if self._waiting is not None:
            ctx.fragments_held -= self._waiting.held
            self._waiting = None
            wait(ctx, self.owner, None)


def _digest(piece: Fragment) -> bytes:
    """What a piece is known by when it comes again."""
    return hashlib.sha256(piece.encode()).digest()
