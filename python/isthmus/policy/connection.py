"""What a configured tunnel is once defaults are applied: frozen and complete."""

from dataclasses import dataclass, field
from enum import StrEnum

from isthmus.policy.authentication import LocalAuth, RemoteAuth
from isthmus.policy.mapping import NetworkMap, seen
from isthmus.values.address import IKE_PORT, Endpoint
from isthmus.values.identity import Identity, IdentityPattern
from isthmus.values.proposal import Proposal
from isthmus.values.selector import Selectors
from isthmus.values.time import Seconds


class Start(StrEnum):
    """When phase 2 is negotiated."""

    TRAFFIC = "traffic"
    ALWAYS = "always"
    LISTEN = "listen"


class IkeVersion(StrEnum):
    """Which protocol makes the phases."""

    V1 = "1"
    V2 = "2"
    AUTO = "auto"
    """IKEv2 is started; either is answered."""


class Mode(StrEnum):
    """What decides that a packet is interesting: rules, or the routing table."""

    POLICY = "policy"
    ROUTE = "route"


class Nat(StrEnum):
    """UDP encapsulation of ESP: when a NAT is seen or both ends are faster that way, only when a
    NAT is seen, always, or never."""

    AUTO = "auto"
    NEEDED = "needed"
    FORCE = "force"
    OFF = "off"


class Processing(StrEnum):
    """What becomes of traffic that no tunnel is to carry (RFC 4301 §4.4.1)."""

    BYPASS = "bypass"
    DISCARD = "discard"


class DpdAction(StrEnum):
    """What follows when the peer is found dead, named for its effect."""

    REARM = "rearm"
    RECONNECT = "reconnect"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Hard limits of one SA and how long before them it is renewed.

    Rekeying starts at `lifetime - margin * (1 + fuzz * x)`, x drawn from 0..1 for each SA.
    """

    lifetime_s: Seconds
    margin_s: Seconds
    fuzz: float = 1.0
    octets_max: int | None = None
    packets_max: int | None = None


KEEPALIVE_S: Seconds = 20.0
PHASE1_LIFETIMES = Lifetimes(lifetime_s=28_800, margin_s=540)
PHASE2_LIFETIMES = Lifetimes(lifetime_s=3_600, margin_s=270)


@dataclass(frozen=True, slots=True)
class Liveness:
    """Dead peer detection (RFC 7296 §2.4)."""

    every_s: Seconds = 10.0
    timeout_s: Seconds = 40.0
    action: DpdAction = DpdAction.REARM


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """Sending large IKE messages in pieces (RFC 7383)."""

    enabled: bool = True
    size: int = 1280
    """Octets of an IP datagram that a message may fill before it is cut. Every road carries the
    usual value without IP fragments; where it does not, smaller pieces are tried by themselves."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Bounds of the packets that wait for phase 2, for one rule."""

    packets_max: int = 64
    octets_max: int = 131_072
    age_max_s: Seconds = 10.0


@dataclass(frozen=True, slots=True)
class ChildPolicy:
    """One rule: which traffic, under which proposals (what a Child SA is made from)."""

    name: str
    local: Selectors
    remote: Selectors
    proposals: tuple[Proposal, ...]
    """ESP proposals in order of preference; a KE transform asks for PFS at rekey."""
    start: Start = Start.TRAFFIC
    lifetimes: Lifetimes = PHASE2_LIFETIMES
    replay_window: int = 1024
    hold: Hold = Hold()
    df: str = "copy"
    """DF of the outer IPv4 header: "copy", "set" or "clear" (RFC 4301 §8.1)."""
    clamp_mss: bool = True
    origin: str = ""
    """File and line that it came from."""
    idle_s: Seconds | None = None
    """Phase 2 is closed after this much silence of the traffic; None: never."""
    map_local: tuple[NetworkMap, ...] = ()
    """Networks of our side that the peer sees under other addresses."""

    @property
    def seen_local(self) -> Selectors:
        """Our side as the peer sees it: what is negotiated and what ESP carries."""
        return seen(self.local, self.map_local)


ROUTE_METRIC = 100
"""Of routes through a tunnel, unless the file says otherwise."""


@dataclass(frozen=True, slots=True)
class Route:
    """A network behind the peer; of two routes to it, the one with the lower metric is used."""

    network: str
    metric: int = ROUTE_METRIC


@dataclass(frozen=True, slots=True)
class Interface:
    """The tunnel interface of a route-based tunnel."""

    name: str
    addresses: tuple[str, ...] = ()
    """Inside addresses with prefix length, `169.254.10.1/30`."""
    routes: tuple[Route, ...] = ()
    mtu: int | None = None
    """None: computed from the suite."""
    protect: tuple[str, ...] = ()
    """Networks that are never reached in clear, also while no route leads into a tunnel."""


class AccessRole(StrEnum):
    """Which end of a road warrior's exchange we are."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Xauth:
    """A name and a password after phase 1 (draft-beaulieu-ike-xauth)."""

    role: AccessRole
    name: str
    """What the credentials store knows the client's password, or the server's users, under."""
    user: str = ""
    """The client's; a server has users of its own."""


@dataclass(frozen=True, slots=True)
class ModeConfig:
    """Addresses inside the tunnel, handed out after phase 1 (draft-dukes-ike-mode-cfg)."""

    role: AccessRole
    address: str | None = None
    """The one that a client asks for; None: any."""
    pool: tuple[str, ...] = ()
    """Networks that a server gives addresses out of."""
    dns: tuple[str, ...] = ()
    domain: str = ""
    networks: tuple[str, ...] = ()
    """What the server tells its clients to reach through the tunnel."""
    push: bool = False
    """The server sends them unasked (SET) instead of waiting for a REQUEST; a client takes both."""


