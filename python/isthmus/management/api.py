"""What may be said on the management socket, schema `isthmus/v1` (docs/commands.md).

A client sends requests and gets replies, one JSON object a line. Requests refuse unknown fields;
replies may grow new fields within a version, so clients ignore those that they do not know.
Times are seconds, SPIs are text (`0xc4a1d2e0`), selectors are text as users write them.
This module needs nothing but msgspec, so that `isthmus status` starts fast.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SCHEMA: Literal["isthmus/v1"] = "isthmus/v1"
LINE_MAX = 1 << 20
"""Octets of one request with its line end."""
REPLY_MAX = 1 << 25
"""Octets of one reply with its line end: the state of ten thousand tunnels."""
NAME_MAX = 256
EVENTS_MAX = 1000
WAIT_MAX_S = 3600.0

Fact = str | int | float | bool
Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
Wait = Annotated[float, Meta(gt=0, le=WAIT_MAX_S)]


class Request(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="verb", forbid_unknown_fields=True
):
    """Root of every request. `schema` names the language, `id` comes back in the replies."""

    schema: str
    id: int = 0


class Status(Request, frozen=True, tag="status"):
    """The state of every tunnel, or of one."""

    tunnel: Name | None = None


class Up(Request, frozen=True, tag="up"):
    """Bring a tunnel or one of its rules up; events follow until it is up, failed or too late."""

    tunnel: Name
    rule: Name | None = None
    timeout_s: Wait = 30.0


class Down(Request, frozen=True, tag="down"):
    """Close a tunnel, or phase 2 of one rule. `hold`: stay down in spite of traffic, until `Up`."""

    tunnel: Name
    rule: Name | None = None
    hold: bool = True
    timeout_s: Wait = 30.0


class Rekey(Request, frozen=True, tag="rekey"):
    """Make-before-break now."""

    tunnel: Name
    rule: Name | None = None
    phase: Literal[1, 2] = 2
    timeout_s: Wait = 30.0


class Sa(Request, frozen=True, tag="sa"):
    """The SAs as they stand in the engine and in the data plane."""

    tunnel: Name | None = None


class Policy(Request, frozen=True, tag="policy"):
    """The data plane's policies in order of match."""


class Log(Request, frozen=True, tag="log"):
    """The last events, and with `follow` those to come."""

    tunnel: Name | None = None
    limit: Annotated[int, Meta(ge=0, le=EVENTS_MAX)] = 100
    follow: bool = False


class Which(Request, frozen=True, tag="which"):
    """Which rule a packet takes. `protocol` is a number (0: not said), `port` the destination's."""

    source: Name
    destination: Name
    protocol: Annotated[int, Meta(ge=0, le=255)] = 0
    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class Version(Request, frozen=True, tag="version"):
    """What runs."""


class Counters(Request, frozen=True, tag="counters"):
    """The data plane's counters."""


class Plan(Request, frozen=True, tag="plan"):
    """What a reload would do now. Nothing changes, but files are read and commands that give
    secrets are run."""


class Reload(Request, frozen=True, tag="reload"):
    """Run under what the file says now. Unless `confirm` comes within `rollback_after_s`, the
    earlier configuration comes back; `wait_s`: answer once the changed tunnels stand again."""

    rollback_after_s: Wait | None = None
    wait_s: Wait | None = None


class Confirm(Request, frozen=True, tag="confirm"):
    """Keep the configuration that a reload with `rollback_after_s` brought."""


AnyRequest = (
    Status
    | Up
    | Down
    | Rekey
    | Sa
    | Policy
    | Log
    | Which
    | Version
    | Counters
    | Plan
    | Reload
    | Confirm
)

WRITE_VERBS = (Up, Down, Rekey, Plan, Reload, Confirm)
"""Requests that change something or read secrets; the others only look."""


class FailureState(msgspec.Struct, frozen=True, kw_only=True):
    """The last failed attempt."""

    code: str
    reason: str
    fix: str
    ago_s: float
    retry_in_s: float | None = None


