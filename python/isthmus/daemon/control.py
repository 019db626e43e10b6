"""What management may ask of this daemon (implements `isthmus.management.control.Control`)."""

import itertools
import time
from collections.abc import Callable, Mapping

import isthmus
from isthmus.backends.interface import DataPlane, PlaneLost
from isthmus.backends.specs import PolicyState, SaState
from isthmus.config.diff import Difference
from isthmus.daemon.certificates import CertificateState, CertificateWatch
from isthmus.daemon.host import Host
from isthmus.daemon.perform import Performer
from isthmus.daemon.reload import Reloader
from isthmus.ike.core.commands import Command
from isthmus.ike.core.events import CommandIssued
from isthmus.ike.core.views import TunnelView
from isthmus.management.control import Occurrence
from isthmus.observe.journal import Journal
from isthmus.policy.connection import Configuration
from isthmus.values.time import Seconds


class HostControl:
    """Views and commands of one host. Used on the event loop's thread only."""

    def __init__(
        self,
        host: Host,
        performer: Performer,
        journal: Journal,
        reloader: Reloader,
        watch: CertificateWatch,
        extra_counters: Callable[[], Mapping[str, int]],
    ) -> None:
        self._host = host
        self._performer = performer
        self._journal = journal
        self._reloader = reloader
        self._watch = watch
        self._extra_counters = extra_counters
        self._tickets = itertools.count(1)
        self._started_s = time.monotonic()

    @property
    def version(self) -> str:
        return isthmus.__version__

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started_s

    def configuration(self) -> Configuration:
        return self._reloader.running.configuration

    async def plan(self) -> Difference:
        return await self._reloader.plan()

    async def reload(self, rollback_after_s: Seconds | None) -> Difference:
        return await self._reloader.reload(rollback_after_s)

    def confirm(self) -> bool:
        return self._reloader.confirm()

    def certificates(self, view: TunnelView) -> tuple[CertificateState, ...]:
        proof = view.phase1.peer_proof if view.phase1 is not None else None
        return self._watch.states(view.name, proof)

    def views(self, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        return self._host.views(tunnel)

    async def plane_sas(self) -> tuple[SaState, ...]:
        return await self._plane().sas()

    async def plane_policies(self) -> tuple[PolicyState, ...]:
        return await self._plane().policies()

    async def plane_counters(self) -> Mapping[str, int]:
        """The plane's counters, and with names that begin with `ike_` those of this process."""
        own = {**self._host.counters, **self._extra_counters()}
        own |= {f"ike_{name}": count for name, count in self._performer.counters.items()}
        return {**await self._plane().counters(), **own}

    def issue(self, command: Command) -> int:
        ticket = next(self._tickets)
        self._host.feed(CommandIssued(command, ticket))
        return ticket

    def recent(self, limit: int) -> tuple[Occurrence, ...]:
        return self._journal.recent(limit)

    def subscribe(self, listener: Callable[[Occurrence], None]) -> Callable[[], None]:
        return self._journal.subscribe(listener)

    def _plane(self) -> DataPlane:
        if self._performer.plane is None:
            raise PlaneLost("the data plane is being started")
        return self._performer.plane
