"""Two gateways to which things happen in the order that somebody chooses (R-15).

What may come next on either side: what its users order, a message that is on its way, a repeat of
a request that was thought lost, and, where computations take their time, that one is done. Data
packets are not chosen: they arrive before whatever comes next, or after everything else.

Each side has a clock of its own, which moves by what happens to that side alone: whatever happens
to the other side meanwhile makes no difference to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

from isthmus.crypto.entropy import Entropy, SeededEntropy
from isthmus.ike.core.commands import Command, Initiate, Rekey, Terminate
from isthmus.ike.core.events import Event, RuleIdle
from isthmus.ike.core.records import Happening
from isthmus.ike.v2.exchanges.ike_sa_init import NONCE_SIZE
from isthmus.simulator.checks import Checks, Violation
from isthmus.simulator.clock import Clock
from isthmus.simulator.host import Host
from isthmus.simulator.packets import Esp, Ike, Outer, Packet
from isthmus.simulator.pairs import REST, WEB, Timings, flow, other, pair
from isthmus.simulator.plan import HostPlan
from isthmus.simulator.plane import Sa
from isthmus.simulator.show import datagram_text
from isthmus.values.address import Endpoint
from isthmus.values.spi import IKE_SPI_SIZE
from isthmus.values.time import Instant, Seconds

SIDES = ("left", "right")
MESSAGES_MAX = 12
"""IKE datagrams whose order is tried; what is sent after them comes in order."""
SETTLE_S: Seconds = 60.0
"""After this long everything is in order (R-15)."""
CALM_S: Seconds = 20.0
"""The tunnel has stood for this long when users begin to order things."""
NEAR_S: Seconds = 0.01
"""Jobs and notices are done within this; what takes longer is a timer."""
REPEAT_WITHIN_S: Seconds = 2.0
"""A timer that is due so soon is that of a request."""
ROAD_S: Seconds = 0.02
STEP_S: Seconds = 0.001
USER_EVERY_S: Seconds = 1.0
NONCE_ORDERS = 4
"""Which of the four nonces of two crossing exchanges is the lowest."""


class Stage(Enum):
    """Of a schedule."""

    BEFORE = auto()
    """The tunnel comes up."""
    TRYING = auto()
    """Whatever comes next is chosen."""
    SETTLING = auto()
    """Everything comes in order."""


Act = Callable[[Host], None]


def _command(command: Command) -> Act:
    return lambda host: host.command(command)


def _idle(host: Host) -> None:
    host.feed(RuleIdle(_tunnel(host.name), REST))


def _tunnel(side: str) -> str:
    return f"to-{other(side)}"


def act(what: str, side: str) -> Act:
    """What is done on one side, by its name."""
    name = _tunnel(side)
    match what:
        case "rekey-child":
            return _command(Rekey(name, REST, 2))
        case "rekey-ike":
            return _command(Rekey(name, None, 1))
        case "delete-child":
            return _command(Terminate(name, REST))
        case "delete-ike":
            return _command(Terminate(name))
        case "create":
            return _command(Initiate(name, WEB))
        case "idle":
            return _idle
        case _:
            raise ValueError(f"there is no act {what}")


ACTS = ("rekey-child", "rekey-ike", "delete-child", "create", "idle", "delete-ike")


@dataclass(frozen=True, slots=True)
class Case:
    """What users of both sides order, in this order on each side, and which luck they have."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    lost: tuple[str, int] | None = None
    """The n-th datagram that a side sends never arrives (from 0)."""
    nonces: int = 0
    """Which side draws low nonces and SPIs, and whether its first or its last is the lowest."""
    late_packets: bool = False
    """Data packets come after all messages whose order is tried."""
    slow: bool = False
    """A computation is done only after whatever else may come before it."""
    impatient: int = 0
    """So many requests are repeated although their answers are on the way."""

    def __str__(self) -> str:
        lost = "nothing" if self.lost is None else f"{self.lost[0]}'s {self.lost[1] + 1}. message"
        late = ", packets late" if self.late_packets else ""
        slow = ", slow" if self.slow else ""
        hurry = f", {self.impatient} early repeats" if self.impatient else ""
        return (
            f"{'+'.join(self.left) or 'nothing'} x {'+'.join(self.right) or 'nothing'}, "
            f"{lost} lost, nonces {self.nonces}{late}{slow}{hurry}"
        )

    @property
    def may_lose(self) -> bool:
        """Closing the whole tunnel may take packets along that are on the road."""
        return "delete-ike" in self.left + self.right


