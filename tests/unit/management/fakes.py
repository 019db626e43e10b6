"""A daemon that is a few values: what `Service` needs, scripted by the test."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from isthmus.config.diff import Difference, Entry
from isthmus.config.errors import ConfigErrors
from isthmus.ike.core.commands import Command
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import (
    ChildView,
    Failure,
    Phase1State,
    Phase1View,
    RuleState,
    RuleView,
    TunnelView,
)
from isthmus.management.server import Rights, Server
from isthmus.management.service import Service
from isthmus.observe.codes import advice
from isthmus.observe.journal import Entry as JournalEntry
from isthmus.observe.journal import Journal
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.changes import Fate
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    Interface,
    Mode,
    Route,
)
from isthmus.values.address import Endpoint
from isthmus.values.errors import LocalFault
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi

NOON_S = 1_795_435_267.031  # 2026-11-23T12:01:07.031Z


OUTER_LOCAL = Endpoint("192.0.2.1", 0)
OUTER_REMOTE = Endpoint("198.51.100.77", 0)


@dataclass(frozen=True)
class FakeSa:
    direction: str
    spi: int
    name: str
    packets: int
    octets: int
    idle_ms: int | None
    drops: Mapping[str, int] = field(default_factory=dict)
    encap: bool = False
    standby: bool = False
    local: Endpoint = OUTER_LOCAL
    remote: Endpoint = OUTER_REMOTE
    sequence: int = 120
    age_ms: int = 2_460_000
    replay_window: int = 1024


@dataclass(frozen=True)
class FakeCertificate:
    role: str
    subject: str
    not_after: int
    days_left: int


@dataclass(frozen=True)
class FakeRange:
    start: str
    end: str
    protocol: int = 0
    port_start: int = 0
    port_end: int = 65535


@dataclass(frozen=True)
class FakeSelectors:
    local: tuple[FakeRange, ...]
    remote: tuple[FakeRange, ...]


@dataclass(frozen=True)
class FakePolicy:
    id: int
    name: str
    selectors: FakeSelectors
    interface: int = 1
    action: str = "protect"
    held_packets: int = 0
    held_octets: int = 0
    matched_packets: int = 0
    outbound_spis: tuple[int, ...] = ()
    idle_for_ms: int | None = None


def selectors(network: str, protocol: int = 0, port: int | None = None) -> tuple[TrafficSelector]:
    ports = (0, 65535) if port is None else (port, port)
    return (TrafficSelector.of_network(network, protocol, *ports),)


def child(spi_in: int = 0xC4A1D2E0, spi_out: int = 0x09BB71F3) -> ChildView:
    return ChildView(
        spi_in=Spi(spi_in),
        spi_out=Spi(spi_out),
        suite="aes256gcm16",
        pfs="modp2048",
        local=selectors("10.1.10.0/24"),
        remote=selectors("172.16.5.0/24", 6, 1433),
        encap=False,
        initiated=True,
        age_s=2460.0,
        rekey_in_s=1260.0,
        expires_in_s=1530.0,
        state="installed",
    )


def rule_view(name: str, state: RuleState, network: str, **more: object) -> RuleView:
    view = RuleView(
        name=name,
        state=state,
        local=selectors("10.1.10.0/24"),
        remote=selectors(network),
        since_s=2460.0,
    )
    return replace(view, **more)  # type: ignore[arg-type]


PHASE1 = Phase1View(
    spi_i="0123456789abcdef",
    spi_r="fedcba9876543210",
    local=Endpoint("192.0.2.1", 500),
    remote=Endpoint("198.51.100.77", 500),
    local_id="ip:192.0.2.1",
    remote_id="ip:198.51.100.77",
    suite="aes256-sha256-modp2048",
    initiated=True,
    nat="none",
    age_s=2460.0,
    rekey_in_s=25980.0,
    heard_s=4.0,
)

PARTNER = TunnelView(
    name="partner",
    peer="198.51.100.77",
    mode="policy",
    start="traffic",
    state=Phase1State.UP,
    healthy=True,
    since_s=2460.0,
    phase1=PHASE1,
    rules=(
        rule_view(
            "payroll",
            RuleState.UP,
            "172.16.5.0/24",
            remote=selectors("172.16.5.0/24", 6, 1433),
            children=(child(),),
            trigger="10.1.10.9 > 172.16.5.4 tcp/1433",
        ),
        rule_view("voice", RuleState.ARMED, "172.16.6.0/24"),
        rule_view("shared", RuleState.IDLE, "172.16.7.0/24", since_s=660.0),
    ),
)

BRANCH = TunnelView(
    name="branch",
    peer="203.0.113.10",
    mode="route",
    start="always",
    state=Phase1State.FAILED,
    healthy=False,
    since_s=360.0,
    phase1=None,
    rules=(rule_view("branch", RuleState.FAILED, "0.0.0.0/0"),),
    failure=Failure("E110", "The peer accepts none of our proposals.", "", 6.0, 8.0),
)

CONFIGURATION = Configuration(
    connections=(
        Connection(
            name="partner",
            peer="198.51.100.77",
            local_id=None,
            remote_id=None,
            phase1_proposals=(),
            local_auth=LocalAuth(AuthKind.PSK, "partner"),
            remote_auth=RemoteAuth(AuthKind.PSK, "partner"),
            rules=(
                ChildPolicy(
                    "payroll",
                    selectors("10.1.10.0/24"),
                    selectors("172.16.5.0/24", 6, 1433),
                    (),
                    idle_s=300.0,
                ),
                ChildPolicy("voice", selectors("10.1.0.0/16"), selectors("172.16.0.0/16"), ()),
            ),
        ),
        Connection(
            name="branch",
            peer="203.0.113.10",
            local_id=None,
            remote_id=None,
            phase1_proposals=(),
            local_auth=LocalAuth(AuthKind.PSK, "branch"),
            remote_auth=RemoteAuth(AuthKind.PSK, "branch"),
            mode=Mode.ROUTE,
            interface=Interface("branch", ("169.254.10.1/30",), (Route("10.20.0.0/16"),)),
            rules=(ChildPolicy("branch", selectors("0.0.0.0/0"), selectors("0.0.0.0/0"), ()),),
        ),
    )
)


class FakeDaemon:
    """Implements `Control`. `on_issue` plays the engine: it may change `tunnels` and record."""

    version = "0.1.0"
    uptime_s = 61.0

    def __init__(self) -> None:
        self.tunnels: tuple[TunnelView, ...] = (PARTNER, BRANCH)
        self.sas = (
            FakeSa("in", 0xC4A1D2E0, "partner/payroll", 120, 11_000, 2_000, {"replay": 2}),
            FakeSa("out", 0x09BB71F3, "partner/payroll", 118, 9_500, 2_500),
            # Another peer that chose the same SPI: its counters belong to nobody here.
            FakeSa("out", 0x09BB71F3, "other/net", 7, 7, 7),
        )
        self.held: dict[str, tuple[FakeCertificate, ...]] = {}
        self.plane_away = False
        self.silent_ms: int | None = 2000
        self.difference = Difference(
            (
                Entry("partner", Fate.REKEY, "rule payroll: new proposals, no gap expected"),
                Entry("branch", Fate.KEEP, ""),
            ),
            ("partner",),
            (),
        )
        self.refusal: ConfigErrors | None = None
        self.reloads: list[float | None] = []
        self.on_reload: Callable[[], None] = lambda: None
        self.issued: list[Command] = []
        self.journal = Journal()
        self.listeners = 0
        self.on_issue: Callable[[Command, int], None] = lambda command, ticket: None

    def configuration(self) -> Configuration:
        return CONFIGURATION

    def views(self, tunnel: str | None = None) -> tuple[TunnelView, ...]:
        return tuple(view for view in self.tunnels if tunnel in (None, view.name))

    def certificates(self, view: TunnelView) -> tuple[FakeCertificate, ...]:
        return self.held.get(view.name, ())

    async def plane_sas(self) -> tuple[FakeSa, ...]:
        if self.plane_away:
            raise LocalFault("the data plane is being restarted")
        return self.sas

    async def plane_policies(self) -> tuple[FakePolicy, ...]:
        return (
            FakePolicy(
                3,
                "partner/payroll",
                FakeSelectors(
                    (FakeRange("10.1.10.0", "10.1.10.255"),),
                    (FakeRange("172.16.5.0", "172.16.5.255", 6, 1433, 1433),),
                ),
                held_packets=2,
                held_octets=168,
                matched_packets=118,
                outbound_spis=(0x09BB71F3,),
                idle_for_ms=self.silent_ms,
            ),
        )

    async def plane_counters(self) -> Mapping[str, int]:
        return {"drop_icv": 0, "drop_no_sa_inbound": 3}

    def issue(self, command: Command) -> int:
        self.issued.append(command)
        ticket = len(self.issued)
        self.on_issue(command, ticket)
        return ticket

    async def plan(self) -> Difference:
        if self.refusal is not None:
            raise self.refusal
        return self.difference

    async def reload(self, rollback_after_s: float | None) -> Difference:
        found = await self.plan()
        self.reloads.append(rollback_after_s)
        self.on_reload()
        return found

    def confirm(self) -> bool:
        waited = self.reloads != [] and self.reloads[-1] is not None
        self.reloads.clear()
        return waited

    def recent(self, limit: int) -> tuple[JournalEntry, ...]:
        return self.journal.recent(limit)

    def subscribe(self, listener: Callable[[JournalEntry], None]) -> Callable[[], None]:
        cancel = self.journal.subscribe(listener)
        self.listeners += 1

        def left() -> None:
            self.listeners -= 1
            cancel()

        return left

    def record(self, event: str, tunnel: str = "partner", **more: object) -> None:
        happening = replace(Happening(event, tunnel), **more)  # type: ignore[arg-type]
        self.journal.add(JournalEntry(NOON_S, happening))


@contextmanager
def served(daemon: FakeDaemon, path: Path, rights: Rights | None = None) -> Iterator[Path]:
    """The daemon behind a real socket, in a thread with a loop of its own."""
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        server = Server(Service(daemon, advice), path, rights)
        await server.start()
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(done.set))
        ready.set()
        await done.wait()
        await server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10), "the server did not start"
        yield path
    finally:
        stop[0]()
        thread.join(10)
        assert not thread.is_alive()
