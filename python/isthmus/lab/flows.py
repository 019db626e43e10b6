"""One-way flows between a lab's hosts, from outside: the asking half of flow.py."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from isthmus.lab.namespaces import CommandFailed, LabError, World, end

_PROGRAM: Final = [sys.executable, "-I", str(Path(__file__).with_name("flow.py"))]
_PORT: Final = 5998


@dataclass(frozen=True, slots=True)
class FlowResult:
    """What came of a one-way flow: every datagram counted at the far end, in any order."""

    sent: int
    received: int
    duplicates: int
    errors: int
    """Sends that the system refused; they are not among `sent`."""
    lost: tuple[int, ...]
    """Numbers of those that never came; number / rate is about when each was sent."""
    dropped_at_sink: int
    """Of the lost, those that came and found the receiving program's buffer full."""
    seconds: float


@dataclass(slots=True)
class Flow:
    """A flow that runs until `finish`."""

    _sender: "subprocess.Popen[str]" = field(repr=False)
    _sink: "subprocess.Popen[str]" = field(repr=False)

    def finish(self, *, timeout_s: float = 60.0) -> FlowResult:
        """Stop sending, wait until nothing comes any more, and return the account."""
        try:
            sent = _account(self._sender, timeout_s)
            came = _account(self._sink, timeout_s)
        except subprocess.TimeoutExpired:
            self.abandon()
            raise LabError("a flow did not end") from None
        tail = range(came["highest"] + 1, sent["sent"])
        return FlowResult(
            sent=sent["sent"],
            received=came["received"],
            duplicates=came["duplicates"],
            errors=sent["errors"],
            lost=(*came["missing"], *tail),
            dropped_at_sink=came["dropped_here"],
            seconds=sent["seconds"],
        )

    def abandon(self) -> None:
        """End it without an account."""
        end(self._sender)
        end(self._sink)


def start(
    world: World,
    source: str,
    target: str,
    address: str,
    *,
    interval_s: float,
    size: int = 200,
    port: int = _PORT,
) -> Flow:
    """Datagrams from one host to another's address, at a steady rate until told to finish."""
    sink = world.start(target, [*_PROGRAM, "sink", address, str(port)], stdin=subprocess.PIPE)
    try:
        _await_ready(sink)
        rate = (f"--interval={interval_s}", f"--size={size}")
        sender = world.start(
            source, [*_PROGRAM, "send", address, str(port), *rate], stdin=subprocess.PIPE
        )
        _await_ready(sender)
    except BaseException:
        end(sink)
        raise
    return Flow(sender, sink)


def _await_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    if line.strip() != "ready":
        rest = process.stdout.read()
        end(process)
        raise LabError(f"a flow did not start: {line}{rest}")


def _account(process: "subprocess.Popen[str]", timeout_s: float) -> dict[str, Any]:
    """Close a program's standard input, and read the account that it then gives."""
    output, _ = process.communicate("", timeout=timeout_s)
    if process.returncode != 0:
        raise CommandFailed(["flow"], process.returncode, output)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found