@dataclass(frozen=True, slots=True)
class V1Terms:
    """What only IKEv1 has."""

    aggressive: bool = False
    """Phase 1 in Aggressive Mode, which shows the identities and a hash of the secret in clear."""
    xauth: Xauth | None = None
    mode_config: ModeConfig | None = None
    hybrid: bool = False
    """The peer alone proves itself in phase 1; we do with XAUTH (draft-zegman-ike-hybrid-auth)."""

    @property
    def is_gated(self) -> bool:
        """Something is due behind phase 1 that IKEv2 does not have."""
        return self.xauth is not None or self.mode_config is not None or self.hybrid


@dataclass(frozen=True, slots=True)
class Connection:
    """One tunnel: a peer, how phase 1 is made with it, and its rules."""

    name: str
    peer: str | None
    """The peer's address in text form; None: any address (listen only)."""
    local_id: Identity | None
    """None: the local address of phase 1, known when a packet leaves."""
    remote_id: Identity | IdentityPattern | None
    """None: the peer's address."""
    phase1_proposals: tuple[Proposal, ...]
    rules: tuple[ChildPolicy, ...]
    local_auth: LocalAuth
    remote_auth: RemoteAuth
    mode: Mode = Mode.POLICY
    local_address: str | None = None
    """None: the kernel chooses."""
    peer_port: int = IKE_PORT
    phase1_lifetimes: Lifetimes = PHASE1_LIFETIMES
    liveness: Liveness = Liveness()
    nat: Nat = Nat.AUTO
    interface: Interface | None = None
    """Set in route mode."""
    allow_weak: bool = False
    origin: str = ""
    keepalive_s: Seconds = KEEPALIVE_S
    """Behind a NAT: how often its mapping is kept alive (RFC 3948 §4)."""
    phase1_idle_s: Seconds | None = None
    """Phase 1 is closed when it has had no phase 2 for this long; None: never."""
    fragmentation: Fragmentation = Fragmentation()
    ike: IkeVersion = IkeVersion.V2
    v1: V1Terms = V1Terms()
    """Of no meaning unless IKEv1 is spoken."""

    @property
    def speaks_v1(self) -> bool:
        """IKEv1 is answered, and each rule has one network on each side."""
        return self.ike is not IkeVersion.V2

    @property
    def speaks_v2(self) -> bool:
        """IKEv2 is answered: never where a log-in or a lent address of IKEv1 is due, which it would
        go around."""
        return self.ike is not IkeVersion.V1 and not self.v1.is_gated

    @property
    def initiates_v1(self) -> bool:
        """Phase 1 is started in IKEv1."""
        return self.ike is IkeVersion.V1

    @property
    def started_as(self) -> str:
        """How phase 1 is started, in words: "IKEv2", "IKEv1 main" or "IKEv1 aggressive"."""
        if not self.initiates_v1:
            return "IKEv2"
        return "IKEv1 aggressive" if self.v1.aggressive else "IKEv1 main"

    @property
    def secret_names(self) -> frozenset[str]:
        """What the credentials store is asked for on behalf of this tunnel."""
        return frozenset({self.local_auth.name, self.remote_auth.name})

    def rule(self, name: str) -> ChildPolicy | None:
        """The rule of that name."""
        return next((r for r in self.rules if r.name == name), None)

    @property
    def remote_endpoint(self) -> Endpoint | None:
        """Where phase 1 is started; None when the peer may be anywhere."""
        return None if self.peer is None else Endpoint(self.peer, self.peer_port)


class Prefer(StrEnum):
    """Who chooses among the tunnels of a group."""

    ORDER = "order"
    ECMP = "ecmp"
    BGP = "bgp"


@dataclass(frozen=True, slots=True)
class Group:
    """Tunnels to one site that stand in for each other. Packets are taken from each of them."""

    name: str
    tunnels: tuple[str, ...]
    prefer: Prefer = Prefer.ORDER
    routes: tuple[Route, ...] = ()
    """Through every tunnel of the group."""
    protect: tuple[str, ...] = ()
    """Networks that are never reached in clear."""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PlainRule:
    """Traffic that leaves in clear or not at all, in policy mode. Rules of tunnels and these are
    matched in one order, the most specific first."""

    name: str
    """`bypass#1`: which one of the file it is."""
    processing: Processing
    local: Selectors
    remote: Selectors
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the daemon was told, in file order."""

    connections: tuple[Connection, ...] = ()
    listen: tuple[str, ...] = ("0.0.0.0", "::")
    """Addresses that UDP 500 and 4500 are opened on."""
    warnings: tuple[str, ...] = field(default=())
    plain: tuple[PlainRule, ...] = ()
    groups: tuple[Group, ...] = ()
    fail_closed: bool = False
    """What the tunnels protect stays unreachable when the daemon has been stopped."""
    _by_name: dict[str, Connection] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The first of a name stands for it.
        by_name = {connection.name: connection for connection in reversed(self.connections)}
        object.__setattr__(self, "_by_name", by_name)

    def connection(self, name: str) -> Connection | None:
        """The tunnel of that name."""
        return self._by_name.get(name)

    def holds(self, connection: Connection) -> bool:
        """Is this very tunnel one of them, with all its terms?"""
        found = self._by_name.get(connection.name)
        return found is connection or found == connection
