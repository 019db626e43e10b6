"""The supervisor: small, privileged, and the only one that changes the machine's network.

It starts the plane and the IKE process, starts either again when it ends, carries out what the IKE
process asks about the network, and takes everything down in order at the end. It reads nothing
that comes from the internet.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from isthmus.backends.wishes import NetworkWish, closed
from isthmus.daemon import channel
from isthmus.daemon.channel import (
    Applied,
    Apply,
    Fatal,
    PlaneSilent,
    Pulse,
    Ready,
    Reload,
    Reloaded,
    ShutDown,
    Status,
)
from isthmus.daemon.child import Child, Inherited
from isthmus.daemon.notify import ServiceManager
from isthmus.daemon.runtime import Runtime
from isthmus.daemon.status import EXIT_FAILED, EXIT_OK
from isthmus.daemon.tallies import Tallies
from isthmus.values.errors import LocalFault

if TYPE_CHECKING:
    from isthmus.backends.network import Network

FAREWELL_S = 3.0
"""How long the IKE process may take to take leave of the peers."""
PLANE_STOP_S = 1.0
SILENCE_MAX_S = 15.0
"""An IKE process whose event loop gives no sign for so long is ended and started again."""
TICK_S = 1.0
FRAMES_PER_WAKE_UP = 16

Say = Callable[[str], None]


class Supervisor:
    """One run of the daemon, from `run` to its return."""

    def __init__(
        self, config: Path, control: Path, runtime: Runtime, say: Say, fail_closed: bool = False
    ) -> None:
        """`fail_closed`: what an earlier run left closed stays so if this one never gets to the
        point of saying what it protects."""
        self._config = config
        self._fail_closed = fail_closed
        self._control = control
        self._runtime = runtime
        self._say = say
        self._manager = ServiceManager(dict(os.environ))
        self._selector = selectors.DefaultSelector()
        self._channel: socket.socket | None = None
        self._network: Network | None = None
        self._applied: NetworkWish | None = None
        self._heard_s = time.monotonic()
        self._wish = NetworkWish()
        """Parts of a desired state whose last has not come yet."""
        self._overfull = False
        """It was refused already; what is left of it is passed over."""
        self._was_ready = False
        self._exit: int | None = None
        self._tallies = Tallies()
        self._plane = Child("the data plane", self._plane_command)
        self._ike = Child("the IKE process", self._ike_command)

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until nothing can be done. Returns the exit status."""
        wake_up, waker = _catch_signals()
        self._selector.register(wake_up, selectors.EVENT_READ)
        try:
            for child in (self._plane, self._ike):
                self._start(child)
            self._network = _open_network()
            while self._exit is None:
                self._turn(wake_up)
        finally:
            self._stop()
            signal.set_wakeup_fd(-1)
            for end in (wake_up, waker):
                end.close()
            self._selector.close()
        return self._exit

    def _turn(self, wake_up: socket.socket) -> None:
        for key, _ in self._selector.select(self._pause_s()):
            if key.fileobj is wake_up:
                self._on_signal(wake_up.recv(64))
            elif key.fileobj is self._channel:
                self._on_frames()
            else:
                for child in (self._plane, self._ike):
                    if key.fd == child.pidfd:
                        self._on_end(child)
                        break
        self._on_tick(time.monotonic())

    def _pause_s(self) -> float:
        """How long nothing has to be done unless something happens."""
        due = [c.restart_at_s for c in (self._plane, self._ike) if c.restart_at_s is not None]
        period = self._manager.watchdog_s
        longest = TICK_S if period is None else min(TICK_S, period / 3)
        return max(0.0, min([longest, *(at - time.monotonic() for at in due)]))

    def _on_tick(self, now: float) -> None:
        for child in (self._plane, self._ike):
            if child.restart_at_s is not None and child.restart_at_s <= now:
                self._start(child)
        silent_s = now - self._heard_s
        if self._ike.pid is not None and silent_s > SILENCE_MAX_S:
            self._say(f"the IKE process gave no sign of life for {silent_s:.0f} s: ending it")
            self._heard_s = now
            self._ike.signal(signal.SIGKILL)
        elif self._manager.watchdog_s is not None and silent_s < SILENCE_MAX_S:
            self._manager.say("WATCHDOG=1")

    def _on_signal(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload()
            else:
                self._exit = EXIT_OK

    def _reload(self) -> None:
        """An IKE process that is being started reads the file anyway."""
        self._manager.say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        if self._channel is None or not channel.send(self._channel, Reload()):
            self._say("SIGHUP: the IKE process is being started and reads the configuration then")
            self._manager.say("READY=1")

    def _on_end(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        how = child.ended()
        if child is self._ike:
            self._on_frames()  # its last words, a Fatal perhaps
            self._close_channel()
        if self._exit is None:
            self._say(f"{how}; starting it again")

    def _on_frames(self) -> None:
        for _ in range(FRAMES_PER_WAKE_UP):
            octets = channel.receive(self._channel) if self._channel is not None else None
            if octets is None:
                return
            if not octets:
                self._close_channel()
                return
            try:
                message = channel.from_ike.decode(octets)
            except msgspec.MsgspecError:
                self._say("the IKE process sent a frame that cannot be read")
                continue
            self._on_message(message)

    def _on_message(self, message: channel.FromIke) -> None:
        match message:
            case Pulse():
                self._heard_s = time.monotonic()
            case PlaneSilent():
                self._say("the data plane does not answer: ending it")
                self._plane.signal(signal.SIGKILL)
            case Status(text):
                self._manager.say(f"STATUS={text}")
            case Apply(wish, more):
                answer = self._gather(wish, more)
                if answer is not None and self._channel is not None:
                    channel.send(self._channel, answer)
            case Reloaded():
                self._manager.say("READY=1")
            case Ready():
                self._was_ready = True
                self._manager.say("READY=1")
            case Fatal(reason):
                self._say(reason)
                if not self._was_ready:
                    self._exit = EXIT_FAILED

    def _gather(self, wish: NetworkWish, more: bool) -> Applied | None:
        """Carry a state out once all of it is there."""
        if self._overfull:
            self._overfull = more
            return None
        try:
            self._wish = channel.joined(self._wish, wish)
        except LocalFault as fault:
            self._wish, self._overfull = NetworkWish(), more
            return Applied(error=str(fault))
        if more:
            return None
        whole, self._wish = self._wish, NetworkWish()
        return self._apply(whole)

    def _apply(self, wish: NetworkWish) -> Applied:
        assert self._network is not None
        try:
            warnings = self._network.apply(wish)
        except LocalFault as fault:
            return Applied(error=str(fault))
        self._applied = wish
        return Applied(warnings=warnings)

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            self._say(f"{child.name} cannot be started: {error.strerror}")
            self._exit = EXIT_FAILED
            return
        self._heard_s = time.monotonic()
        self._selector.register(child.pidfd, selectors.EVENT_READ)

    def _plane_command(self) -> tuple[Sequence[str], Sequence[Inherited]]:
        tallies = self._tallies.copy()
        arguments = ["-m", "isthmus.daemon.plane", str(self._runtime.plane_socket)]
        return [*arguments, str(os.getpid()), str(tallies.fileno())], [tallies]

    def _ike_command(self) -> tuple[Sequence[str], Sequence[Inherited]]:
        self._close_channel()
        self._channel, theirs = channel.pair()
        self._selector.register(self._channel, selectors.EVENT_READ)
        arguments = {
            "--config": str(self._config),
            "--plane": str(self._runtime.plane_socket),
            "--socket": str(self._control),
            "--channel": str(theirs.fileno()),
            "--parent": str(os.getpid()),
        }
        words = [word for pair in arguments.items() for word in pair]
        return ["-m", "isthmus.daemon.ike", *words], [theirs]

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
            self._channel = None
            self._wish, self._overfull = NetworkWish(), False

    def _stop(self) -> None:
        """In this order: peers are told, packets stop, the network is as it was before, or what
        the tunnels protected stays unreachable."""
        self._manager.say("STOPPING=1")
        told = self._channel is not None and channel.send(self._channel, ShutDown())
        self._ike.stop(FAREWELL_S, ask=not told)
        self._plane.stop(PLANE_STOP_S)
        self._close_channel()
        if self._network is not None:
            try:
                self._leave(self._network)
            except LocalFault as fault:
                self._say(str(fault))
            self._network.close()
        self._tallies.close()

    def _leave(self, network: "Network") -> None:
        """Raises LocalFault when the kernel refuses."""
        if self._applied is None and self._fail_closed:
            self._say("fail_closed: the network is left as it was found")
        elif self._applied is not None and self._applied.stays_closed:
            network.apply(closed(self._applied))
            self._say(
                "fail_closed: what the tunnels protect stays unreachable until isthmusd runs "
                "again; `isthmusd --open` lets it go in clear"
            )
        else:
            network.remove()


def _open_network() -> "Network":
    # Its netlink library takes 0.3 s to import: the children start meanwhile.
    from isthmus.backends.network import Network

    return Network()


def _catch_signals() -> tuple[socket.socket, socket.socket]:
    """The first end becomes readable when a signal comes, and gives its number."""
    wake_up, waker = socket.socketpair()
    for end in (wake_up, waker):
        end.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    return wake_up, waker
