"""A plane process that the test plays: the simulated plane behind a real socket."""

import asyncio
import contextlib
import socket
from pathlib import Path

from isthmus.backends.frames import (
    FRAME_MAX,
    ArmPolicyFrame,
    AttachInterface,
    Command,
    Counters,
    DatagramOut,
    DetachInterface,
    Done,
    ExpectSaFrame,
    Flush,
    Frame,
    Hello,
    InstallSaFrame,
    Interfaces,
    KeepaliveFrame,
    Listen,
    LocalAddress,
    Notice,
    Policies,
    Query,
    Refused,
    RemoveSaFrame,
    ResolveLocal,
    Sas,
    SetCarrier,
    SetPolicies,
    UpdateSaFrame,
    Welcome,
    encoder,
    to_plane,
)
from isthmus.backends.interface import PlaneRefused
from isthmus.backends.simulated import SimulatedPlane


class PlayedPlane:
    """Serves one client at a time, the last that came, as the real one does; `heard` are the
    commands in their order."""

    def __init__(self, path: Path, pid: int = 1) -> None:
        self.inner = SimulatedPlane(self.tell)
        self.heard: list[Command] = []
        self.refuse: set[type[Frame]] = set()
        self.is_silent = False
        """As a process that hangs: it hears everything and answers nothing."""
        self._pid = pid
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen()
        self._client: socket.socket | None = None
        self._task = asyncio.create_task(self._serve())

    async def die(self) -> None:
        """As a killed process: the connection breaks and nobody listens any more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        path = self._listener.getsockname()
        self._listener.close()
        Path(path).unlink()
        self.hang_up()

    def hang_up(self) -> None:
        """Break the connection only."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def tell(self, notice: Notice) -> None:
        """Send a notice."""
        assert self._client is not None
        self._client.send(encoder.encode(notice))

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as serving:
            earlier: asyncio.Task[None] | None = None
            while True:
                client, _ = await loop.sock_accept(self._listener)
                if earlier is not None:
                    earlier.cancel()
                self.hang_up()
                self._client = client
                earlier = serving.create_task(self._serve_one(client))

    async def _serve_one(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while octets := await loop.sock_recv(client, FRAME_MAX):
            command = to_plane.decode(octets)
            self.heard.append(command)
            reply = await self._answer(command)
            if reply is not None and not self.is_silent:
                client.send(encoder.encode(reply))

    async def _answer(self, command: Command) -> Frame | None:
        if isinstance(command, DatagramOut):
            self.inner.send_datagram(command.local, command.remote, command.octets)
            return None
        if type(command) in self.refuse:
            return Refused(command.ticket, "the test says no")
        try:
            return await self._carry_out(command)
        except PlaneRefused as refused:
            return Refused(command.ticket, str(refused))

    async def _carry_out(self, command: Command) -> Frame:
        inner = self.inner
        match command:
            case Hello(ticket):
                return Welcome(ticket, 1, self._pid)
            case Listen(_, ports, mark):
                await inner.listen(ports, mark)
            case AttachInterface(_, number, name, mtu, mark):
                await inner.attach_interface(number, name, mtu, mark)
            case DetachInterface(_, number):
                await inner.detach_interface(number)
            case SetCarrier(_, number, up):
                await inner.set_carrier(number, up)
            case SetPolicies(_, policies):
                await inner.set_policies(policies)
            case ArmPolicyFrame(_, policy, on_no_sa):
                await inner.arm_policy(policy, on_no_sa)
            case InstallSaFrame(_, sa):
                await inner.install_sa(sa)
            case ExpectSaFrame(_, spi):
                await inner.expect_sa(spi)
            case UpdateSaFrame(_, direction, spi, standby, local, remote, encap, limits, policy):
                await inner.update_sa(
                    direction,
                    spi,
                    standby=standby,
                    local=local,
                    remote=remote,
                    encap=encap,
                    limits=limits,
                    policy=policy,
                )
            case RemoveSaFrame(_, direction, spi, policy):
                await inner.remove_sa(direction, spi, policy)
            case Flush():
                await inner.flush()
            case KeepaliveFrame(_, local, remote, every_ms):
                await inner.keepalive(local, remote, every_ms)
            case Query(ticket, "sas"):
                return Sas(ticket, False, await inner.sas())
            case Query(ticket, "policies"):
                return Policies(ticket, False, await inner.policies())
            case Query(ticket, "interfaces"):
                return Interfaces(ticket, await inner.interfaces())
            case Query(ticket):
                return Counters(ticket, dict(await inner.counters()))
            case ResolveLocal(ticket, remote):
                return LocalAddress(ticket, await inner.resolve_local(remote))
            case DatagramOut():
                raise AssertionError("a datagram has no answer")
        return Done(command.ticket)
