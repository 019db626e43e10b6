"""What the host must do, in this order (ARCHITECTURE.md, effects out)."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from isthmus.credentials.xauth import Users
from isthmus.crypto.signature import SigningKey
from isthmus.ike.core.proofs import PeerTerms, Proof, Vouch
from isthmus.ike.core.records import Happening
from isthmus.policy.connection import Lifetimes
from isthmus.values.address import Endpoint
from isthmus.values.identity import Identity
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.selector import Selectors
from isthmus.values.signature import AnyScheme
from isthmus.values.spi import Spi
from isthmus.wire.v2.certificate import Certificate
from isthmus.x509.revocation import Statuses


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Hand to the port of that local endpoint; port 4500 gets the non-ESP marker there."""

    local: Endpoint
    remote: Endpoint
    octets: bytes


@dataclass(frozen=True, slots=True)
class InstallSa:
    """One direction of a Child SA. Keys leave the core here and only here."""

    tunnel: str
    rule: str
    inbound: bool
    spi: Spi
    """Ours when inbound, the peer's when outbound."""
    suite: Suite
    encryption_key: Secret
    """Cipher key and, for AEAD and CTR, the salt behind it."""
    integrity_key: Secret
    """Empty for AEAD ciphers."""
    local: Endpoint
    remote: Endpoint
    encap: bool
    """ESP in UDP (RFC 3948)."""
    local_selectors: Selectors
    remote_selectors: Selectors
    lifetimes: Lifetimes
    replay_window: int
    df: str
    standby: bool
    """Outbound only: use it once nothing better is left, or after `UpdateSa`."""


@dataclass(frozen=True, slots=True)
class ExpectSa:
    """We have told the peer an SPI whose keys do not exist yet.

    The peer may send on it the moment it has answered, before its answer is worked through here:
    the data plane keeps such packets, bounded, until `InstallSa` or `RemoveSa` or time ends it.
    """

    spi: Spi


@dataclass(frozen=True, slots=True)
class UpdateSa:
    """Change an installed SA; None leaves a thing as it is."""

    spi: Spi
    inbound: bool
    standby: bool | None = None
    local: Endpoint | None = None
    remote: Endpoint | None = None
    encap: bool | None = None
    lifetimes: Lifetimes | None = None


@dataclass(frozen=True, slots=True)
class RemoveSa:
    """Forget an SA and wipe its key."""

    spi: Spi
    inbound: bool


@dataclass(frozen=True, slots=True)
class ArmPolicy:
    """How packets of a rule without an SA are treated: held, with or without notice, or dropped."""

    tunnel: str
    rule: str
    on_no_sa: str
    """"hold", "hold_quiet" or "drop" as in the plane's protocol."""


@dataclass(frozen=True, slots=True)
class SetCarrier:
    """Route mode: whether the tunnel's interface has carrier, so that routes over it are used."""

    tunnel: str
    up: bool


@dataclass(frozen=True, slots=True)
class AssignAddress:
    """The peer lends this machine an address inside the tunnel (Mode Config), or it has ended.

    It is on the tunnel's interface some time after, and goes with the interface at the latest.
    """

    tunnel: str
    address: IPv4Address
    up: bool


@dataclass(frozen=True, slots=True)
class Keepalive:
    """NAT keepalives (RFC 7296 §2.23) from now on, or no more when `every_s` is 0."""

    local: Endpoint
    remote: Endpoint
    every_s: float


@dataclass(frozen=True, slots=True)
class MakeKey:
    """Job: a fresh key pair. Result: (Secret private, bytes public in KE payload form)."""

    method: KeMethod


@dataclass(frozen=True, slots=True)
class Agree:
    """Job: the shared secret. Result: (Secret,); refused if the peer's value is bad (RFC 6989)."""

    method: KeMethod
    private: Secret
    peer: bytes


@dataclass(frozen=True, slots=True)
class MakeKeyAndAgree:
    """Job of a responder: both at once. Result: (bytes public, Secret shared)."""

    method: KeMethod
    peer: bytes


@dataclass(frozen=True, slots=True)
class Resolve:
    """Job: where a peer is and which of our addresses reaches it.

    `peer` is an address or a name. Result: bytes local address, bytes remote address, as text; for
    a name with several addresses all of them, in the order in which they are to be tried.
    """

    peer: str
    local: str | None


@dataclass(frozen=True, slots=True)
class Sign:
    """Job: a signature by our own key, which may live elsewhere.

    Result: (bytes signature,), and behind it an OCSP answer about our certificate if `vouch` asks
    for it and there is one.
    """

    key: SigningKey
    scheme: AnyScheme
    octets: bytes
    vouch: Vouch | None = None


@dataclass(frozen=True, slots=True)
class JudgePeer:
    """Job: does a peer's signature hold, by a key that one of the tunnels trusts for this identity?

    Result: (Judged,), for the first of `terms` under which it does. The worker knows the date.
    """

    claimed: Identity
    proof: Proof
    certificates: tuple[Certificate, ...]
    """CERT payloads as they came."""
    octets: bytes
    terms: tuple[PeerTerms, ...]
    statuses: Statuses


@dataclass(frozen=True, slots=True)
class CheckLogin:
    """Job of a server of XAUTH: is this the user's password? Slow on purpose.

    Result: (bytes name,); refused otherwise.
    """

    users: Users
    user: str
    password: Secret


Job = MakeKey | Agree | MakeKeyAndAgree | Resolve | Sign | JudgePeer | CheckLogin


@dataclass(frozen=True, slots=True)
class Compute:
    """A slow operation; its answer comes back as `ComputeFinished` with the same ticket."""

    ticket: int
    job: Job
    sheddable: bool = False
    """A stranger asks for it: it may be refused when there is too much to do."""


class Record:
    """A typed fact for log, metrics, subscribers and trace.

    What a stranger can cause thousands of times a second is told by `later`: its sentence is made
    when somebody reads it. Two are equal when their facts are.
    """

    __slots__ = ("_happening", "_make", "event")
    __match_args__ = ("happening",)

    def __init__(self, happening: Happening) -> None:
        self.event = happening.event
        self._happening: Happening | None = happening
        self._make: Callable[[], Happening] | None = None

    @classmethod
    def later(cls, event: str, make: Callable[[], Happening]) -> Self:
        """A fact of this id that `make` tells, from values that do not change any more. It answers
        no command, and has no reason that suppressed ones are counted by."""
        record = object.__new__(cls)
        record.event, record._happening, record._make = event, None, make
        return record

    @property
    def is_told(self) -> bool:
        """The fact has been put into words."""
        return self._happening is not None

    @property
    def happening(self) -> Happening:
        """The fact."""
        if self._happening is None:
            assert self._make is not None, "one of the two is there"
            self._happening, self._make = self._make(), None
            assert self._happening.event == self.event, "it was announced"
        return self._happening

    def __eq__(self, other: object) -> bool:
        return self.happening == other.happening if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.happening)

    def __repr__(self) -> str:
        return f"Record({self.happening!r})"


Effect = (
    SendDatagram
    | InstallSa
    | ExpectSa
    | UpdateSa
    | RemoveSa
    | ArmPolicy
    | SetCarrier
    | AssignAddress
    | Keepalive
    | Compute
    | Record
)
