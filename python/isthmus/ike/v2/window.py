"""Message IDs and what they permit: one request each way at a time (RFC 7296 §2.1-2.3)."""

from dataclasses import dataclass, field
from enum import Enum, auto

from isthmus.ike.core.retransmit import HANDSHAKE, Backoff
from isthmus.ike.v2.purposes import Purpose
from isthmus.values.time import Instant


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Our request that is not answered yet."""

    message_id: int
    exchange: int
    octets: bytes
    purpose: Purpose

    schedule: Backoff
    first_sent_at: Instant
    tries: int = 1


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
    last_reply: bytes = b""
    last_exchange: int = 0
    """The exchange that `last_reply` belongs to."""
    schedule: Backoff = field(default=HANDSHAKE)

    def verdict(self, message_id: int, exchange: int) -> Verdict:
        """Sort an authentic request.

        The same ID in another exchange is no repeat: before authentication, IKE_SA_INIT's reply
        would be a large answer to a small sealed message under a forged address.
        """
        if message_id == self.expected_id:
            return Verdict.BUSY if self.answering else Verdict.NEW
        if message_id == self.expected_id - 1 and self.last_reply:
            return Verdict.REPEAT if exchange == self.last_exchange else Verdict.OUTSIDE
        return Verdict.OUTSIDE

    def answered(self, reply: bytes, exchange: int) -> None:
        """Our reply to the expected request is out; keep it for repeats."""
        self.last_reply = reply
        self.last_exchange = exchange
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