class OrderedEntropy:
    """A seeded source whose nonces and IKE SPIs come in a wished order."""

    def __init__(self, seed: int, low: bool, falling: bool) -> None:
        self._source = SeededEntropy(seed)
        self._first = 0x00 if low else 0x80
        self._falling = falling
        self._drawn = 0

    def octets(self, count: int) -> bytes:
        """`count` octets; of a nonce or an IKE SPI the first one is not random."""
        octets = self._source.octets(count)
        if count not in (NONCE_SIZE, IKE_SPI_SIZE):
            return octets
        self._drawn = min(self._drawn + 1, 0x7F)
        place = 0x7F - self._drawn if self._falling else self._drawn
        return bytes((self._first | place,)) + octets[1:]


class _Gateway(Host):
    """A host with a clock of its own and nonces in a wished order."""

    def __init__(self, plan: HostPlan, play: "Play", nonces: int) -> None:
        self._low = (plan.name == "left") == (nonces % 2 == 0)
        self._falling = nonces >= 2
        self.own_clock = Clock()
        super().__init__(plan, 1, self.own_clock, play)

    def _fresh_entropy(self, what: str) -> Entropy:
        source = super()._fresh_entropy(what)
        if what != "engine":
            return source
        return OrderedEntropy(int.from_bytes(source.octets(16), "big"), self._low, self._falling)


Choice = tuple[str, str, str, int]
"""Which side, what happens to it, and of a message who sent it as which."""


@dataclass(slots=True)
class _Side:
    host: _Gateway
    todo: list[Act]
    sent: int = 0
    inbox: dict[tuple[str, int], Outer] = field(default_factory=dict)
    packets: list[Outer] = field(default_factory=list)
    epoch: float = 0.0
    """Its clock at the beginning of the settling."""


