"""What every part of the engine may use while one event is handled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from isthmus.credentials.store import Own, Trust
from isthmus.credentials.xauth import Login
from isthmus.crypto.entropy import Entropy
from isthmus.ike.core.agenda import Agenda
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.effects import Compute, Effect, Job, Record
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.records import Happening
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi
from isthmus.values.time import Instant, Seconds
from isthmus.x509.revocation import Statuses

Fact = tuple[str, str | int | float | bool]


class Credentials(Protocol):
    """The questions that the core may ask about secrets."""

    def psk(self, name: str) -> Secret | None:
        """The pre-shared key of that name."""

    def own(self, name: str) -> Own | None:
        """Our key of that name, with what certifies it."""

    def trust(self, name: str) -> Trust | None:
        """Whom a peer's proof may go back to, under that name."""

    def login(self, name: str) -> Login | None:
        """What XAUTH is done with under that name."""

    @property
    def statuses(self) -> Statuses:
        """What is known beforehand of revoked certificates."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an attempt came to nothing: a finding code, a sentence, and what may be done."""

    code: str
    reason: str
    fix: str = ""
    lasting: bool = True
    """False: the peer asked to try again later (TEMPORARY_FAILURE)."""


class Lifecycle(Protocol):
    """Who decides what follows: told about everything that happens to an SA."""

    def phase1_up(self, ctx: "Context", sa: IkeSa) -> None:
        """An IKE SA is authenticated."""

    def phase1_ready(self, ctx: "Context", sa: IkeSa) -> None:
        """The exchange that authenticated is done: other Child SAs may be asked for."""

    def admits(self, sa: IkeSa, rule: str) -> bool:
        """The user has not closed this rule on purpose."""

    def phase1_failed(self, ctx: "Context", sa: IkeSa, failed: Failed) -> None:
        """An attempt to make an IKE SA has ended without one."""

    def phase1_gone(self, ctx: "Context", sa: IkeSa, reason: str, failed: Failed | None) -> None:
        """An established IKE SA is no more, and its Child SAs with it."""

    def phase1_replaced(self, ctx: "Context", old: IkeSa, new: IkeSa) -> None:
        """A rekey put `new` in the place of `old`; Child SAs have moved over."""

    def phase2_up(self, ctx: "Context", sa: IkeSa, child: ChildSa) -> None:
        """A Child SA is installed; `child.predecessor` tells what it replaces."""

    def phase2_failed(self, ctx: "Context", sa: IkeSa, rule: str, failed: Failed) -> None:
        """An attempt to make a Child SA was refused."""

    def phase2_closing(self, ctx: "Context", sa: IkeSa, child: ChildSa) -> None:
        """A Child SA is about to be deleted by us: its packets are to wait."""

    def phase2_gone(self, ctx: "Context", sa: IkeSa, child: ChildSa, reason: str) -> None:
        """A Child SA that nothing replaced is no more."""

    def initial_contact(self, ctx: "Context", sa: IkeSa) -> None:
        """The peer says that it knows of no other SA with us (RFC 7296 §2.4)."""

    def first_contact(self, sa: IkeSa) -> bool:
        """Should we say so: no other SA with this peer stands, and none is being adopted."""

    def siblings(self, sa: IkeSa) -> tuple[IkeSa, ...]:
        """The other IKE SAs of its tunnel that are not closed."""

    def still_wanted(self, sa: IkeSa, rule: str) -> bool:
        """A Child SA for this rule is wanted and none has come meanwhile."""

    def wanted_rule(self, sa: IkeSa) -> str | None:
        """The rule that the first Child SA should be for."""


class Registry(Protocol):
    """Where SPIs are known."""

    def add(self, sa: IkeSa) -> None:
        """Make an IKE SA findable by its own SPI."""

    def assign(self, sa: IkeSa, connection: Connection) -> None:
        """The peer turned out to be the other end of this tunnel."""

    def remove(self, sa: IkeSa) -> None:
        """Forget an IKE SA, its timers and its pending answers."""

    def path_is_shared(self, sa: IkeSa) -> bool:
        """Another IKE SA of ours behind a NAT uses the same endpoints."""

    def fresh_ike_spi(self) -> bytes:
        """Eight random octets that no IKE SA of ours uses."""

    def fresh_spi(self) -> Spi:
        """A random ESP SPI that no inbound SA of ours uses."""

    def peer_spi_is_taken(self, spi: Spi) -> bool:
        """An outbound SA with this SPI, whichever peer chose it, is in the plane."""

    def child_added(self, sa: IkeSa, child: ChildSa) -> None:
        """Make a Child SA findable by its inbound SPI."""

    def child_removed(self, child: ChildSa) -> None:
        """Forget a Child SA's inbound SPI."""


Continuation = Callable[[ComputeFinished], None]


@dataclass(slots=True)
class Context:
    """Handed down from the engine; holds the effects of the event at hand."""

    now: Instant
    entropy: Entropy
    agenda: Agenda
    credentials: Credentials
    lifecycle: Lifecycle
    registry: Registry
    configuration: Configuration = field(default_factory=Configuration)
    effects: list[Effect] = field(default_factory=list)
    waiting: dict[int, tuple[IkeSa, Continuation]] = field(default_factory=dict)
    """Continuations of `Compute` jobs by ticket."""
    to_resume: list[IkeSa] = field(default_factory=list)
    """IKE SAs with something to ask, beside the one that the event is about."""
    next_ticket: int = 1
    fragments_held: int = 0
    """Octets of messages of which pieces are missing yet, of all IKE SAs."""

    def emit(self, effect: Effect) -> None:
        """Ask the host for something; order is kept."""
        self.effects.append(effect)

    def record(
        self,
        event: str,
        message: str = "",
        *,
        connection: Connection | None = None,
        tunnel: str = "",
        rule: str = "",
        code: str = "",
        ticket: int | None = None,
        facts: tuple[Fact, ...] = (),
    ) -> None:
        """Tell the world a fact."""
        name = connection.name if connection is not None else tunnel
        self.emit(Record(Happening(event, name, rule, message, code, facts, ticket)))

    def record_later(self, event: str, make: Callable[[], Happening]) -> None:
        """Tell the world a fact that strangers cause often: `make` is called if anybody reads it,
        once the event at hand is over, so it may hold only what does not change."""
        self.emit(Record.later(event, make))

    def compute(self, job: Job, then: Continuation, sa: IkeSa, *, sheddable: bool = False) -> None:
        """Start slow work for an IKE SA; `then` is called when its answer has come.

        `sheddable`: a stranger asks for it, so it may be refused when there is too much to do.
        """
        ticket = self.next_ticket
        self.next_ticket += 1
        self.waiting[ticket] = (sa, then)
        self.emit(Compute(ticket, job, sheddable))

    def chance(self) -> float:
        """A number in 0..1, for jitter."""
        return int.from_bytes(self.entropy.octets(4), "big") / 0xFFFFFFFF

    def later(self, seconds: Seconds) -> Instant:
        """The instant that many seconds from now."""
        return Instant(self.now + seconds)
