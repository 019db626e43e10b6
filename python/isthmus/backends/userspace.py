"""The client of the plane process: frames over a Unix SOCK_SEQPACKET socket.

Nothing here waits: commands are written at once or queued within a bound, replies complete the
futures that their tickets name, notices go to a handler.
"""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from isthmus.backends.frames import (
    FRAME_MAX,
    PROTOCOL_VERSION,
    ArmPolicyFrame,
    AttachInterface,
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
    Policies,
    Query,
    Refused,
    RemoveSaFrame,
    Reply,
    ResolveLocal,
    Sas,
    SetCarrier,
    SetPolicies,
    UpdateSaFrame,
    Welcome,
    encoder,
    from_plane,
)
from isthmus.backends.interface import NoticeHandler, PlaneLost, PlaneRefused
from isthmus.backends.specs import (
    Direction,
    EndpointSpec,
    InterfaceState,
    LimitsSpec,
    OnNoSa,
    PolicySpec,
    PolicyState,
    PortSpec,
    SaSpec,
    SaState,
)

QUEUE_MAX = 1024
"""Frames that wait while the socket is full. Beyond it commands fail and datagrams are lost."""
CORKED_MAX = 64
"""Frames that are kept back at most: what one event asks of the plane is seldom more than five."""
READS_PER_WAKE_UP = 32
"""Frames taken in one go, so that a flood of notices cannot hold the event loop."""
BUFFER_OCTETS = 4 * 1024 * 1024
"""Asked of the kernel for each direction; it may give less."""
REPLY_TIMEOUT_S = 5.0
PART_OCTETS = 65_536
"""Of policies in one frame; half of what a frame may have."""

T = TypeVar("T")


class _Pending:
    """A command without its reply yet; parts of a long answer gather in `parts`. With `is_deed`
    all that is wanted to know is that it was done."""

    __slots__ = ("future", "is_deed", "parts")

    def __init__(self, future: "asyncio.Future[Any]", is_deed: bool) -> None:
        self.future = future
        self.is_deed = is_deed
        self.parts: list[SaState | PolicyState] = []


