"""The IKE process from its start to its end, with an engine that the test scripts."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from isthmus.backends import userspace
from isthmus.backends.frames import (
    AttachInterface,
    DatagramIn,
    FirstPacketNotice,
    Hello,
    IdleNotice,
    InstallSaFrame,
    KeepaliveFrame,
    LifetimeNotice,
    Listen,
    NoticesLost,
    PacketWantedNotice,
    PeerMovedNotice,
    Query,
    RemoveSaFrame,
    SetPolicies,
    UnknownSpiNotice,
)
from isthmus.backends.specs import EndpointSpec
from isthmus.backends.translate import sa_spec
from isthmus.crypto.entropy import SeededEntropy
from isthmus.daemon import channel, link
from isthmus.daemon.application import Application, Arguments, ports
from isthmus.daemon.channel import (
    Applied,
    Apply,
    Fatal,
    PlaneSilent,
    Pulse,
    Ready,
    ShutDown,
    Status,
)
from isthmus.ike.core.commands import Configure, Shutdown
from isthmus.ike.core.effects import (
    ArmPolicy,
    AssignAddress,
    Keepalive,
    Record,
    RemoveSa,
    SendDatagram,
    UpdateSa,
)
from isthmus.ike.core.events import (
    CommandIssued,
    DatagramReceived,
    Event,
    FirstPacket,
    InstallFailed,
    LifetimeReached,
    OrphanFound,
    PacketSummary,
    PacketWanted,
    PeerMoved,
    RuleIdle,
)
from isthmus.ike.core.records import Happening
from isthmus.values.address import Endpoint
from isthmus.values.spi import Spi

from .played import PlayedPlane
from .samples import CONFIGURATION, ScriptedEngine, install

HERE, THERE = EndpointSpec("192.0.2.1", 500), EndpointSpec("192.0.2.2", 500)
OURS, THEIRS = Endpoint("192.0.2.1", 500), Endpoint("192.0.2.2", 500)
PATIENCE_S = 5.0


class Run:
    """One application, its plane and its supervisor, all in this process."""

    def __init__(self, directory: Path, engine: ScriptedEngine | None = None) -> None:
        self.engine = engine or ScriptedEngine()
        self.plane_path = directory / "plane.sock"
        self.control = directory / "control.sock"
        self.supervisor, theirs = channel.pair()
        self.plane = PlayedPlane(self.plane_path)
        self.said: list[channel.Message] = []
        self.apply_answer = Applied()
        asked = Arguments(str(self.plane_path), self.control, CONFIGURATION, None, theirs)
        self._theirs = theirs
        self.task = asyncio.create_task(Application(asked, self.engine, SeededEntropy(7)).run())
        asyncio.get_running_loop().add_reader(self.supervisor, self._listen)

    def _listen(self) -> None:
        octets = channel.receive(self.supervisor)
        if octets:
            message = channel.from_ike.decode(octets)
            self.said.append(message)
            if isinstance(message, Apply):
                channel.send(self.supervisor, self.apply_answer)

    async def ready(self) -> None:
        """Until it reports ready."""
        await self.until(lambda: Ready() in self.said)

    async def until(self, probe: Callable[[], object]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not probe():
                await asyncio.sleep(0.002)

    async def end(self) -> int:
        """Ask it to stop, as the supervisor does."""
        channel.send(self.supervisor, ShutDown())
        async with asyncio.timeout(PATIENCE_S):
            return await self.task

    async def close(self) -> None:
        """Clean up."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        asyncio.get_running_loop().remove_reader(self.supervisor)
        await self.plane.die()
        self.supervisor.close()
        self._theirs.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    """With a path short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="isth-") as path:
        yield Path(path)


def play(
    directory: Path,
    scene: Callable[[Run], Awaitable[None]],
    engine: ScriptedEngine | None = None,
    before: Callable[[Run], Awaitable[None]] | None = None,
) -> None:
    """Run one scene."""

    async def run() -> None:
        at = Run(directory, engine)
        try:
            if before is not None:
                await before(at)
            await scene(at)
        finally:
            await at.close()

    asyncio.run(run())


def test_start_up_goes_in_the_order_that_is_promised(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        kinds = [type(c) for c in at.plane.heard]
        assert kinds == [Hello, Query, Query, Query, Listen, SetPolicies, AttachInterface]
        assert isinstance(at.said[[type(m) for m in at.said].index(Apply)], Apply)
        assert at.engine.events == [CommandIssued(Configure(CONFIGURATION), 0)]
        assert at.control.is_socket()
        assert await at.end() == 0
        assert not at.control.exists()

    play(directory, scene)


def test_ports_are_500_and_4500_of_each_address() -> None:
    made = ports(("192.0.2.1", "::1"))
    assert [(p.address, p.port, p.nat_t) for p in made][:2] == [
        ("192.0.2.1", 500, False),
        ("192.0.2.1", 4500, True),
    ]
    assert len(made) == (4 if socket.has_ipv6 else 2)


def test_notices_become_events(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        (policy,) = await at.plane.inner.policies()
        at.engine.events.clear()
        for notice in (
            DatagramIn(HERE, THERE, b"ike"),
            PacketWantedNotice(policy.id, "10.1.0.1", "10.2.0.1", 6, 999, 80, 3),
            PacketWantedNotice(99, "10.1.0.1", "10.2.0.1", 6, 999, 80, 3),
            LifetimeNotice("out", 400, "hard", "octets", policy.id),
            IdleNotice(policy.id, 20_000),
            IdleNotice(99, 20_000),
            PeerMovedNotice(300, EndpointSpec("192.0.2.9", 4500)),
            FirstPacketNotice(300),
            UnknownSpiNotice(5, THERE),
            NoticesLost(4),
        ):
            at.plane.tell(notice)
        await at.until(lambda: len(at.engine.events) == 6)
        assert at.engine.events == [
            DatagramReceived(OURS, THEIRS, b"ike"),
            PacketWanted("office", "net", PacketSummary("10.1.0.1", "10.2.0.1", 6, 999, 80), 3),
            LifetimeReached(Spi(400), False, True, "octets"),
            RuleIdle("office", "net"),
            PeerMoved(Spi(300), Endpoint("192.0.2.9", 4500)),
            FirstPacket(Spi(300)),
        ]

    play(directory, scene)


def test_orphans_are_told_after_the_configuration_and_strays_removed(directory: Path) -> None:
    async def left_behind(at: Run) -> None:
        await at.plane.inner.install_sa(sa_spec(install(300, True), 1))
        await at.plane.inner.install_sa(sa_spec(install(400, False), 1))
        await at.plane.inner.install_sa(sa_spec(install(500, True, rule="gone"), 9))

    async def scene(at: Run) -> None:
        await at.ready()
        assert at.engine.events == [
            CommandIssued(Configure(CONFIGURATION), 0),
            OrphanFound("office", "net", Spi(300), True, THEIRS),
            OrphanFound("office", "net", Spi(400), False, THEIRS),
        ]
        await at.until(lambda: any(isinstance(c, RemoveSaFrame) for c in at.plane.heard))
        assert {s.spi for s in await at.plane.inner.sas()} == {300, 400}

    play(directory, scene, before=left_behind)


def test_a_new_plane_is_set_up_again_and_its_losses_are_told(directory: Path) -> None:
    def answer(event: Event) -> tuple[object, ...]:
        if isinstance(event, CommandIssued):
            return (install(300, True), install(400, False), ArmPolicy("office", "net", "drop"))
        return ()

    async def scene(at: Run) -> None:
        await at.ready()
        await at.until(lambda: at.plane.inner.installed("out", 400))
        at.engine.events.clear()
        await at.plane.die()
        at.plane = PlayedPlane(at.plane_path, pid=2)
        await at.until(lambda: len(at.engine.events) == 2)
        reason = "data plane restarted"
        assert set(at.engine.events) == {
            InstallFailed(Spi(300), True, reason),
            InstallFailed(Spi(400), False, reason),
        }
        kinds = [type(c) for c in at.plane.heard]
        asked = [InstallSaFrame, InstallSaFrame]  # refused: this plane does not know their counts
        assert kinds == [Hello, Query, Query, Listen, SetPolicies, AttachInterface, *asked]
        (policies,) = (c for c in at.plane.heard if isinstance(c, SetPolicies))
        assert policies.policies[0].on_no_sa == "drop"  # how it was armed is not forgotten
        assert await at.end() == 0

    play(directory, scene, ScriptedEngine(answer))  # type: ignore[arg-type]


def test_a_new_plane_goes_on_with_the_same_keys_where_it_knows_the_counts(directory: Path) -> None:
    moved = EndpointSpec("203.0.113.9", 4500)

    def answer(event: Event) -> tuple[object, ...]:
        if isinstance(event, CommandIssued):
            return (
                install(300, True),
                install(400, False),
                install(401, False),
                UpdateSa(Spi(400), False, remote=Endpoint(moved.address, moved.port)),
                RemoveSa(Spi(401), False),
                Keepalive(OURS, THEIRS, 20.0),
            )
        return ()

    async def scene(at: Run) -> None:
        await at.ready()
        await at.until(lambda: any(isinstance(c, KeepaliveFrame) for c in at.plane.heard))
        installed = {c.sa.spi: c.sa for c in at.plane.heard if isinstance(c, InstallSaFrame)}
        numbers = {sa.count_as for sa in installed.values()}
        assert len(numbers) == 3 and 0 not in numbers
        assert not any(sa.resume for sa in installed.values())
        at.engine.events.clear()
        await at.plane.die()
        at.plane = PlayedPlane(at.plane_path, pid=2)
        at.plane.inner.resumable = {installed[300].count_as, installed[400].count_as}
        await at.until(lambda: any(isinstance(c, KeepaliveFrame) for c in at.plane.heard))
        again = [c.sa for c in at.plane.heard if isinstance(c, InstallSaFrame)]
        assert again == [
            msgspec.structs.replace(installed[300], resume=True),
            msgspec.structs.replace(installed[400], resume=True, remote=moved),
        ]
        await at.until(lambda: at.plane.inner.installed("out", 400))
        await asyncio.sleep(0.05)
        assert at.engine.events == []

    play(directory, scene, ScriptedEngine(answer))  # type: ignore[arg-type]


def test_a_plane_that_hangs_is_told_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(userspace, "REPLY_TIMEOUT_S", 0.5)

    async def scene(at: Run) -> None:
        await at.ready()
        await asyncio.sleep(0.3)
        assert PlaneSilent() not in at.said
        at.plane.is_silent = True
        await at.until(lambda: PlaneSilent() in at.said)
        await asyncio.sleep(1.2)
        assert at.said.count(PlaneSilent()) == 1
        await at.plane.die()
        at.plane = PlayedPlane(at.plane_path, pid=2)
        await at.until(lambda: any(isinstance(c, AttachInterface) for c in at.plane.heard))

    play(directory, scene)


def test_a_broken_connection_to_the_same_plane_loses_nothing(directory: Path) -> None:
    def answer(event: Event) -> tuple[object, ...]:
        return (install(300, True),) if isinstance(event, CommandIssued) else ()

    async def scene(at: Run) -> None:
        await at.ready()
        await at.until(lambda: at.plane.inner.installed("in", 300))
        at.plane.hang_up()
        await at.plane.die()
        old = at.plane.inner
        at.plane = PlayedPlane(at.plane_path)
        at.plane.inner = old
        await at.until(lambda: any(isinstance(c, SetPolicies) for c in at.plane.heard))
        assert not any(isinstance(e, InstallFailed) for e in at.engine.events)
        # The interface is attached there already.
        assert not any(isinstance(c, AttachInterface) for c in at.plane.heard)

    play(directory, scene, ScriptedEngine(answer))  # type: ignore[arg-type]


def test_a_try_that_a_dying_plane_still_takes_does_not_break_the_next(directory: Path) -> None:
    """It listens a moment longer than it serves. Its successor was then given up for lost as soon
    as it was set up, and so was each connection after that, without end."""

    async def scene(at: Run) -> None:
        await at.ready()
        loop = asyncio.get_running_loop()
        await at.plane.die()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dying:
            dying.setblocking(False)
            dying.bind(str(at.plane_path))
            dying.listen()
            async with asyncio.timeout(PATIENCE_S):
                tried, _ = await loop.sock_accept(dying)
        tried.close()
        at.plane_path.unlink()
        at.plane = PlayedPlane(at.plane_path, pid=2)
        await at.until(lambda: any(isinstance(c, AttachInterface) for c in at.plane.heard))
        await asyncio.sleep(0.1)
        assert len([c for c in at.plane.heard if isinstance(c, Hello)]) == 1
        at.plane.tell(DatagramIn(HERE, THERE, b"heard"))
        await at.until(lambda: any(isinstance(e, DatagramReceived) for e in at.engine.events))

    play(directory, scene)


def test_a_fault_in_the_engine_ends_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(event: Event) -> tuple[object, ...]:
        if isinstance(event, DatagramReceived) and event.octets == b"bad":
            raise ZeroDivisionError(" ".join(("secret", "words")))
        if isinstance(event, DatagramReceived):
            return (SendDatagram(OURS, THEIRS, b"answer"),)
        return ()

    async def scene(at: Run) -> None:
        await at.ready()
        at.plane.tell(DatagramIn(HERE, THERE, b"bad"))
        at.plane.tell(DatagramIn(HERE, THERE, b"good"))
        await at.until(lambda: at.plane.inner.sent)
        assert at.plane.inner.sent == [(HERE, THERE, b"answer")]

    play(directory, scene, ScriptedEngine(answer))  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "ZeroDivisionError while handling DatagramReceived" in said
    assert "secret words" not in said


def test_a_refused_set_up_is_told_to_the_supervisor(directory: Path) -> None:
    async def refuse(at: Run) -> None:
        at.plane.refuse.add(Listen)

    async def scene(at: Run) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await at.task == 1
        await at.until(lambda: any(isinstance(m, Fatal) for m in at.said))
        assert Ready() not in at.said
        assert not any(isinstance(c, SetPolicies) for c in at.plane.heard)

    play(directory, scene, before=refuse)


def test_a_network_that_cannot_be_set_up_is_fatal(directory: Path) -> None:
    async def refuse(at: Run) -> None:
        at.apply_answer = Applied(error="an interface isthmus0 is there already")

    async def scene(at: Run) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert await at.task == 1
        assert Fatal("an interface isthmus0 is there already") in at.said

    play(directory, scene, before=refuse)


def test_it_takes_leave_before_it_ends(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        assert await at.end() == 0
        assert at.engine.events[-1] == CommandIssued(Shutdown(), 0)

    play(directory, scene)


def test_it_ends_with_its_supervisor(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        asyncio.get_running_loop().remove_reader(at.supervisor)
        at.supervisor.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(PATIENCE_S):
            assert await at.task == 0

    play(directory, scene)


def test_it_gives_signs_of_life_and_a_status_line(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        assert Pulse() in at.said and Status("0 healthy") in at.said

    play(directory, scene)


def test_records_reach_the_log_and_warnings_are_said(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(event: Event) -> tuple[object, ...]:
        return (Record(Happening("phase1.up", "office", message="it is up")),)

    async def refuse(at: Run) -> None:
        at.apply_answer = Applied(warnings=("a sysctl could not be set",))

    async def scene(at: Run) -> None:
        await at.ready()

    play(directory, scene, ScriptedEngine(answer), before=refuse)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert "phase1.up office: it is up" in said
    assert "a sysctl could not be set" in said
    assert str(os.getpid()) not in said


def applied(at: Run) -> list[Apply]:
    """The networks that the supervisor was asked for, by their first parts."""
    return [m for m in at.said if isinstance(m, Apply) and m.wish.interfaces]


def addresses(at: Run) -> tuple[str, ...]:
    """Those on the one device, in the last of them."""
    (device,) = applied(at)[-1].wish.interfaces
    return device.addresses


def lend(at: Run, up: bool) -> None:
    """Have the engine say that a peer lends us an address, or no more."""
    at.engine.answer = lambda event: (AssignAddress("office", IPv4Address("10.1.0.7"), up),)
    at.plane.tell(FirstPacketNotice(1))


def test_an_address_that_a_peer_lends_is_on_the_device_until_it_ends(directory: Path) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        assert addresses(at) == ()
        lend(at, up=True)
        await at.until(lambda: addresses(at) == ("10.1.0.7/32",))
        before = len(applied(at))
        await at.plane.die()
        at.plane = PlayedPlane(at.plane_path, pid=2)
        await at.until(lambda: any(isinstance(c, AttachInterface) for c in at.plane.heard))
        assert len(applied(at)) > before
        assert addresses(at) == ("10.1.0.7/32",), "another plane is no reason to take it away"
        lend(at, up=False)
        await at.until(lambda: addresses(at) == ())

    play(directory, scene)


def test_a_network_that_refuses_an_address_ends_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene(at: Run) -> None:
        await at.ready()
        at.apply_answer = Applied(error="no such luck")
        lend(at, up=True)
        await at.until(lambda: "no such luck" in capsys.readouterr().err)
        at.apply_answer = Applied()
        lend(at, up=False)
        await at.until(lambda: len(applied(at)) > 2 and addresses(at) == ())
        assert not at.task.done()

    play(directory, scene)
