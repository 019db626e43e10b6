"""What is known of a configured tunnel and its rules while it runs."""

from dataclasses import dataclass, field

from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Failed
from isthmus.policy.connection import ChildPolicy, Connection
from isthmus.values.address import Endpoint
from isthmus.values.spi import Spi
from isthmus.values.time import Instant


@dataclass(frozen=True, slots=True)
class PastFailure:
    """A failed attempt and when the next one may be made."""

    failed: Failed
    at: Instant
    retry_at: Instant | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """An SA that the plane carries since before this process began; its key is unknown here."""

    rule: str
    spi: Spi
    inbound: bool
    remote: Endpoint
    found_at: Instant


@dataclass(slots=True, eq=False)
class RuleRun:
    """One rule at run time."""

    policy: ChildPolicy
    since: Instant
    """When its state last changed."""
    wanted: bool = False
    """Phase 2 is being made, or waits for phase 1."""
    trigger: str = ""
    children: list[ChildSa] = field(default_factory=list)
    """Installed pairs, the newest last."""
    bridging: list[ChildSa] = field(default_factory=list)
    """Pairs of before a restart, which carry packets until there is a new one."""
    failure: PastFailure | None = None
    tries: int = 0
    """Failed attempts in a row."""
    up_at: Instant | None = None
    """When the pair that stands, or stood last, was made anew."""
    again_at: Instant | None = None
    """When phase 2 is begun again without being asked for."""
    held_down: bool = False
    idle: bool = False
    """Phase 2 was up and was closed for silence; the next packet brings it back."""
    closing: bool = False
    """Its Child SA is being deleted."""
    insists: bool = False
    """Phase 2 is tried again and again although no packet asks for it: the peer was found dead and
    is to be reached again, or the interface has no carrier and so gets no packet."""
    tickets: list[int] = field(default_factory=list)
    """Commands that wait for this rule to come up."""

    def waits(self, now: Instant) -> bool:
        """The last attempt failed and the next one is not due yet."""
        due = self.due_at
        return due is not None and now < due

    @property
    def due_at(self) -> Instant | None:
        """When the next attempt may be made, if one has to wait."""
        if self.child is not None:
            return None
        past = self.failure
        return past.retry_at if past is not None and past.retry_at is not None else self.again_at

    @property
    def is_bridged(self) -> bool:
        """No new pair yet, but one of before a restart still carries packets."""
        return self.child is None and any(c.is_usable for c in self.bridging)

    @property
    def child(self) -> ChildSa | None:
        """The newest pair that carries traffic."""
        return next((c for c in reversed(self.children) if c.is_usable), None)


@dataclass(slots=True, eq=False)
class TunnelRun:
    """One tunnel at run time."""

    connection: Connection
    since: Instant
    rules: dict[str, RuleRun]
    held_down: bool = False
    failure: PastFailure | None = None
    rumour: PastFailure | None = None
    """The last attempt of somebody who did not authenticate: shown, and believed no further."""
    tries: int = 0
    orphans: list[Orphan] = field(default_factory=list)
    carrier: bool | None = None
    """Route mode: what the tunnel's interface was last told; None: nothing yet."""
    carrier_since: Instant | None = None
    closing_tickets: list[int] = field(default_factory=list)
    """Commands that wait for every SA of this tunnel to be gone."""

    @property
    def wanted_rules(self) -> list[RuleRun]:
        """Rules whose phase 2 is wanted and not there, in file order."""
        return [r for r in self.rules.values() if r.wanted and r.child is None]


def new_run(connection: Connection, now: Instant) -> TunnelRun:
    """A tunnel that has just been configured."""
    rules = {rule.name: RuleRun(rule, now) for rule in connection.rules}
    return TunnelRun(connection, now, rules)