class UserspacePlane:
    """One connection to a plane process. It ends once: then `on_lost` is called, and every
    command that has no answer, and every later one, raises PlaneLost."""

    def __init__(
        self, connection: socket.socket, on_notice: NoticeHandler, on_lost: Callable[[], None]
    ) -> None:
        connection.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, BUFFER_OCTETS)
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._pending: dict[int, _Pending] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        """When the oldest commands are given up, with their tickets. All have as much time, so one
        timer does for the first of them."""
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[bytes] = deque()
        self._corked = False
        self._waits_to_write = False
        self._buffer = bytearray(FRAME_MAX + 1)
        self._ticket = 0
        self._open = True
        self.pid = 0
        """Process id of the plane, known after `connect`."""
        self.losses: Counter[str] = Counter()
        """What was dropped on this side, by reason."""
        self._loop.add_reader(connection, self._readable)

    @classmethod
    async def connect(
        cls, path: str, on_notice: NoticeHandler, on_lost: Callable[[], None]
    ) -> "UserspacePlane":
        """Connect and greet. Raises PlaneLost when nobody listens or the versions differ."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise PlaneLost(f"no data plane at {path}: {error.strerror}") from None
        plane = cls(connection, on_notice, on_lost)
        try:
            welcome = await plane._ask(Welcome, lambda ticket: Hello(ticket))
        except PlaneRefused as error:
            plane.close()
            raise PlaneLost(f"the data plane refused to talk: {error}") from None
        except PlaneLost:
            plane.close()  # One that did not answer in time is connected still.
            raise
        if welcome.version != PROTOCOL_VERSION:
            plane.close()
            raise PlaneLost(
                f"the data plane speaks version {welcome.version}, we {PROTOCOL_VERSION}"
            )
        plane.pid = welcome.pid
        return plane

    @property
    def is_open(self) -> bool:
        """The connection stands."""
        return self._open

    def close(self) -> None:
        """End the connection on purpose: `on_lost` is not called."""
        self._end("the connection to the data plane was closed")

    def listen(self, ports: Sequence[PortSpec], mark: int) -> Awaitable[None]:
        return self._do(lambda ticket: Listen(ticket, tuple(ports), mark))

    def attach_interface(
        self, interface: int, name: str, mtu: int, bypass_mark: int
    ) -> Awaitable[None]:
        return self._do(lambda ticket: AttachInterface(ticket, interface, name, mtu, bypass_mark))

    def detach_interface(self, interface: int) -> Awaitable[None]:
        return self._do(lambda ticket: DetachInterface(ticket, interface))

    def set_carrier(self, interface: int, up: bool) -> Awaitable[None]:
        return self._do(lambda ticket: SetCarrier(ticket, interface, up))

    def set_policies(self, policies: Sequence[PolicySpec]) -> Awaitable[None]:
        parts = _parts(policies)
        last = len(parts) - 1
        outcomes = [
            # One after the other, so the plane has them in their order.
            self._do(partial(_set_policies, part, number < last, number))
            for number, part in enumerate(parts)
        ]
        return outcomes[0] if last == 0 else _joined(outcomes)

    def arm_policy(self, policy: int, on_no_sa: OnNoSa) -> Awaitable[None]:
        return self._do(lambda ticket: ArmPolicyFrame(ticket, policy, on_no_sa))

    def install_sa(self, sa: SaSpec) -> Awaitable[None]:
        return self._do(lambda ticket: InstallSaFrame(ticket, sa))

    def expect_sa(self, spi: int) -> Awaitable[None]:
        return self._do(lambda ticket: ExpectSaFrame(ticket, spi))

    def update_sa(
        self,
        direction: Direction,
        spi: int,
        *,
        standby: bool | None = None,
        local: EndpointSpec | None = None,
        remote: EndpointSpec | None = None,
        encap: bool | None = None,
        limits: LimitsSpec | None = None,
        policy: int | None = None,
    ) -> Awaitable[None]:
        return self._do(
            lambda ticket: UpdateSaFrame(
                ticket, direction, spi, standby, local, remote, encap, limits, policy
            )
        )

    def remove_sa(
        self, direction: Direction, spi: int, policy: int | None = None
    ) -> Awaitable[None]:
        return self._do(lambda ticket: RemoveSaFrame(ticket, direction, spi, policy))

    def flush(self) -> Awaitable[None]:
        return self._do(Flush)

    def sas(self) -> Awaitable[tuple[SaState, ...]]:
        return self._gather(lambda ticket: Query(ticket, "sas"), SaState)

    def policies(self) -> Awaitable[tuple[PolicyState, ...]]:
        return self._gather(lambda ticket: Query(ticket, "policies"), PolicyState)

    async def interfaces(self) -> tuple[InterfaceState, ...]:
        reply = await self._ask(Interfaces, lambda ticket: Query(ticket, "interfaces"))
        return reply.interfaces

    async def counters(self) -> Mapping[str, int]:
        reply = await self._ask(Counters, lambda ticket: Query(ticket, "counters"))
        return reply.counters

    async def resolve_local(self, remote: str) -> str | None:
        reply = await self._ask(LocalAddress, lambda ticket: ResolveLocal(ticket, remote))
        return reply.address

    def keepalive(
        self, local: EndpointSpec, remote: EndpointSpec, every_ms: int
    ) -> Awaitable[None]:
        return self._do(lambda ticket: KeepaliveFrame(ticket, local, remote, every_ms))

    def cork(self) -> None:
        self._corked = True

    def uncork(self) -> None:
        self._corked = False
        if self._queue and self._open and not self._waits_to_write:
            self._send_queue()

    def send_datagram(self, local: EndpointSpec, remote: EndpointSpec, octets: bytes) -> None:
        if self._open and self._write(DatagramOut(local, remote, octets)):
            return
        self.losses["datagram_queue_full" if self._open else "datagram_no_plane"] += 1

    def _do(self, frame: Callable[[int], Frame]) -> "asyncio.Future[None]":
        # Begun here and not in a coroutine: the frame leaves now even if nobody awaits it yet.
        return self._start(frame, is_deed=True)

    async def _ask(self, kind: type[T], frame: Callable[[int], Frame]) -> T:
        reply = await self._start(frame)
        if not isinstance(reply, kind):
            raise PlaneRefused(f"the data plane answered {type(reply).__name__}")
        return reply

    async def _gather(self, frame: Callable[[int], Frame], kind: type[T]) -> tuple[T, ...]:
        parts = await self._start(frame)
        if not isinstance(parts, tuple) or not all(isinstance(part, kind) for part in parts):
            raise PlaneRefused("the data plane answered something else")
        return cast(tuple[T, ...], parts)

    def _start(
        self, frame: Callable[[int], Frame], *, is_deed: bool = False
    ) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._open:
            future.set_exception(PlaneLost("there is no data plane"))
            return future
        self._ticket = self._ticket % 0xFFFF_FFFF + 1
        ticket = self._ticket
        self._pending[ticket] = _Pending(future, is_deed)
        deadline = self._loop.time() + REPLY_TIMEOUT_S
        self._deadlines.append((deadline, ticket))
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._give_up)
        try:
            written = self._write(frame(ticket))
        except PlaneRefused as error:
            self._finish(ticket, error)
            return future
        # Where writing showed that nobody is there, it has failed with all the others.
        if not written and self._open:
            self._finish(ticket, PlaneLost("the data plane does not keep up"))
        return future

    def _write(self, frame: Frame) -> bool:
        """Send or queue; False when the queue is full, or the connection is found to be lost.

        Raises PlaneRefused for a frame that cannot be said or is too large."""
        try:
            octets = encoder.encode(frame)
        except (OverflowError, ValueError) as error:
            raise PlaneRefused(f"a {type(frame).__name__} that cannot be said: {error}") from None
        if len(octets) > FRAME_MAX:
            raise PlaneRefused(f"a frame of {len(octets)} octets is larger than {FRAME_MAX}")
        if len(self._queue) >= QUEUE_MAX:
            return False
        self._queue.append(octets)
        corked = self._corked and len(self._queue) < CORKED_MAX
        if not corked and not self._waits_to_write:
            self._send_queue()
        return self._open

    def _send_queue(self) -> None:
        """As much as the socket takes; the rest when it takes more."""
        send, queue = self._connection.send, self._queue
        while queue:
            try:
                send(queue[0])
            except BlockingIOError:
                if not self._waits_to_write:
                    self._waits_to_write = True
                    self._loop.add_writer(self._connection, self._send_queue)
                return
            except OSError:
                self._lose()
                return
            queue.popleft()
        if self._waits_to_write:
            self._waits_to_write = False
            self._loop.remove_writer(self._connection)

    def _readable(self) -> None:
        for _ in range(READS_PER_WAKE_UP):
            if not self._open:
                return
            try:
                count = self._connection.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                self._lose()
                return
            if count == 0:
                self._lose()
                return
            self._take(memoryview(self._buffer)[:count])

    def _take(self, octets: memoryview) -> None:
        if len(octets) > FRAME_MAX:
            self.losses["frame_too_large"] += 1
            return
        try:
            frame = from_plane.decode(octets)
        except msgspec.MsgspecError:
            # One frame that cannot be read does not end the tunnels; its command times out.
            self.losses["frame_not_understood"] += 1
            return
        match frame:
            case Sas(ticket, more, sas):
                self._take_part(ticket, more, sas)
            case Policies(ticket, more, policies):
                self._take_part(ticket, more, policies)
            case Welcome() | Done() | Refused() | Interfaces() | Counters() | LocalAddress():
                self._take_reply(frame)
            case _:
                self._on_notice(frame)

    def _take_part(
        self, ticket: int, more: bool, parts: tuple[SaState, ...] | tuple[PolicyState, ...]
    ) -> None:
        pending = self._pending.get(ticket)
        if pending is None:
            self.losses["reply_too_late"] += 1
            return
        pending.parts += parts
        if not more:
            self._finish(ticket, tuple(pending.parts))

    def _take_reply(self, reply: Reply) -> None:
        if reply.ticket not in self._pending:
            self.losses["reply_too_late"] += 1
        elif isinstance(reply, Refused):
            self._finish(reply.ticket, PlaneRefused(reply.reason))
        else:
            self._finish(reply.ticket, reply)

    def _finish(self, ticket: int, outcome: object) -> None:
        pending = self._pending.pop(ticket)
        self._forget_deadlines()
        if pending.future.done():
            return
        if isinstance(outcome, Exception):
            pending.future.set_exception(outcome)
        elif not pending.is_deed:
            pending.future.set_result(outcome)
        elif isinstance(outcome, Done):
            pending.future.set_result(None)
        else:
            pending.future.set_exception(PlaneRefused(f"unexpected answer {outcome!r}"))

    def _forget_deadlines(self) -> None:
        """Those of commands that are answered, up to the first that is not."""
        while self._deadlines and self._deadlines[0][1] not in self._pending:
            self._deadlines.popleft()

    def _give_up(self) -> None:
        """The timer: whoever has had no answer in time gets none. It goes on while commands wait,
        whichever they are."""
        self._timer = None
        now = self._loop.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, ticket = self._deadlines[0]
            self.losses["reply_timeout"] += 1
            self._finish(ticket, PlaneLost(f"no answer within {REPLY_TIMEOUT_S:g} s"))
        if self._deadlines:
            self._timer = self._loop.call_at(self._deadlines[0][0], self._give_up)

    def _lose(self) -> None:
        if self._open:
            self._end("the data plane went away")
            self._on_lost()

    def _end(self, reason: str) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)
        self._connection.close()
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ticket in tuple(self._pending):
            self._finish(ticket, PlaneLost(reason))


def _set_policies(
    policies: tuple[PolicySpec, ...], more: bool, part: int, ticket: int
) -> SetPolicies:
    return SetPolicies(ticket, policies, more, part)


def _parts(policies: Sequence[PolicySpec]) -> list[tuple[PolicySpec, ...]]:
    """The policies cut so that each part fits a frame; at least one part, perhaps empty."""
    parts: list[list[PolicySpec]] = [[]]
    filled = 0
    for policy in policies:
        octets = len(encoder.encode(policy))
        if parts[-1] and filled + octets > PART_OCTETS:
            parts.append([])
            filled = 0
        parts[-1].append(policy)
        filled += octets
    return [tuple(part) for part in parts]


def _joined(outcomes: "Sequence[asyncio.Future[None]]") -> "asyncio.Future[None]":
    """Done when all are; the first error of any."""
    joined: asyncio.Future[None] = outcomes[0].get_loop().create_future()

    def finish(all_of_them: "asyncio.Future[list[None]]") -> None:
        if joined.done():
            return
        error = all_of_them.exception()
        if error is not None:
            joined.set_exception(error)
        else:
            joined.set_result(None)

    asyncio.gather(*outcomes).add_done_callback(finish)
    return joined
