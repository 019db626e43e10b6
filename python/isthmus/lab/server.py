"""A daemon in one network namespace of a world: its process and the log that it keeps."""

import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from isthmus.lab.namespaces import LabError, World, end, kill


@dataclass(slots=True)
class Server(ABC):
    """A daemon with a folder of its own."""

    GRACE_S: ClassVar[float] = 3.0
    """How long it may take to end, when asked to."""

    world: World
    namespace: str
    directory: Path
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False, repr=False)

    @property
    @abstractmethod
    def log(self) -> Path:
        """The file in which it says what it does."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers on its control socket."""

    @property
    def pid(self) -> int | None:
        """Process group of the running daemon, as seen from outside the world."""
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """End the daemon; it tells its peers first."""
        if self._process is not None:
            end(self._process, grace_s=self.GRACE_S)
            self._process = None

    def kill(self) -> None:
        """End all its processes at once, as a loss of power would; nobody is told."""
        if self._process is not None:
            kill(self._process)
            self._process = None

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def _await(self, process: "subprocess.Popen[str]", name: str, patience_s: float) -> None:
        """Take a process that was just started for the daemon's, and wait until it answers.

        Raises LabError with the end of its log, and ends it, when it does not.
        """
        self._process = process
        deadline = time.monotonic() + patience_s
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LabError(
                    f"{name} did not start in {self.namespace}.",
                    " / ".join(self.log_tail(4).splitlines()),
                )
            time.sleep(0.02)
