"""What an IKE SA (phase 1) is, whatever the version."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.proofs import Judged
from isthmus.ike.core.states import Closed, Established, Preparing
from isthmus.policy.assigned import Assigned
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.identity import Identity
from isthmus.values.proposal import Suite
from isthmus.values.spi import IkeSpi, Spi
from isthmus.values.time import Instant, Seconds


@dataclass(frozen=True, slots=True)
class NatSeen:
    """Where address translators stand (RFC 7296 §2.23)."""

    local: bool = False
    """We are behind one."""
    peer: bool = False
    """The peer is."""
    forced: bool = False
    """Configuration asks for UDP encapsulation whatever is seen."""
    preferred: bool = False
    """Both ends carry ESP faster in UDP, where a kernel cuts and joins datagrams for them."""

    @property
    def encap(self) -> bool:
        """ESP travels in UDP and IKE on port 4500."""
        return self.local or self.peer or self.forced or self.preferred

    def __str__(self) -> str:
        if self.local and self.peer:
            return "both"
        if self.local:
            return "local"
        if self.peer:
            return "peer"
        return "forced" if self.forced else "none"


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first of a line of IKE SAs, each renewed by the next: what both ends know alike of it,
    whichever renewal stands at either end just now."""

    spi_i: IkeSpi
    initiator: bool
    """We began it."""
    at: Instant
    established_at: Instant | None


@dataclass(slots=True, eq=False)
class IkeSa(ABC):
    """The version-neutral part. Compared by identity: two SAs are never equal."""

    connection: Connection
    initiator: bool
    """We sent the first message of the SA (or of the rekey that made it)."""
    spi_i: IkeSpi
    spi_r: IkeSpi
    local: Endpoint
    remote: Endpoint
    created_at: Instant
    heard_at: Instant
    state: object = field(default_factory=Preparing)
    """One of its version's states."""
    suite: Suite | None = None
    local_id: Identity | None = None
    remote_id: Identity | None = None
    nat: NatSeen = NatSeen()
    children: dict[Spi, ChildSa] = field(default_factory=dict)
    """By inbound SPI."""
    established_at: Instant | None = None
    expires_at: Instant | None = None
    peer_vendor: str = ""
    peer_proof: Judged | None = None
    """The peer's signature; None: it proved itself by a pre-shared key."""
    user: str = ""
    """Whom the peer has logged in as, behind its identity (XAUTH)."""
    assigned: Assigned | None = None
    """The address inside the tunnel that the server of Mode Config lends its client: us, or the
    peer."""

    lifetime_max_s: Seconds | None = None
    """What the peer has said that it lives by; None: nothing (IKEv1 alone speaks of lifetimes)."""
    superseded: bool = False
    """Another IKE SA with this peer stays, and this one goes soon."""
    candidates: tuple[Connection, ...] = ()
    """Responder: tunnels that fit by address, until the identity decides."""
    renews: Beginning | None = None
    """What it goes back to, if a renewal made it."""
    first_hash: bytes = b""
    """Responder of IKEv2: what the message that began it is known by."""
    replaces: "IkeSa | None" = None
    """Initiator of IKEv1: the phase 1 that this one is to stand in the place of."""
    rekeying: bool = False
    """We have asked for a successor."""
    other_ways: tuple[tuple[str, str], ...] = ()
    """Initiator: addresses, ours and the peer's, that are tried when the present ones stay without
    an answer: a name may have several."""

    @property
    def is_open(self) -> bool:
        """Authenticated, and nothing stands in its place."""
        return isinstance(self.state, Established)

    @property
    def is_authenticated(self) -> bool:
        """The peer has proved who it is at some time, and the SA is not closed."""
        return self.established_at is not None and not isinstance(self.state, Closed)

    @property
    @abstractmethod
    def is_making(self) -> bool:
        """It may still become authenticated. Each version has states of its own on the way."""

    @property
    @abstractmethod
    def is_replaced(self) -> bool:
        """A successor stands in its place."""

    @property
    @abstractmethod
    def peer_deletes_its_own(self) -> bool:
        """Of two IKE SAs that crossed, the peer is sure to delete the one that it began."""

    @property
    @abstractmethod
    def spoken(self) -> str:
        """The protocol that it is made by, as `Connection.started_as` says it."""

    @property
    def beginning(self) -> Beginning:
        """That of its line: its own, if no renewal made it."""
        own = Beginning(self.spi_i, self.initiator, self.created_at, self.established_at)
        return self.renews or own

    @property
    def follows_peer(self) -> bool:
        """Does an authentic packet from elsewhere move the peer (RFC 7296 §2.23)?

        Not where we are behind a translator ourselves, unless the peer is too and reached us: then
        ports are forwarded to us, and only the peer's translator can have changed its mind.
        """
        if not self.nat.local:
            return self.nat.encap
        return self.nat.peer and not self.beginning.initiator

    @property
    def owner(self) -> tuple[str, bytes]:
        """The name that its timers stand under."""
        return ("sa", self.own_spi)

    @property
    def own_spi(self) -> IkeSpi:
        """The SPI that the peer writes towards us: unique in this engine."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def peer_spi(self) -> IkeSpi:
        """The SPI that we write towards the peer."""
        return self.spi_r if self.initiator else self.spi_i

    def is_same_peer(self, other: "IkeSa") -> bool:
        """Is it the same one at the other end? Users behind one identity are peers of their own."""
        return (self.remote_id, self.user) == (other.remote_id, other.user)

    def child_by_peer_spi(self, spi: Spi) -> ChildSa | None:
        """The Child SA whose outbound SPI this is: how peers name SAs (RFC 7296 §3.11)."""
        return next((c for c in self.children.values() if c.spi_out == spi), None)
