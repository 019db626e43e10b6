"""One-way flows between a lab's hosts, from outside: the asking half of flow.py."""

import subprocess
from dataclasses import dataclass, field
from typing import Final

from isthmus.lab.namespaces import LabError, World, end
from isthmus.lab.program import await_ready, final_account, program

_PROGRAM: Final = program("flow.py")
_PORT: Final = 5998
_WHAT: Final = "a flow"


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
            sent = final_account(self._sender, _WHAT, timeout_s)
            came = final_account(self._sink, _WHAT, timeout_s)
        except LabError:
            self.abandon()
            raise
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
        await_ready(sink, _WHAT)
        rate = (f"--interval={interval_s}", f"--size={size}")
        sender = world.start(
            source, [*_PROGRAM, "send", address, str(port), *rate], stdin=subprocess.PIPE
        )
        await_ready(sender, _WHAT)
    except BaseException:
        end(sink)
        raise
    return Flow(sender, sink)
