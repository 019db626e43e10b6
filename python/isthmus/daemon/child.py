"""A child process that is started again when it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol


class Inherited(Protocol):
    """Something open that a child gets: a socket, a file."""

    def fileno(self) -> int:
        """Its descriptor."""

    def close(self) -> None:
        """Let go of it here."""


Command = Callable[[], tuple[Sequence[str], Sequence[Inherited]]]

STABLE_S = 5.0
"""A child that lived so long is started again at once; others wait longer each time."""
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 5.0


class Child:
    """One child at a time. `command` is asked anew for each start; it gives the interpreter's
    arguments and what the child inherits, which is closed here once it has it."""

    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._started_s = 0.0
        self._pause_s = 0.0
        self.starts = 0
        """How often it was started."""
        self.restart_at_s: float | None = None
        """Monotonic seconds when it is to be started again; None: it runs, or is not wanted."""

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def pidfd(self) -> int:
        """Readable when it has ended; -1 while there is none."""
        return self._pidfd

    def start(self) -> None:
        """Start it. Raises OSError when the system cannot."""
        arguments, inherited = self._command()
        self.restart_at_s = None
        try:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=[end.fileno() for end in inherited],
                # Ctrl-C in a terminal is for the supervisor, which ends the children in order.
                start_new_session=True,
            )
        finally:
            for end in inherited:
                end.close()
        self._pidfd = os.pidfd_open(self._process.pid)
        self._started_s = time.monotonic()
        self.starts += 1

    def ended(self) -> str:
        """Take note of its end and plan the next start. Returns how it ended, as a sentence."""
        assert self._process is not None
        status = self._process.wait()
        self._forget()
        now = time.monotonic()
        if now - self._started_s >= STABLE_S:
            self._pause_s = 0.0
        self.restart_at_s = now + self._pause_s
        self._pause_s = min(max(PAUSE_FIRST_S, self._pause_s * 2), PAUSE_MAX_S)
        if status < 0:
            return f"{self.name} was ended by {signal.Signals(-status).name}"
        return f"{self.name} ended with status {status}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, by pid descriptor: never to another process of the same number."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def stop(self, wait_s: float, ask: bool = True) -> None:
        """End it for good: SIGTERM (unless it was asked otherwise), then SIGKILL."""
        self.restart_at_s = None
        if self._process is None:
            return
        if ask:
            self.signal(signal.SIGTERM)
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        os.close(self._pidfd)
        self._pidfd = -1