class Play:
    """One schedule under way. Also what the two hosts report to."""

    def __init__(self, case: Case, trace: Callable[[str], None] | None = None) -> None:
        self.case = case
        self.tracing = trace is not None
        self._trace = trace
        flows = tuple(
            flow(side, other(side), 1.0, 0.0, 1.0, rule) for rule in (REST, WEB) for side in SIDES
        )
        lasts = Timings(every_s=600.0, timeout_s=15.0, idle_s=3600.0)
        scenario = pair(flows=flows, lasts=lasts, job_max_s=0.0, web=True, lossless=True)
        self._scenario = scenario
        self._sides: dict[str, _Side] = {}
        for plan, acts in zip(scenario.hosts, (case.left, case.right), strict=True):
            host = _Gateway(plan, self, case.nonces)
            self._sides[plan.name] = _Side(host, [act(what, plan.name) for what in acts])
        hosts: dict[str, Host] = {name: side.host for name, side in self._sides.items()}
        self.checks = Checks(scenario, hosts, self._sides["left"].host.own_clock)
        self._by_address = {plan.address: plan.name for plan in scenario.hosts}
        self._stage = Stage.BEFORE
        self._settled: Seconds = 0.0
        self._impatience = case.impatient
        self.packets = 0
        self.lost = False
        self.requests = 0
        self._engine_steps = 0
        self._waits = 0 if case.lost is None else 2
        self._establish()

    # --- before ----------------------------------------------------------------------------

    def _establish(self) -> None:
        """Phase 1 and phase 2 of the first rule stand, and have stood for a while."""
        for side in self._sides.values():
            side.epoch = side.host.own_clock.now
            side.host.start()
        self._user("left", REST)
        self._run(CALM_S)
        for side in self._sides.values():
            side.sent = 0
        self.requests = 0
        self._stage = Stage.TRYING

    # --- choices ---------------------------------------------------------------------------

    def choices(self) -> tuple[Choice, ...]:
        """What may happen next; nothing when it is time to settle."""
        found: list[Choice] = []
        if self.messages >= MESSAGES_MAX:
            return ()
        for name, side in self._sides.items():
            clock = side.host.own_clock
            is_near = clock.next_at is not None and clock.next_at - clock.now <= NEAR_S
            if side.todo:
                found.append((name, "act", "", len(side.todo)))
            if is_near and self.case.slow:
                found.append((name, "step", "", 0))
            found += [(name, "take", sender, number) for sender, number in side.inbox]
            if self._impatience and self._asks(side) and not (is_near and self.case.slow):
                found.append((name, "wait", "", 0))
        if not found and self._waits:
            waiting = next((n for n, side in self._sides.items() if self._asks(side)), None)
            if waiting is not None:
                return ((waiting, "wait", "", 1),)
        return tuple(found)

    @staticmethod
    def _asks(side: _Side) -> bool:
        """Its next timer is near enough to be that of a request."""
        engine = side.host.engine
        assert engine is not None, "nobody is killed here"
        return (
            engine.deadline is not None
            and engine.deadline - side.host.own_clock.now <= REPEAT_WITHIN_S
        )

    def do(self, choice: Choice) -> None:
        """Let that happen, and the user of that side send a packet after it."""
        name, what, sender, number = choice
        side = self._sides[name]
        if self.tracing:
            self._line(name, f"--- {what} {sender} {number}")
        side.host.own_clock.creep(STEP_S)
        if not self.case.late_packets:
            self._take_packets(side)
        match what:
            case "act":
                side.todo.pop(0)(side.host)
            case "take":
                side.host.arrive(side.inbox.pop((sender, number)), None)
            case "step":
                side.host.own_clock.step(1e9)
            case _:
                self._wait(side)
                if number:
                    self._waits -= 1
                else:
                    self._impatience -= 1
        if not self.case.slow:
            self._finish_jobs(side)
        self._user(name, REST)

    def _finish_jobs(self, side: _Side) -> None:
        """What is near is done before anything else comes."""
        clock = side.host.own_clock
        while clock.next_at is not None and clock.next_at - clock.now <= NEAR_S:
            clock.step(1e9)

    def _wait(self, side: _Side) -> None:
        """Its clock goes on until its engine has done something."""
        before = self._engine_steps
        while self._engine_steps == before and side.host.own_clock.step(1e9):
            pass

    def _take_packets(self, side: _Side) -> None:
        packets, side.packets = side.packets, []
        for outer in packets:
            side.host.arrive(outer, None)

    def _user(self, name: str, rule: str) -> None:
        self.packets += 1
        number = next(
            n for n, f in enumerate(self._scenario.flows) if (f.source_host, f.rule) == (name, rule)
        )
        plan = self._scenario.flows[number]
        source, target = int(Endpoint(plan.source, 0).ip), int(Endpoint(plan.destination, 0).ip)
        packet = Packet(self.packets, number, source, target, plan.protocol, plan.port)
        self.checks.sent(packet, 0.0)
        if not self._sides[name].host.leave(packet):
            raise Violation("left_in_clear", f"{name}: {packet}")

    # --- after -----------------------------------------------------------------------------

    def settle(self) -> Seconds:
        """Everything that is under way comes in order. Gives the seconds until all was in order.
        Raises Violation when that takes longer than `SETTLE_S`, or a packet is lost."""
        self._stage = Stage.SETTLING
        self._settled = 0.0
        for side in self._sides.values():
            side.epoch = side.host.own_clock.now
        for side in self._sides.values():
            self._take_packets(side)
            for outer in side.inbox.values():
                self._in(side, ROAD_S, partial(side.host.arrive, outer, None))
            side.inbox.clear()
            for do in side.todo:
                self._in(side, 0.0, partial(do, side.host))
            side.todo.clear()
        at = 0.0
        while at < SETTLE_S:
            for name, rule in (("left", REST), ("right", REST), ("left", WEB)):
                self._user(name, rule)
            at += USER_EVERY_S
            self._run(at)
            if self._is_over():
                return at
        trouble = self.checks.is_quiet() or f"packets are missing: {self.checks.outstanding}"
        rule = "never_quiet" if self.checks.is_quiet() else "packet_lost"
        raise Violation(rule, trouble)

    def _is_over(self) -> bool:
        if self.checks.is_quiet() is not None:
            return False
        lost = {n for n in self.checks.outstanding if n <= self.packets - 3}
        return self.case.may_lose or not lost

    def _in(self, side: _Side, pause_s: Seconds, action: Callable[[], None]) -> None:
        side.host.own_clock.at(side.epoch + self._settled + pause_s, action)

    def _run(self, until_s: Seconds) -> None:
        """Both clocks go on together, until that long after the settling began."""
        while True:
            due = [
                (when - side.epoch, name)
                for name, side in self._sides.items()
                if (when := side.host.own_clock.next_at) is not None
            ]
            if not due or min(due)[0] > until_s:
                break
            self._settled, name = min(due)
            self._sides[name].host.own_clock.step(1e9)
        self._settled = until_s
        for side in self._sides.values():
            side.host.own_clock.now = Instant(max(side.host.own_clock.now, side.epoch + until_s))

    @property
    def messages(self) -> int:
        """IKE datagrams sent since users began to order things."""
        return sum(side.sent for side in self._sides.values())

    # --- what hosts report -----------------------------------------------------------------

    def transmit(self, host: Host, outer: Outer) -> None:
        """A packet leaves a host: into the other's inbox, or onto the road while all settles."""
        self.checks.transmitted(host, outer)
        side, target = self._sides[host.name], self._sides[self._by_address[outer.target.address]]
        if outer.source.address == "0.0.0.0":
            source = Endpoint(host.plan.address, outer.source.port)
            outer = Outer(source, outer.target, outer.content)
        if isinstance(outer.content, Esp):
            if self._stage is not Stage.TRYING:
                self._in(target, ROAD_S, partial(target.host.arrive, outer, None))
            else:
                target.packets.append(outer)
            return
        assert isinstance(outer.content, Ike)
        number = side.sent
        side.sent += 1
        is_lost = self._stage is not Stage.BEFORE and (host.name, number) == self.case.lost
        if self.tracing:
            fate = " LOST" if is_lost else ""
            self._line(host.name, f"sends {number}: {datagram_text(outer)}{fate}")
        if is_lost:
            self.lost = True
            return
        if self._stage is not Stage.TRYING:
            self._in(target, ROAD_S, partial(target.host.arrive, outer, None))
        else:
            target.inbox[host.name, number] = outer

    def note(self, host: Host, text: str) -> None:
        """A line for the trace."""
        self._line(host.name, text)

    def delivered(self, host: Host, packet: Packet, sa: Sa) -> None:
        """A user's packet has come through."""
        self.checks.delivered_packet(host, packet, sa, 0.0)

    def sealed(self, host: Host, sa: Sa, packet: Packet) -> None:
        """A user's packet was sealed."""
        self.checks.sealed(host, sa, packet)

    def installed(self, host: Host, sa: Sa) -> None:
        """A plane has a new SA."""
        self.checks.installed(host, sa)

    def happened(self, host: Host, happening: Happening) -> None:
        """The engine recorded a fact."""
        if happening.event != "phase2.idle":  # said here without any silence
            self.checks.happened(host, happening)
        if happening.event == "exchange.received":
            self.requests += ("direction", "request") in happening.detail
        if self.tracing:
            self._line(host.name, f"{happening.event} {happening.rule}: {happening.message}")

    def stepped(self, host: Host, event: Event) -> None:
        """The engine has handled an event."""
        self._engine_steps += 1
        self.checks.stepped(host)

    def wrong(self, host: Host, rule: str, text: str) -> None:
        """Something that must not be. Raises Violation."""
        raise Violation(rule, f"{host.name}: {text}")

    def _line(self, who: str, text: str) -> None:
        if self._trace is not None:
            at = self._sides[who].host.own_clock.elapsed
            self._trace(f"{at:12.6f} {who:<6} {text}")
