"""Message IDs and what they permit: one request each way at a time (RFC 7296 §2.1-2.3)."""

from dataclasses import dataclass, field
from enum import Enum, auto

from isthmus.ike.core.retransmit import HANDSHAKE, Backoff
from isthmus.ike.v2.fragments import Arrival, Parcel
from isthmus.ike.v2.purposes import Purpose
from isthmus.values.time import Instant


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Our request that is not answered yet."""

    message_id: int
    exchange: int
    parcel: Parcel
    purpose: Purpose

    schedule: Backoff
    first_sent_at: Instant
    tries: int = 1
    tries_of_cut: int = 1
    """How often it went out in pieces of the present size."""


class Verdict(Enum):
    """What a request's message ID makes of it."""

    NEW = auto()
    REPEAT = auto()
    BUSY = auto()
    """The same request again while its answer is still being computed."""
    OUTSIDE = auto()


@dataclass(slots=True)
class Window:
    """Both windows of an IKE SA, each of size one."""

    next_id: int = 0
    expected_id: int = 0
    outstanding: Outstanding | None = None
    answering: bool = False
    last_reply: Parcel | None = None
    reply_sent_at: Instant | None = None
    """When `last_reply` went out last, and how often it did in pieces of the present size."""
    reply_tries_of_cut: int = 0
    request: Arrival = field(default=Arrival(0))
    """How the request at hand, or the one answered last, came."""
    schedule: Backoff = field(default=HANDSHAKE)

    def verdict(self, message_id: int, exchange: int) -> Verdict:
        """Sort an authentic request.

        The same ID in another exchange is no repeat: before authentication, IKE_SA_INIT's reply
        would be a large answer to a small sealed message under a forged address.
        """
        if message_id == self.expected_id:
            return Verdict.BUSY if self.answering else Verdict.NEW
        if message_id == self.expected_id - 1 and self.last_reply is not None:
            same = exchange == self.last_reply.header.exchange
            return Verdict.REPEAT if same else Verdict.OUTSIDE
        return Verdict.OUTSIDE

    def answered(self, reply: Parcel, now: Instant) -> None:
        """Our reply to the expected request is out; keep it for repeats."""
        self.last_reply = reply
        self.reply_sent_at = now
        self.reply_tries_of_cut = 1
        self.expected_id += 1
        self.answering = False

    def sent(self, outstanding: Outstanding) -> None:
        """Our request is out."""
        assert self.outstanding is None, "one request at a time"
        self.outstanding = outstanding

    def matches(self, message_id: int, exchange: int) -> bool:
        """A response answers our outstanding request."""
        out = self.outstanding
        return out is not None and out.message_id == message_id and out.exchange == exchange

    def settled(self) -> Outstanding:
        """Our request is answered; the next may go."""
        out = self.outstanding
        assert out is not None, "only an outstanding request is settled"
        self.outstanding = None
        self.next_id = out.message_id + 1
        return out