class ChildState(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of SAs (a Child SA) with the data plane's counters."""

    spi_in: str
    spi_out: str
    suite: str
    pfs: str
    state: str
    encap: bool
    initiated: bool
    local: tuple[str, ...]
    remote: tuple[str, ...]
    age_s: float
    rekey_in_s: float
    expires_in_s: float
    packets_in: int = 0
    packets_out: int = 0
    octets_in: int = 0
    octets_out: int = 0
    last_in_s: float | None = None
    """Since the last packet came in; null: none has."""
    last_out_s: float | None = None
    drops: dict[str, int] = {}


class Selectors(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of a rule."""

    local: tuple[str, ...]
    remote: tuple[str, ...]


class RuleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One rule (phase 2). `state`: off, armed, negotiating, up, rekeying, idle or failed."""

    name: str
    state: str
    since_s: float
    selectors: Selectors
    """As written; what is negotiated is the pairs' own."""
    map_local: dict[str, str] = {}
    """Networks of this side and how the peer sees them."""
    trigger: str = ""
    idle_in_s: float | None = None
    """When phase 2 closes if no packet comes; null: never, or it is not up."""
    children: tuple[ChildState, ...] = ()
    failure: FailureState | None = None


class AssignedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An address inside the tunnel that goes with phase 1 (IKEv1's Mode Config), and what its
    client is told beside it. No resolver is changed here."""

    ours: bool
    """The peer lends it to us; else we lend it to the peer."""
    address: str
    dns: tuple[str, ...] = ()
    domain: str = ""
    networks: tuple[str, ...] = ()


class Phase1Status(msgspec.Struct, frozen=True, kw_only=True):
    """Phase 1 (IKE SA). `state`: down, negotiating, up, rekeying or failed. What follows
    `since_s` is null as long as there is no SA."""

    state: str
    since_s: float
    spi_i: str | None = None
    spi_r: str | None = None
    local: str | None = None
    remote: str | None = None
    local_id: str | None = None
    remote_id: str | None = None
    suite: str | None = None
    initiated: bool | None = None
    nat: str | None = None
    age_s: float | None = None
    rekey_in_s: float | None = None
    heard_s: float | None = None
    peer_vendor: str | None = None
    user: str | None = None
    """Whom the peer has logged in as (IKEv1's XAUTH); empty: nobody was asked."""
    assigned: AssignedStatus | None = None


class CertificateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`role`: own, issuer (of our own, sent along), anchor (a root that is trusted) or peer."""

    role: str
    subject: str
    not_after: int
    """Unix time in seconds."""
    days_left: int
    """Whole days; negative once it has expired."""


class TunnelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One configured tunnel, whether it was ever up or not."""

    name: str
    peer: str
    mode: str
    start: str
    healthy: bool
    held_down: bool
    phase1: Phase1Status
    rules: tuple[RuleStatus, ...]
    failure: FailureState | None = None
    weak: tuple[str, ...] = ()
    origin: str = ""
    carrier: bool | None = None
    """Whether the interface of a route-based tunnel has carrier; null: it has none of its own."""
    certificates: tuple[CertificateStatus, ...] = ()
    version: str = "IKEv2"
    """Of phase 1, or what it would be started in: "IKEv2", "IKEv1 main" or "IKEv1 aggressive"."""


class GroupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Tunnels to one site that stand in for each other. `prefer`: order, ecmp or bgp."""

    name: str
    prefer: str
    tunnels: tuple[str, ...]
    up: tuple[str, ...]
    """Those whose interface has carrier."""
    redundant: bool
    """All of them are up."""
    since_s: float | None = None
    """For how long redundancy, or with no tunnel up the site, has been lost; null: it is not."""


class SaEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a Child SA as the data plane has it. `direction`: in or out."""

    tunnel: str
    rule: str
    direction: str
    spi: str
    suite: str
    encap: bool
    standby: bool
    local: str
    remote: str
    packets: int
    octets: int
    sequence: int
    age_s: float
    idle_s: float | None
    replay_window: int
    drops: dict[str, int]


class Phase1Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One IKE SA."""

    tunnel: str
    spi_i: str
    spi_r: str
    local: str
    remote: str
    suite: str
    initiated: bool
    age_s: float
    rekey_in_s: float


class PolicyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One policy of the data plane. `action`: protect, bypass or discard."""

    id: int
    name: str
    interface: int
    action: str
    local: tuple[str, ...]
    remote: tuple[str, ...]
    held_packets: int
    held_octets: int
    matched_packets: int
    outbound_spis: tuple[str, ...]


class OtherRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that a packet does not take, and why."""

    tunnel: str
    rule: str
    why_not: str


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Root of every reply. `id` is the request's."""

    schema: str = SCHEMA
    id: int = 0


class StatusReply(Reply, frozen=True, tag="status"):
    """The tunnels, in the order of the configuration."""

    tunnels: tuple[TunnelStatus, ...]
    plane: str = "ok"
    """"ok", or why the data plane's counters are missing."""
    groups: tuple[GroupStatus, ...] = ()
    """None when one tunnel was asked for."""


class SaReply(Reply, frozen=True, tag="sa"):
    """IKE SAs and the data plane's SAs."""

    phase1: tuple[Phase1Entry, ...]
    sas: tuple[SaEntry, ...]


class PolicyReply(Reply, frozen=True, tag="policy"):
    """The data plane's policies in order of match."""

    policies: tuple[PolicyEntry, ...]


class WhichReply(Reply, frozen=True, tag="which"):
    """`verdict`: rule, bypass, discard or none; for the middle two, `rule` is which of the file's
    and `tunnel` is empty. `state` is the rule's state, empty when no daemon was asked."""

    packet: str
    verdict: str
    why: str
    tunnel: str = ""
    rule: str = ""
    state: str = ""
    others: tuple[OtherRule, ...] = ()
    version: str = ""
    """Of the tunnel's phase 1, or what it would be started in; empty where no tunnel takes it."""


class VersionReply(Reply, frozen=True, tag="version"):
    """What runs, and for how long."""

    version: str
    uptime_s: float


class CountersReply(Reply, frozen=True, tag="counters"):
    """The data plane's counters by name."""

    counters: dict[str, int]


class PlanEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One tunnel. `fate`: keep, rekey, restart, add or remove; `gap_s`: how long packets wait."""

    tunnel: str
    fate: str
    text: str
    gap_s: float


class PlanReply(Reply, frozen=True, tag="plan"):
    """What a reload would do, or with `applied` what it did."""

    tunnels: tuple[PlanEntry, ...]
    secrets: tuple[str, ...]
    """Tunnels whose pre-shared key is another one; keys are never shown."""
    others: tuple[str, ...]
    """Sentences about what belongs to no tunnel."""
    applied: bool = False
    rollback_after_s: float | None = None
    elapsed_s: float | None = None


class EventReply(Reply, frozen=True, tag="event"):
    """One event line, and for `up`, `down` and `rekey` the seconds since the request."""

    event: dict[str, Fact]
    elapsed_s: float | None = None


class DoneReply(Reply, frozen=True, tag="done"):
    """The end of a request that has no answer of its own, or of a stream of events."""

    message: str = ""
    elapsed_s: float | None = None
    events_lost: int = 0
    """Events that were dropped because this client read too slowly."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a configuration; line 0: the file as a whole."""

    file: str
    line: int
    column: int
    what: str
    why: str
    fix: str


class ErrorReply(Reply, frozen=True, tag="error"):
    """A request failed. `kind` says how (see docs/commands.md); `code` is a finding code."""

    kind: str
    what: str
    why: str
    fix: str
    code: str = ""
    faults: tuple[Fault, ...] = ()
    """With `config_invalid`: everything that is wrong, the first of which `what` tells."""


class Kind:
    """The words of `ErrorReply.kind`."""

    MALFORMED = "malformed"
    UNKNOWN_NAME = "unknown_name"
    NOT_PERMITTED = "not_permitted"
    NEGOTIATION_FAILED = "negotiation_failed"
    TIMEOUT = "timeout"
    NOT_YET = "not_yet"
    CONFIG_INVALID = "config_invalid"
    FAILED = "failed"


AnyReply = (
    StatusReply
    | SaReply
    | PolicyReply
    | WhichReply
    | VersionReply
    | CountersReply
    | PlanReply
    | EventReply
    | DoneReply
    | ErrorReply
)
