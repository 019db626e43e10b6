"""Private namespaces on this machine, and running commands in them.

`World.create` starts the holder (holder.py); `World.attach` finds one that an earlier command made.
Inside, named network namespaces are made with `ip netns` as usual; their names are private to the
world, so two worlds never meet.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

_HOLDER = Path(__file__).with_name("holder.py")
_HOLDER_START_S = 10.0
# Programs an unprivileged user's PATH often lacks live in the sbin directories.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab cannot do what was asked: what happened, why, and what to do, as sentences."""

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(" ".join(part for part in (what, why, fix) if part))
        self.what = what
        self.why = why
        self.fix = fix


class LabNotPermitted(LabError):
    """The system refuses the namespaces a lab needs."""


class CommandFailed(LabError):
    """A command inside the lab ended badly; carries what it printed."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with status {status}: {output.strip()}")
        self.status = status
        self.output = output


def start_ticks(pid: int) -> int | None:
    """When this process started, in clock ticks since boot; None when there is no such process.

    Together with the pid it names a process for ever, also after the pid is used again.
    """
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on (field 3); None when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the name in brackets and may hold blanks.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields


@dataclass(frozen=True, slots=True)
class Holder:
    """Process 1 of a world, named so that a reused pid is not mistaken for it."""

    pid: int
    started_ticks: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_ticks(self.pid) == self.started_ticks


@dataclass(slots=True)
class World:
    """One set of user, mount, network and process namespaces."""

    directory: Path
    holder: Holder
    rootless: bool
    _outer: subprocess.Popen[str] | None = field(default=None, repr=False)

    @classmethod
    def create(cls, directory: Path, *, attached: bool, rootless: bool | None = None) -> "World":
        """Make a new world; `attached` ones end with this process, whatever ends it.

        `rootless` asks for a user namespace; None: unless this process is root's.

        Raises LabNotPermitted when the system refuses, LabError when a tool is missing.
        """
        for tool in ("nsenter", "ip", "sysctl"):
            if shutil.which(tool, path=_SYSTEM_PATH) is None:
                raise LabError(
                    f"The lab needs the command {tool}, which is not here.",
                    fix="Install util-linux, iproute2 and procps.",
                )
        rootless = os.geteuid() != 0 if rootless is None else rootless
        wishes = ["attached"] * attached + ["rootless"] * rootless
        outer = subprocess.Popen(
            [sys.executable, "-I", str(_HOLDER), str(directory), *wishes],
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert outer.stdout is not None
        answer = outer.stdout.readline().split(maxsplit=2)
        if len(answer) != 2 or answer[0] != "ready":
            outer.wait(_HOLDER_START_S)
            raise _refusal(answer[2].strip() if len(answer) == 3 else "no answer")
        pid = int(answer[1])
        ticks = start_ticks(pid)
        if ticks is None:
            raise LabError("The lab's holder process ended at once.")
        if not attached:
            outer.wait(_HOLDER_START_S)
        return cls(directory, Holder(pid, ticks), rootless, outer if attached else None)

    @classmethod
    def attach(cls, directory: Path, holder: Holder, *, rootless: bool) -> "World":
        """A world that another process made. Raises LabError when it is gone."""
        if not holder.alive:
            raise LabError(
                "The lab's namespaces are gone.",
                "Its first process has ended.",
                "Take the rest down with `isthmus lab down`.",
            )
        return cls(directory, holder, rootless)

    def command(self, namespace: str | None, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in a network namespace of this world."""
        enter = ["nsenter", "--target", str(self.holder.pid), "--mount", "--net", "--pid"]
        if self.rootless:
            enter += ["--user", "--preserve-credentials"]
        inside = ["ip", "netns", "exec", namespace] if namespace is not None else []
        return [*enter, *inside, *argv]

    def start(
        self,
        namespace: str | None,
        argv: Sequence[str],
        *,
        stdin: int | IO[str] | None = subprocess.DEVNULL,
        stdout: int | IO[str] | None = subprocess.PIPE,
        stderr: int | IO[str] | None = subprocess.STDOUT,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[str]":
        """Start a program inside, in a process group of its own (see `end`)."""
        return subprocess.Popen(
            self.command(namespace, argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            env=_environment(environment),
            start_new_session=True,
        )

    def run(
        self,
        namespace: str | None,
        argv: Sequence[str],
        *,
        input_text: str | None = None,
        timeout_s: float = 30.0,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program to its end and return what it printed.

        Raises CommandFailed on a status other than 0, and LabError after `timeout_s`.
        """
        process = self.start(
            namespace,
            argv,
            stdin=subprocess.PIPE if input_text is not None else subprocess.DEVNULL,
            environment=environment,
        )
        try:
            output, _ = process.communicate(input_text, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            end(process)
            raise LabError(f"{' '.join(argv)} did not end within {timeout_s:g} s") from None
        except BaseException:
            end(process)
            raise
        if process.returncode != 0:
            raise CommandFailed(argv, process.returncode, output)
        return output

    def foreground(self, namespace: str, argv: Sequence[str]) -> int:
        """Run a program on the user's own terminal and return its exit status."""
        return subprocess.call(self.command(namespace, argv), env=_environment(None))

    def close(self) -> None:
        """End every process of this world; its namespaces vanish with them."""
        if self.holder.alive:
            os.kill(self.holder.pid, signal.SIGKILL)
        if self._outer is not None:
            if self._outer.stdin is not None:
                self._outer.stdin.close()
            if self._outer.stdout is not None:
                self._outer.stdout.close()
            self._outer.wait(_HOLDER_START_S)
            self._outer = None


def end(process: "subprocess.Popen[str]", *, grace_s: float = 3.0) -> None:
    """End a program started by `World.start` and its children: politely, then not.

    Returns when the last of them is gone.
    """
    # The leader, nsenter, waits for the program inside and ends with it. Killed first, it would
    # leave a zombie to whoever inherits orphans on this machine.
    _signal(_group(process.pid) - {process.pid}, signal.SIGTERM)
    if not _gone(process, grace_s):
        _signal(_group(process.pid), signal.SIGKILL)
        _gone(process, 10.0)
    _close(process)


def kill(process: "subprocess.Popen[str]") -> None:
    """End a program started by `World.start` without a chance to say a word."""
    _signal(_group(process.pid) - {process.pid}, signal.SIGKILL)
    _gone(process, 10.0)
    _close(process)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _close(process: "subprocess.Popen[str]") -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _gone(process: "subprocess.Popen[str]", wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while process.poll() is None or _group(process.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _group(leader: int) -> set[int]:
    """The living processes of a process group."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and int(fields[2]) == leader:
                found.add(int(entry.name))
    return found


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment["PATH"] = f"{environment.get('PATH', '')}:{_SYSTEM_PATH}".lstrip(":")
    environment.update(extra or {})
    return environment


_BLOCKING_SYSCTLS: Final = {
    "kernel.apparmor_restrict_unprivileged_userns": "1",
    "kernel.unprivileged_userns_clone": "0",
    "user.max_user_namespaces": "0",
}


def _refusal(reason: str) -> LabNotPermitted:
    """The exact cause, as far as it can be found, and the ways out."""
    if os.geteuid() == 0:
        return LabNotPermitted(
            "This system refuses namespaces even to root.",
            f"The kernel says: {reason}.",
            "In a container, start it with --privileged; or use the host.",
        )
    for name, blocking in _BLOCKING_SYSCTLS.items():
        path = Path("/proc/sys") / name.replace(".", "/")
        if path.exists() and path.read_text(encoding="ascii").strip() == blocking:
            return LabNotPermitted(
                "This system refuses user namespaces.",
                f"{name} = {blocking}.",
                "Use `sudo isthmus lab up`, or change that sysctl.",
            )
    return LabNotPermitted(
        "This system refuses user namespaces.",
        f"The kernel says: {reason}.",
        "Use `sudo isthmus lab up`, or a system that allows them to everybody.",
    )
