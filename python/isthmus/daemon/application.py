"""The IKE process once its files are read: builds the parts around one engine and runs them."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.backends.interface import PlaneLost
from isthmus.backends.specs import PortSpec
from isthmus.backends.wishes import NetworkWish
from isthmus.config.errors import ConfigErrors
from isthmus.credentials.store import Credentials
from isthmus.crypto.entropy import Entropy
from isthmus.daemon import channel
from isthmus.daemon.certificates import CertificateWatch
from isthmus.daemon.channel import (
    Applied,
    Fatal,
    PlaneSilent,
    Pulse,
    Ready,
    Reload,
    Reloaded,
    ShutDown,
    Status,
)
from isthmus.daemon.control import HostControl
from isthmus.daemon.fetching import Fetcher
from isthmus.daemon.host import Engine, Host
from isthmus.daemon.labkeys import LabKeys
from isthmus.daemon.link import PlaneLink
from isthmus.daemon.network_plan import plan
from isthmus.daemon.perform import Performer
from isthmus.daemon.reload import Read, Reloader, Terms
from isthmus.daemon.revocation import Revocations
from isthmus.daemon.status import EXIT_FAILED, EXIT_OK, Health, health_line
from isthmus.daemon.status_cache import StatusCache
from isthmus.daemon.workers import Workers
from isthmus.ike.core.commands import Shutdown
from isthmus.ike.core.events import CommandIssued
from isthmus.ike.core.records import Happening
from isthmus.management.server import Server
from isthmus.management.service import Service
from isthmus.observe.codes import advice
from isthmus.observe.journal import Journal
from isthmus.observe.recorder import Recorder, Style
from isthmus.policy.connection import Configuration
from isthmus.values.address import IKE_PORT, NAT_T_PORT
from isthmus.values.errors import LocalFault

HEARTBEAT_S = 1.0
FAREWELL_S = 2.5
"""How long peers may take to answer our deletes when we stop."""
FAREWELL_STEP_S = 0.02
SEND_PAUSE_S = 0.005
APPLY_TIMEOUT_S = 15.0
"""How long the supervisor may take to set the network up."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the process was started with. `end` is its end of the pair with the supervisor."""

    plane: str
    control: Path
    configuration: Configuration
    lab_keys: LabKeys | None
    end: socket.socket
    credentials: Credentials = field(default_factory=Credentials)
    read: Read | None = None
    """How the file is read again; None: there is no file."""


