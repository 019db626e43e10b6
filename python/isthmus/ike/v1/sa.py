"""An IKEv1 phase 1: the neutral record and what IKEv1 adds to it."""

from collections import OrderedDict
from dataclasses import dataclass, field

from isthmus.ike.core.context import Failed
from isthmus.ike.core.pairs import PairKeys
from isthmus.ike.core.retransmit import Backoff
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.core.states import Preparing
from isthmus.ike.v1.access import Access
from isthmus.ike.v1.fragments import Assembly
from isthmus.ike.v1.keys import Phase1Keys
from isthmus.ike.v1.protect import Protector
from isthmus.ike.v1.quick import Quick
from isthmus.ike.v1.states import Claim, Making, Proving, State
from isthmus.ike.v1.vendors import SAID_NOTHING, PeerCan
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.spi import Spi
from isthmus.values.time import Instant

PHASE1_ID = 0
"""The message ID of Main Mode and Aggressive Mode (RFC 2408 §3.1)."""
USED_IDS_RENEW = 6144
"""So many message IDs of the peer, and phase 1 is renewed: what is forgotten could come again."""
USED_IDS_MAX = 8192
"""Message IDs of the peer that are remembered, so that an old message is not begun with again."""


@dataclass(slots=True, eq=False)
class Sent:
    """A message of ours that is sent again until it is answered."""

    datagrams: tuple[bytes, ...]
    schedule: Backoff
    first_sent_at: Instant
    due_at: Instant
    tries: int = 1


@dataclass(slots=True, eq=False)
class Exchange:
    """Messages under one message ID: phase 1 itself, a Quick Mode, a Transaction."""

    message_id: int
    kind: int
    iv: bytes = b""
    """Of the next encrypted message, either way (RFC 2409 appendix B)."""
    heard: bytes = b""
    """Digest of the message that was taken last, to know its repeats by."""
    reply: tuple[bytes, ...] = ()
    """What was sent behind it, for those."""
    sent: Sent | None = None
    quick: Quick | None = None
    """What a Quick Mode is about; None in other exchanges, and when it is done."""


@dataclass(slots=True, eq=False)
class SaV1(IkeSa):
    """Everything known of one phase 1."""

    state: State = field(default_factory=Preparing)
    phase1: Exchange = field(default_factory=lambda: Exchange(PHASE1_ID, 0))
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    """All but phase 1, by message ID."""
    own_ids: set[int] = field(default_factory=set)
    """Message IDs of exchanges that we began. In IKEv1 a first message looks alike in both
    directions, so that ours, sent back to us, would pass for the peer's."""
    misread: int = 0
    """Responder: proofs that could not be read, or whose HASH was wrong."""
    used_ids: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """Message IDs of exchanges that the peer began."""
    keys: Phase1Keys | None = None
    protector: Protector | None = None
    last_block: bytes = b""
    """The last block of phase 1, which the IVs of other exchanges come from."""
    proving: Proving | None = None
    claim: Claim | None = None
    """Responder of Aggressive Mode: what the first message says of its sender."""
    peer_can: PeerCan = SAID_NOTHING
    probe_from: int = 0
    """Sequence number of the first R-U-THERE of the present question (RFC 3706 §6.2)."""
    probe_next: int = 0
    probe_since: Instant | None = None
    """When the present question was asked first; None: none is."""
    probe_heard: int | None = None
    """The peer's last sequence number: a lower one is a repeat."""
    access: Access = field(default_factory=Access)
    """Where a log-in and the lending of an address stand."""
    peer_is_new: bool = False
    """The peer said that it knows of no other SA with us."""
    early: tuple[bytes, Endpoint, Endpoint] | None = None
    """A message that came while the proof in front of it is being judged, ours and the peer's
    endpoint."""
    doubted: Failed | None = None
    """What a message that nobody vouches for says about a failure: told if nothing better comes."""
    assembly: Assembly = field(init=False)
    fragment_id: int = 0
    unsent: dict[Spi, PairKeys] = field(default_factory=dict)
    """Keys of pairs that listen already and do not send yet, by inbound SPI."""

    def __post_init__(self) -> None:
        self.assembly = Assembly(self.owner)

    @property
    def is_making(self) -> bool:
        """It may still become authenticated."""
        return isinstance(self.state, Making)

    @property
    def is_replaced(self) -> bool:
        """Children of IKEv1 move to the successor at once, and nothing waits for it."""
        return False

    @property
    def peer_deletes_its_own(self) -> bool:
        """No RFC says which one goes."""
        return False

    @property
    def spoken(self) -> str:
        """IKEv1, and the mode of phase 1."""
        aggressive = self.phase1.kind == ExchangeType.AGGRESSIVE_MODE
        return "IKEv1 aggressive" if aggressive else "IKEv1 main"

    @property
    def every_exchange(self) -> tuple[Exchange, ...]:
        """Phase 1 and all others that are under way or remembered for repeats."""
        return (self.phase1, *self.exchanges.values())
