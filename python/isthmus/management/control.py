"""What a daemon must offer so that `Service` can answer for it.

The plane's SAs and policies are described by their attributes (the names of the plane protocol),
so the host hands on what its backend returned, unchanged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from isthmus.config.diff import Difference
from isthmus.ike.core.commands import Command
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import TunnelView
from isthmus.policy.connection import Configuration
from isthmus.values.time import Seconds

Fact = str | int | float | bool
"""What an event line may hold under a key."""


class PlaneEndpoint(Protocol):
    """An address in text form and a UDP port, as the plane names them."""

    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...


class PlaneRange(Protocol):
    """One traffic selector of the plane: a range of addresses in text form."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...
    @property
    def protocol(self) -> int: ...
    @property
    def port_start(self) -> int: ...
    @property
    def port_end(self) -> int: ...


class PlaneSelectors(Protocol):
    """Both sides of a policy."""

    @property
    def local(self) -> Sequence[PlaneRange]: ...
    @property
    def remote(self) -> Sequence[PlaneRange]: ...


class PlaneSa(Protocol):
    """One direction of an installed Child SA, without its keys."""

    @property
    def direction(self) -> str: ...
    @property
    def spi(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def encap(self) -> bool: ...
    @property
    def local(self) -> PlaneEndpoint: ...
    @property
    def remote(self) -> PlaneEndpoint: ...
    @property
    def standby(self) -> bool: ...
    @property
    def packets(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def age_ms(self) -> int: ...
    @property
    def idle_ms(self) -> int | None: ...
    @property
    def replay_window(self) -> int: ...
    @property
    def drops(self) -> Mapping[str, int]: ...


class HeldCertificate(Protocol):
    """A certificate that a tunnel was configured with, or that its peer has shown."""

    @property
    def role(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def not_after(self) -> int: ...
    @property
    def days_left(self) -> int: ...


class PlanePolicy(Protocol):
    """One entry of the SPD, in order of match."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def interface(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def held_packets(self) -> int: ...
    @property
    def held_octets(self) -> int: ...
    @property
    def matched_packets(self) -> int: ...
    @property
    def selectors(self) -> PlaneSelectors: ...
    @property
    def outbound_spis(self) -> Sequence[int]: ...
    @property
    def idle_for_ms(self) -> int | None: ...


class Occurrence(Protocol):
    """A happening with the time it got (`observe.journal.Entry` is one)."""

    @property
    def happening(self) -> Happening: ...

    def fields(self) -> dict[str, Fact]:
        """The event line as a flat mapping: `v`, `ts`, `event`, then what is known."""


class Control(Protocol):
    """The daemon as management sees it. All calls come from the daemon's own event loop."""

    @property
    def version(self) -> str:
        """The daemon's version."""

    @property
    def uptime_s(self) -> float:
        """Seconds since the IKE process started."""

    def configuration(self) -> Configuration:
        """What the daemon runs under now."""

    def views(self, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        """The engine's snapshot of every configured tunnel, in file order, or of the one of this
        name, if there is one."""

    def certificates(self, view: TunnelView) -> Sequence[HeldCertificate]:
        """Those of one tunnel; empty where it has none."""

    async def plane_sas(self) -> Sequence[PlaneSa]:
        """The data plane's SAs with their counters. Raises LocalFault if the plane is away."""

    async def plane_policies(self) -> Sequence[PlanePolicy]:
        """The data plane's policies in order of match. Raises LocalFault as above."""

    async def plane_counters(self) -> Mapping[str, int]:
        """The data plane's counters by name. Raises LocalFault as above."""

    def issue(self, command: Command) -> int:
        """Hand a command to the engine; the ticket comes back in the records that answer it.

        `command.failed` under the ticket: it cannot be, with code and a detail `fix`.
        `command.done` under the ticket: for bringing up, this rule is up; for closing a tunnel,
        nothing of it is left; for the rest, it has begun. `phaseN.rekeyed` and
        `phaseN.rekey_failed` end a renewal.
        """

    async def plan(self) -> Difference:
        """What `reload` would do now. Raises ConfigErrors or LocalFault."""

    async def reload(self, rollback_after_s: Seconds | None) -> Difference:
        """Run under what the file says now. Raises ConfigErrors or LocalFault, and then nothing
        has changed."""

    def confirm(self) -> bool:
        """Keep what a reload brought; False when none waited for that."""

    def recent(self, limit: int) -> Sequence[Occurrence]:
        """The last happenings, oldest first, at most `limit`."""

    def subscribe(self, listener: Callable[[Occurrence], None]) -> Callable[[], None]:
        """Call `listener` for each happening from now on, until the returned function is called."""