class Application:
    """One engine with everything around it."""

    def __init__(self, asked: Arguments, engine: Engine, entropy: Entropy) -> None:
        self._asked = asked
        self._engine = engine
        self._entropy = entropy
        self._journal = Journal()
        self._recorder = Recorder(self._journal, _write_line, time.time, time.monotonic, _style())
        self._applied: asyncio.Queue[Applied] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._hang_up = asyncio.Event()

    async def run(self) -> int:
        """Until the supervisor says stop, or something makes it senseless to go on. Returns the
        exit status."""
        loop = asyncio.get_running_loop()
        self._asked.end.setblocking(False)
        loop.add_reader(self._asked.end, self._from_supervisor)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        host = Host(self._engine, self._recorder.take, _write_line)
        fetcher = Fetcher()
        revocations = Revocations(
            fetcher.fetch, StatusCache(_cache_directory(self._asked.control)), self._recorder.take
        )
        workers = Workers(
            self._entropy,
            host.feed,
            lambda remote: _resolve(performer, remote),
            learn=revocations.learn,
            fetch=fetcher.fetch,
        )
        performer = Performer(
            self._recorder.take, host.feed, workers, self._asked.lab_keys, self._recorder.admits
        )
        host.attach(performer)
        link = self._link(host, performer)
        reloader = self._reloader(link)
        watch = CertificateWatch(
            host.views,
            lambda: reloader.running,
            revocations,
            lambda command: host.feed(CommandIssued(command, 0)),
            self._recorder.take,
        )
        service = Service(self._control(host, performer, workers, reloader, watch), advice)
        server = Server(service, self._asked.control)
        self._say_what_is_unusual(self._asked.configuration)
        stopping = asyncio.create_task(self._stop.wait())
        works = (
            link.run(),
            link.follow_addresses(),
            self._serve(link, server, host),
            self._heartbeat(host, link.ready),
            self._reload_when_told(link, reloader),
            self._watch(link, watch),
        )
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                return self._end_of(tasks)
            if link.ready.is_set():
                await self._take_leave(host)
            return EXIT_OK
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)
            await server.close()
            await reloader.close()
            workers.close()
            revocations.close()
            await fetcher.close()

    def _link(self, host: Host, performer: Performer) -> PlaneLink:
        configuration = self._asked.configuration
        return PlaneLink(
            self._asked.plane,
            configuration,
            plan(configuration),
            ports(configuration.listen),
            host,
            performer,
            self._apply_network,
            self._recorder.take,
            lambda: self._tell(PlaneSilent()),
        )

    def _reloader(self, link: PlaneLink) -> Reloader:
        async def apply(wanted: Terms) -> None:
            configuration = wanted.configuration
            await link.reconfigure(
                configuration, wanted.credentials, plan(configuration), ports(configuration.listen)
            )
            self._say_what_is_unusual(configuration)

        def read() -> Terms:
            if self._asked.read is None:
                raise LocalFault("this daemon was started without a configuration file")
            return self._asked.read()

        running = Terms(self._asked.configuration, self._asked.credentials)
        return Reloader(running, read, apply, self._recorder.take)

    async def _reload_when_told(self, link: PlaneLink, reloader: Reloader) -> None:
        """SIGHUP. What came of it stands in the log; the supervisor is told that it is over."""
        await link.ready.wait()
        while True:
            await self._hang_up.wait()
            self._hang_up.clear()
            with contextlib.suppress(ConfigErrors, LocalFault):
                await reloader.reload()
            self._tell(Reloaded())

    def _control(
        self,
        host: Host,
        performer: Performer,
        workers: Workers,
        reloader: Reloader,
        watch: CertificateWatch,
    ) -> HostControl:
        return HostControl(
            host,
            performer,
            self._journal,
            reloader,
            watch,
            lambda: {
                "ike_jobs_shed": workers.shed,
                "ike_jobs_waiting": workers.waiting,
                # Not counts of events but of what lives now: a leak shows here first.
                **{f"ike_live_{name}": count for name, count in self._engine.census().items()},
            },
        )

    async def _serve(self, link: PlaneLink, server: Server, host: Host) -> None:
        """Open the management socket once there is something to say, and report ready."""
        await link.ready.wait()
        await server.start()
        health = health_line(host.views())
        self._recorder.take(Happening("daemon.ready", message=health))
        self._tell(Status(health))
        self._tell(Ready())
        await asyncio.Event().wait()

    async def _watch(self, link: PlaneLink, watch: CertificateWatch) -> None:
        await link.ready.wait()
        await watch.run()

    async def _heartbeat(self, host: Host, ready: asyncio.Event) -> None:
        """Once a second: a sign of life, the status line, and what the log's limiter held back."""
        said = ""
        health = Health(host.views)
        expected = time.monotonic()
        while True:
            self._tell(Pulse())
            happened = host.counters["ike_events"]
            text = health.line(happened, time.monotonic()) if ready.is_set() else "starting"
            if text != said and self._tell(Status(text)):
                said = text
            self._recorder.flush()
            late_us = round(max(0.0, time.monotonic() - expected) * 1_000_000)
            host.counters["ike_loop_latest_us"] = max(host.counters["ike_loop_latest_us"], late_us)
            expected = time.monotonic() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)

    async def _apply_network(self, wish: NetworkWish) -> None:
        """Raises LocalFault when the supervisor cannot or does not do it."""
        while not self._applied.empty():
            self._applied.get_nowait()
        try:
            async with asyncio.timeout(APPLY_TIMEOUT_S):
                for part in channel.parts(wish):
                    while not self._tell(part):
                        # Its end of the channel is full, or closed: then we are told to stop.
                        await asyncio.sleep(SEND_PAUSE_S)
                outcome = await self._applied.get()
        except TimeoutError:
            raise LocalFault("the supervisor did not set the network up in time") from None
        if outcome.error:
            raise LocalFault(outcome.error)
        for warning in outcome.warnings:
            self._recorder.take(Happening("network.warning", message=warning))

    async def _take_leave(self, host: Host) -> None:
        """Delete every SA towards the peers, for a bounded time."""
        host.feed(CommandIssued(Shutdown(), 0))
        deadline = time.monotonic() + FAREWELL_S
        while any(view.phase1 is not None for view in host.views()):
            if time.monotonic() > deadline:
                message = "some peers did not answer our deletes in time"
                self._recorder.take(Happening("daemon.farewell_incomplete", message=message))
                return
            await asyncio.sleep(FAREWELL_STEP_S)

    def _end_of(self, tasks: list[asyncio.Task[None]]) -> int:
        """Why one of the tasks ended, though none should."""
        for task in tasks:
            error = task.exception() if task.done() else None
            if isinstance(error, LocalFault):
                self._recorder.take(Happening("daemon.failed", message=str(error)))
                self._tell(Fatal(str(error)))
            elif error is not None:
                raise error
        return EXIT_FAILED

    def _from_supervisor(self) -> None:
        octets = channel.receive(self._asked.end)
        if octets is None:
            return
        if not octets:  # the supervisor is gone
            self._stop.set()
            asyncio.get_running_loop().remove_reader(self._asked.end)
            return
        match channel.from_supervisor.decode(octets):
            case Applied() as applied:
                self._applied.put_nowait(applied)
            case Reload():
                self._hang_up.set()
            case ShutDown():
                self._stop.set()

    def _tell(self, message: channel.Message) -> bool:
        return channel.send(self._asked.end, message)

    def _say_what_is_unusual(self, configuration: Configuration) -> None:
        for warning in configuration.warnings:
            self._recorder.take(Happening("config.warning", message=warning))
        if self._asked.lab_keys is not None:
            message = (
                "ISTHMUS_LAB_KEYS is set: the keys of every SA are written to a file, and whoever "
                "has it can read all traffic. This is for a lab only."
            )
            self._recorder.take(Happening("lab.keys_are_written", message=message))


def _cache_directory(control: Path) -> Path:
    """systemd's, else beside the control socket: each daemon has its own."""
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    return Path(given, "revocation") if given else control.with_name(control.name + ".cache")


async def _resolve(performer: Performer, remote: str) -> str | None:
    if performer.plane is None:
        raise PlaneLost("there is no data plane")
    return await performer.plane.resolve_local(remote)


def ports(listen: tuple[str, ...]) -> tuple[PortSpec, ...]:
    """UDP 500 and 4500 of each address; an address family that this machine lacks is left out."""
    addresses = [a for a in listen if ":" not in a or _has_ipv6()]
    return tuple(
        PortSpec(address, port, nat_t=port == NAT_T_PORT)
        for address in addresses
        for port in (IKE_PORT, NAT_T_PORT)
    )


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            return False
        raise
    return True


def _write_line(line: str) -> None:
    # Whoever reads our log may be gone; the journal keeps the last lines all the same.
    with contextlib.suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _style() -> Style:
    """journald adds a time of its own."""
    return Style.HUMAN if "JOURNAL_STREAM" in os.environ else Style.HUMAN_WITH_TIME
