"""An IKEv2 IKE SA: the neutral record and what IKEv2 adds to it."""

from collections import deque
from dataclasses import dataclass, field

from isthmus.ike.auth.signature import SAID_NOTHING, PeerTakes
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.core.states import Preparing
from isthmus.ike.v2.fragments import Assembly
from isthmus.ike.v2.keys import IkeKeys
from isthmus.ike.v2.protect import Protector
from isthmus.ike.v2.states import Making, Replaced, State
from isthmus.ike.v2.window import Window
from isthmus.ike.v2.wishes import Wish
from isthmus.values.proposal import Proposal
from isthmus.values.spi import Spi


@dataclass(frozen=True, slots=True)
class Authenticating:
    """What IKE_AUTH needs from IKE_SA_INIT; dropped once the SA is established."""

    message_i: bytes
    message_r: bytes
    nonce_i: bytes
    nonce_r: bytes
    chosen: Proposal
    peer_takes: PeerTakes = SAID_NOTHING
    """What the peer has said about signatures that it can check."""


@dataclass(slots=True, eq=False)
class SaV2(IkeSa):
    """Everything known of one IKE SA."""

    state: State = field(default_factory=Preparing)
    window: Window = field(default_factory=Window)
    keys: IkeKeys | None = None
    protector: Protector | None = None
    authenticating: Authenticating | None = None
    wishes: deque[Wish] = field(default_factory=deque)
    answering_ike_rekey: bool = False
    """The peer's wish for a successor is being computed: no request of ours may start."""
    preparing_request: bool = False
    """A key for our next request is being computed."""
    undecided_for: "SaV2 | None" = None
    """The peer made this SA to follow that one, while our own request for a successor of it is not
    answered yet."""
    ike_rekey_by_peer: "tuple[SaV2, bytes] | None" = None
    """The peer's half of a simultaneous IKE SA rekey: its new SA and the lowest nonce."""
    deleted_unheard: set[Spi] = field(default_factory=set)
    """Outbound SPIs that the peer deleted while our request may have been making them."""
    has_moved_on: bool = False
    """It was begun with another address of the peer, whose late answer must not be taken."""
    fragments_agreed: bool = False
    """Both sides read messages in pieces (RFC 7383 §2.3)."""
    fragment_size: int = 0
    """The IP datagram, in octets, from which on messages are cut at present."""
    assembly: Assembly = field(init=False)
    """The pieces that have come of messages that are not whole yet."""

    def __post_init__(self) -> None:
        self.assembly = Assembly(self.owner)
        self.fragment_size = self.fragment_size or self.connection.fragmentation.size

    @property
    def is_making(self) -> bool:
        """It may still become authenticated."""
        return isinstance(self.state, Making)

    @property
    def is_replaced(self) -> bool:
        """A successor stands."""
        return isinstance(self.state, Replaced)

    @property
    def spoken(self) -> str:
        """IKEv2, which has one way only."""
        return "IKEv2"

    @property
    def peer_deletes_its_own(self) -> bool:
        """RFC 7296 §2.8."""
        return True
