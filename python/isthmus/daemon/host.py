"""The event loop's side of one engine: events in, effects out, one alarm.

Everything here runs on one thread, and `feed` runs to its end before the next event is taken, so
the effects of one event are performed before those of the next.
"""

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from isthmus.backends.frames import (
    DatagramIn,
    FirstPacketNotice,
    IdleNotice,
    LifetimeNotice,
    Notice,
    NoticesLost,
    PacketWantedNotice,
    PeerMovedNotice,
    SendFailedNotice,
    UnknownSpiNotice,
)
from isthmus.backends.translate import endpoint_from
from isthmus.daemon.alarm import Alarm
from isthmus.daemon.perform import Performer
from isthmus.daemon.rules import RuleName
from isthmus.ike.core.effects import Effect
from isthmus.ike.core.events import (
    DatagramReceived,
    DeadlineReached,
    Event,
    FirstPacket,
    LifetimeReached,
    PacketSummary,
    PacketWanted,
    PeerMoved,
    RuleIdle,
)
from isthmus.ike.core.records import Happening, remote_detail
from isthmus.ike.core.views import TunnelView
from isthmus.values.spi import Spi, spi_text
from isthmus.values.time import Instant

STALL_S = 0.005
"""An event that keeps the processor longer than this counts as a stall of the loop."""


class Engine(Protocol):
    """The protocol without sockets, clock, threads or entropy of its own."""

    def handle(self, event: Event, now: Instant) -> tuple[Effect, ...]:
        """Take one event; return what must be done, in this order."""

    @property
    def deadline(self) -> Instant | None:
        """When `DeadlineReached` is due."""

    def views(self, now: Instant, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        """A snapshot for management, of every tunnel or of one."""

    def census(self) -> Mapping[str, int]:
        """How many of everything live."""


class Host:
    """Feeds one engine and has its effects performed."""

    def __init__(
        self,
        engine: Engine,
        record: Callable[[Happening], None],
        report_fault: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._record = record
        self._report_fault = report_fault
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, lambda: self.feed(DeadlineReached()))
        self._performer: Performer | None = None
        self.counters: Counter[str] = Counter()
        """Events, stalls and faults of this host."""

    def attach(self, performer: Performer) -> None:
        """Who carries effects out; to be called once, before the first event."""
        self._performer = performer

    @property
    def now(self) -> Instant:
        """The clock that the engine sees: the loop's, which is monotonic."""
        return Instant(self._loop.time())

    def views(self, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        """The engine's snapshot of every tunnel, or of the one of this name."""
        return self._engine.views(self.now, tunnel)

    def feed(self, event: Event) -> None:
        """Give the engine one event and perform what it answers.

        A fault in the engine is reported and counted, and ends nothing: one bad datagram must not
        take the other tunnels down.
        """
        assert self._performer is not None
        # The thread's own processor time: being kept waiting by other processes is no stall.
        started = time.thread_time()
        try:
            self._performer.perform(self._engine.handle(event, self.now))
        except Exception as error:
            self._fault(event, error)
        self._alarm.set(self._engine.deadline)
        took = time.thread_time() - started
        self.counters["ike_events"] += 1
        if took > STALL_S:
            self.counters["ike_loop_stalls"] += 1
        longest = round(took * 1_000_000)
        if longest > self.counters["ike_event_longest_us"]:
            self.counters["ike_event_longest_us"] = longest

    def notice(self, notice: Notice) -> None:
        """Something that the plane says."""
        match notice:
            case DatagramIn(local, remote, octets):
                self.feed(DatagramReceived(endpoint_from(local), endpoint_from(remote), octets))
            case PacketWantedNotice():
                self._packet_wanted(notice)
            case LifetimeNotice(direction, spi, which, unit):
                hard = which == "hard"
                self.feed(LifetimeReached(Spi(spi), direction == "in", hard, unit))
            case IdleNotice(policy):
                self._idle(policy)
            case PeerMovedNotice(spi, remote):
                self.feed(PeerMoved(Spi(spi), endpoint_from(remote)))
            case FirstPacketNotice(spi):
                self.feed(FirstPacket(Spi(spi)))
            case UnknownSpiNotice(spi, remote):
                self.counters["ike_unknown_spi_notices"] += 1
                self._record(
                    Happening(
                        "esp.unknown_spi",
                        code="E305",
                        message="ESP arrived for an SPI that we do not have",
                        detail=(
                            ("spi", spi_text(Spi(spi))),
                            remote_detail(endpoint_from(remote)),
                        ),
                    )
                )
            case SendFailedNotice(remote, errno):
                self.counters["ike_send_failures"] += 1
                self._record(
                    Happening(
                        "network.send_failed",
                        message="the kernel did not send a datagram",
                        detail=(remote_detail(endpoint_from(remote)), ("errno", errno)),
                    )
                )
            case NoticesLost(count):
                self.counters["ike_notices_lost"] += count
                self._record(
                    Happening(
                        "plane.notices_lost",
                        message=f"{count} notices of the data plane were lost",
                        detail=(("count", count),),
                    )
                )

    def _rule(self, policy: int) -> RuleName | None:
        """The rule of a number of the plane; None when it was taken out of the configuration."""
        assert self._performer is not None
        rules = self._performer.rules
        name = rules.name(policy) if rules is not None else None
        if name is None:
            self.counters["ike_notices_of_unknown_rules"] += 1
        return name

    def _idle(self, policy: int) -> None:
        name = self._rule(policy)
        if name is not None:
            self.feed(RuleIdle(name.tunnel, name.rule))

    def _packet_wanted(self, notice: PacketWantedNotice) -> None:
        name = self._rule(notice.policy)
        if name is None:
            return
        packet = PacketSummary(
            notice.source,
            notice.destination,
            notice.protocol,
            notice.source_port,
            notice.destination_port,
        )
        self.feed(PacketWanted(name.tunnel, name.rule, packet, notice.held))

    def _fault(self, event: Event, error: Exception) -> None:
        """Where and what kind, but never the error's text: it might hold what it must not."""
        self.counters["ike_faults"] += 1
        where = "".join(traceback.format_tb(error.__traceback__))
        self._report_fault(f"{type(error).__name__} while handling {type(event).__name__}\n{where}")
        self._record(
            Happening(
                "daemon.fault",
                message=f"{type(error).__name__} while handling {type(event).__name__}; "
                "this is a bug of Isthmus, please report it",
                detail=(("error", type(error).__name__),),
            )
        )
