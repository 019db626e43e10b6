"""One world: hosts, roads, users and accidents, run over virtual time."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import assert_never

from isthmus.ike.core.commands import Initiate, Terminate
from isthmus.ike.core.events import DatagramReceived, DeadlineReached, Event
from isthmus.ike.core.records import Happening
from isthmus.simulator.checks import QUIET_WITHIN_S, TALK_WITHIN_S, Checks, Violation
from isthmus.simulator.clock import Clock
from isthmus.simulator.host import Host
from isthmus.simulator.link import Arrival, Link
from isthmus.simulator.packets import Esp, Ike, Outer, Packet
from isthmus.simulator.plan import (
    Cut,
    FlowPlan,
    Incident,
    Killed,
    NatForgets,
    Ordered,
    Scenario,
    describe,
)
from isthmus.simulator.plane import RAW_ESP_PORT, Sa
from isthmus.simulator.show import datagram_text, event_text
from isthmus.values.address import Endpoint
from isthmus.values.time import Seconds

LOOK_EVERY_S: Seconds = 1.0


@dataclass(slots=True)
class Outcome:
    """How a world ended."""

    seed: int
    violation: Violation | None
    at_s: Seconds
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Nothing was wrong."""
        return self.violation is None


class World:
    """Built from a scenario; `run` lets its time pass. Also what hosts report to."""

    def __init__(self, scenario: Scenario, trace: Callable[[str], None] | None = None) -> None:
        self.scenario = scenario
        self.clock = Clock()
        self._trace = trace
        self.tracing = trace is not None
        self.hosts = {
            plan.name: Host(plan, scenario.seed, self.clock, self) for plan in scenario.hosts
        }
        self._links = {
            frozenset((plan.left, plan.right)): Link(
                plan.weather, Random(f"{scenario.seed}/{plan.left}/{plan.right}")
            )
            for plan in scenario.links
        }
        self._by_address: dict[str, Host] = {}
        for host in self.hosts.values():
            shown = host.plan.nat.outside if host.plan.nat is not None else host.plan.address
            self._by_address[shown] = host
        self.checks = Checks(scenario, self.hosts, self.clock)
        self._is_set_up = False
        self._packets = 0
        self._held_down: set[tuple[str, str]] = set()
        self.figures: dict[str, int] = {}
        self._steps: Counter[str] = Counter()

    # --- time ------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """From the first instant to the last, or to the first violation."""
        scenario, clock = self.scenario, self.clock
        violation: Violation | None = None
        try:
            self.run_until(scenario.end_s)
            self.checks.ended()
        except Violation as found:
            violation = found
            self._line("world", f"VIOLATION {found}")
        self._count("packets", self._packets)
        self._count("delivered", sum(self.checks.delivered.values()))
        self._count("phase1_up", self.checks.established)
        return Outcome(scenario.seed, violation, clock.elapsed, self.figures)

    def run_until(self, elapsed_s: Seconds) -> None:
        """Let time pass up to there. Raises Violation."""
        while self.clock.elapsed <= elapsed_s and self.step(elapsed_s):
            pass

    def step(self, until_s: Seconds | None = None) -> bool:
        """Do the next thing; False when there is none before that time, or the world's end."""
        if not self._is_set_up:
            self._is_set_up = True
            self._set_up()
        return self.clock.step(self.scenario.end_s if until_s is None else until_s)

    def _set_up(self) -> None:
        scenario, clock = self.scenario, self.clock
        for host in self.hosts.values():
            clock.at_elapsed(0.0, host.start)
        for number, flow in enumerate(scenario.flows):
            clock.at_elapsed(flow.start_s, partial(self._user, number, flow))
        for incident in scenario.incidents:
            self._schedule(incident)
        clock.at_elapsed(scenario.heal_s, self._heal)
        clock.at_elapsed(scenario.heal_s + TALK_WITHIN_S, self._talked)

    def _heal(self) -> None:
        self._line("world", "everything heals")
        for link in self._links.values():
            link.weather = link.weather.healed()
        for host, tunnel in sorted(self._held_down):
            self.hosts[host].command(Initiate(tunnel))

    def _talked(self) -> None:
        self.checks.talks()
        self._look_for_quiet()

    def _look_for_quiet(self) -> None:
        checks, elapsed = self.checks, self.clock.elapsed
        trouble = checks.is_quiet()
        if trouble is None:
            checks.quiet_at = elapsed
            self._line("world", "quiet: one IKE SA a tunnel, one pair a rule")
        elif elapsed > self.scenario.heal_s + TALK_WITHIN_S + QUIET_WITHIN_S:
            raise Violation("never_quiet", trouble)
        else:
            self.clock.after(LOOK_EVERY_S, self._look_for_quiet)

    # --- incidents -------------------------------------------------------------------------

    def add(self, incident: Incident) -> None:
        """One more, at a time that is yet to come."""
        self._schedule(incident)

    def steps_of(self, host: str) -> int:
        """How many events the engine of a host has handled."""
        return self._steps[host]

    def _schedule(self, incident: Incident) -> None:
        clock = self.clock
        match incident:
            case Cut(at_s, until_s):
                clock.at_elapsed(at_s, partial(self._cut, incident))
                clock.at_elapsed(until_s, partial(self._mend, incident))
            case NatForgets(at_s, host):
                clock.at_elapsed(at_s, partial(self._nat_forgets, self.hosts[host]))
            case Killed(at_s, back_s):
                clock.at_elapsed(at_s, partial(self._kill, incident))
                clock.at_elapsed(back_s, partial(self._revive, incident))
            case Ordered(at_s):
                clock.at_elapsed(at_s, partial(self._order, incident))
            case _:
                assert_never(incident)

    def _cut(self, cut: Cut) -> None:
        self._line("world", str(cut))
        link = self._links[frozenset((cut.source, cut.target))]
        link.cut(cut.source, cut.target)
        if cut.both:
            link.cut(cut.target, cut.source)

    def _mend(self, cut: Cut) -> None:
        self._line("world", f"mended: {cut}")
        link = self._links[frozenset((cut.source, cut.target))]
        link.mend(cut.source, cut.target)
        if cut.both:
            link.mend(cut.target, cut.source)

    def _nat_forgets(self, host: Host) -> None:
        if host.nat is not None:
            self._line(host.name, "its NAT forgets")
            host.nat.forget()

    def _kill(self, killed: Killed) -> None:
        host = self.hosts[killed.host]
        if killed.plane:
            host.kill_plane()
        if killed.ike:
            host.kill_ike()

    def _revive(self, killed: Killed) -> None:
        host = self.hosts[killed.host]
        if killed.plane and not host.plane_up:
            host.plane_back()
        if killed.ike and host.engine is None:
            host.start()

    def _order(self, order: Ordered) -> None:
        host, command = self.hosts[order.host], order.command
        self._line(order.host, f"user: {describe(command)}")
        match command:
            case Terminate(tunnel, hold=True):
                self._held_down.add((order.host, tunnel))
            case Initiate(tunnel):
                self._held_down.discard((order.host, tunnel))
        host.command(command)

    # --- users -----------------------------------------------------------------------------

    def _user(self, number: int, flow: FlowPlan) -> None:
        """One packet of a flow, and the next one later."""
        elapsed = self.clock.elapsed
        if elapsed >= flow.stop_s:
            return
        silent_until = flow.silent_until(elapsed)
        if silent_until is not None:
            self.clock.at_elapsed(silent_until, partial(self._user, number, flow))
            return
        self.clock.after(flow.every_s, partial(self._user, number, flow))
        self._packets += 1
        packet = Packet(
            self._packets,
            number,
            _number(flow.source),
            _number(flow.destination),
            flow.protocol,
            flow.port,
        )
        self.checks.sent(packet, elapsed)
        host = self.hosts[flow.source_host]
        if not host.leave(packet):
            raise Violation("left_in_clear", f"{host.name}: {packet}")

    # --- the network -----------------------------------------------------------------------

    def transmit(self, host: Host, outer: Outer) -> None:
        """A packet leaves a host, through its NAT, onto the road."""
        self.checks.transmitted(host, outer)
        if outer.source.address == "0.0.0.0":
            outer = Outer(
                Endpoint(host.plan.address, outer.source.port), outer.target, outer.content
            )
        if host.nat is not None:
            if outer.source.port == RAW_ESP_PORT:
                self._count("lost_raw_esp_at_nat", 1)
                return
            shown = host.nat.outward(outer.source, outer.target, self.clock.now)
            outer = Outer(shown, outer.target, outer.content)
        target = self._by_address.get(outer.target.address)
        link = None
        if target is not None:
            link = self._links.get(frozenset((host.name, target.name)))
        if target is None or link is None:
            self._count("lost_no_road", 1)
            return
        arrivals = link.carry(host.name, target.name)
        if self.tracing and isinstance(outer.content, Ike):
            fate = ", ".join(_arrival_text(a) for a in arrivals) or "lost"
            self._line(host.name, f"sends {datagram_text(outer)}: {fate}")
        if isinstance(outer.content, Ike):
            self._count("datagrams", 1)
        for arrival in arrivals:
            self.clock.after(
                arrival.delay_s, partial(self._arrive, target, outer, arrival.flipped_bit)
            )

    def _arrive(self, host: Host, outer: Outer, damaged: int | None) -> None:
        if host.nat is not None:
            inside = host.nat.inward(outer.source, outer.target.port, self.clock.now)
            if inside is None:
                self._count("lost_at_nat", 1)
                return
            outer = Outer(outer.source, inside, outer.content)
        host.arrive(outer, damaged)
        if isinstance(outer.content, Esp):
            self.checks.dropped(host)

    # --- what hosts report -----------------------------------------------------------------

    def note(self, host: Host, text: str) -> None:
        """A line for the trace."""
        self._line(host.name, text)

    def delivered(self, host: Host, packet: Packet, sa: Sa) -> None:
        """A user's packet has come through."""
        self.checks.delivered_packet(host, packet, sa, self.clock.elapsed)

    def sealed(self, host: Host, sa: Sa, packet: Packet) -> None:
        """A user's packet was sealed."""
        if self.tracing:
            self._line(host.name, f"seals packet {packet.number} under 0x{sa.made.spi:08x}")
        self.checks.sealed(host, sa, packet)

    def installed(self, host: Host, sa: Sa) -> None:
        """A plane has a new SA."""
        self.checks.installed(host, sa)

    def happened(self, host: Host, happening: Happening) -> None:
        """The engine recorded a fact."""
        self.checks.happened(host, happening)
        self._count(happening.event, 1)
        if self.tracing:
            where = "/".join(part for part in (happening.tunnel, happening.rule) if part)
            ticket = "" if happening.ticket is None else f" [ticket {happening.ticket}]"
            text = f"{happening.event} {where}: {happening.message}{ticket}"
            self._line(host.name, text)

    def stepped(self, host: Host, event: Event) -> None:
        """The engine has handled an event."""
        if self.tracing and not isinstance(event, DatagramReceived | DeadlineReached):
            self._line(host.name, f"heard {event_text(event)}")
        self._steps[host.name] += 1
        self.checks.stepped(host)

    def wrong(self, host: Host, rule: str, text: str) -> None:
        """Something that must not be. Raises Violation."""
        raise Violation(rule, f"{host.name}: {text}")

    # --- helpers ---------------------------------------------------------------------------

    def _count(self, name: str, more: int) -> None:
        self.figures[name] = self.figures.get(name, 0) + more

    def _line(self, who: str, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.clock.elapsed:12.6f} {who:<6} {text}")


def _arrival_text(arrival: Arrival) -> str:
    text = f"+{arrival.delay_s:.6f}"
    return text if arrival.flipped_bit is None else f"{text} damaged"


_NUMBERS: dict[str, int] = {}


def _number(address: str) -> int:
    """An IPv4 address as a number."""
    found = _NUMBERS.get(address)
    if found is None:
        found = int(Endpoint(address, 0).ip)
        _NUMBERS[address] = found
    return found
