"""Read-only snapshots of the engine for management: what `isthmus status` shows.

The state words are fixed vocabulary (PRODUCT-GUIDE d.2) and never change.
"""

from dataclasses import dataclass
from enum import StrEnum

from isthmus.ike.core.proofs import Judged
from isthmus.policy.assigned import Assigned
from isthmus.policy.mapping import NetworkMap
from isthmus.values.address import Endpoint
from isthmus.values.selector import Selectors
from isthmus.values.spi import Spi
from isthmus.values.time import Seconds


class Phase1State(StrEnum):
    """State of a tunnel's phase 1 (IKE SA)."""

    DOWN = "down"
    NEGOTIATING = "negotiating"
    UP = "up"
    REKEYING = "rekeying"
    FAILED = "failed"


class RuleState(StrEnum):
    """State of a rule's phase 2 (Child SA)."""

    OFF = "off"
    ARMED = "armed"
    NEGOTIATING = "negotiating"
    UP = "up"
    REKEYING = "rekeying"
    IDLE = "idle"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failed attempt: finding code, one sentence, what to do, and how long ago."""

    code: str
    reason: str
    fix: str
    ago_s: Seconds
    retry_in_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class ChildView:
    """One pair of SAs. Counters are the plane's business and joined on by the host."""

    spi_in: Spi
    spi_out: Spi
    suite: str
    pfs: str
    local: Selectors
    remote: Selectors
    encap: bool
    initiated: bool
    age_s: Seconds
    rekey_in_s: Seconds
    expires_in_s: Seconds
    state: str
    """"installed", "rekeying", "replaced" or "deleting"."""


@dataclass(frozen=True, slots=True)
class RuleView:
    """One rule."""

    name: str
    state: RuleState
    local: Selectors
    remote: Selectors
    since_s: Seconds
    map_local: tuple[NetworkMap, ...] = ()
    children: tuple[ChildView, ...] = ()
    failure: Failure | None = None
    trigger: str = ""
    """What brought phase 2 up last: a packet, a command, the peer."""


@dataclass(frozen=True, slots=True)
class Phase1View:
    """One IKE SA."""

    spi_i: str
    spi_r: str
    local: Endpoint
    remote: Endpoint
    local_id: str
    remote_id: str
    suite: str
    initiated: bool
    nat: str
    """"none", "local", "peer", "both" or "forced"."""
    age_s: Seconds
    rekey_in_s: Seconds
    heard_s: Seconds
    """Seconds since something authenticated came from the peer."""
    peer_vendor: str = ""
    peer_proof: Judged | None = None
    """The peer's signature; None: it proved itself by a pre-shared key."""
    user: str = ""
    """Whom the peer has logged in as."""
    assigned: Assigned | None = None
    """The address that one side lends the other for as long as this stands."""
    assigned_to_us: bool = False


@dataclass(frozen=True, slots=True)
class TunnelView:
    """One configured tunnel."""

    name: str
    peer: str
    mode: str
    start: str
    state: Phase1State
    healthy: bool
    since_s: Seconds
    phase1: Phase1View | None
    rules: tuple[RuleView, ...]
    failure: Failure | None = None
    held_down: bool = False
    carrier: bool | None = None
    """Route mode: whether the tunnel's interface has carrier; None: it has no interface."""
    carrier_since_s: Seconds = 0.0
    """For how long it has been so."""
    origin: str = ""
    weak: tuple[str, ...] = ()
    """Weak algorithms in use, by name."""
    version: str = "IKEv2"
    """Of phase 1, or what it would be started in: "IKEv2", "IKEv1 main" or "IKEv1 aggressive"."""
