"""Pings and transfers between a lab's hosts, from outside: the asking half of traffic.py."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from isthmus.lab.namespaces import World, end
from isthmus.lab.program import account, await_ready, final_account, program

_TRAFFIC: Final = program("traffic.py")
_TRANSFER_PORT: Final = 5999
_WHAT: Final = "a traffic program"


@dataclass(frozen=True, slots=True)
class PingResult:
    """What came of a run of echo requests."""

    sent: int
    received: int
    duplicates: int
    errors: int
    lost: tuple[int, ...]
    round_trips_ms: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What came of a TCP transfer; `match` says that both ends computed the same SHA-256."""

    octets: int
    seconds: float
    match: bool

    @property
    def megabits_per_second(self) -> float:
        """Payload bits a second, in millions."""
        return self.octets * 8 / self.seconds / 1e6


@dataclass(slots=True)
class Pinging:
    """A ping that runs until `finish`."""

    _process: "subprocess.Popen[str]" = field(repr=False)

    def finish(self, *, timeout_s: float = 20.0) -> PingResult:
        """Stop sending, wait for late replies, and return the account."""
        return _ping_result(final_account(self._process, "the ping", timeout_s))

    def abandon(self) -> None:
        """End it without an account."""
        end(self._process)


def ping(
    world: World,
    host: str,
    address: str,
    *,
    count: int,
    interval_s: float = 0.2,
    size: int = 56,
    wait_s: float = 2.0,
    text: str = "",
) -> PingResult:
    """`count` echo requests from a host of the lab; waits up to `wait_s` for the last replies.

    `text` travels at the end of each request, for who looks for it in a capture.
    """
    output = world.run(
        host,
        [
            *(*_TRAFFIC, "ping", address, f"--count={count}", f"--interval={interval_s}"),
            *(f"--size={size}", f"--wait={wait_s}", f"--text={text}"),
        ],
        timeout_s=count * interval_s + wait_s + 10,
    )
    return _ping_result(account(output))


def start_ping(
    world: World,
    host: str,
    *addresses: str,
    interval_s: float,
    size: int = 56,
    wait_s: float = 2.0,
) -> Pinging:
    """Echo requests at a steady rate until told to finish, to several addresses in turn."""
    process = world.start(
        host,
        [
            *(*_TRAFFIC, "ping", *addresses, f"--interval={interval_s}"),
            *(f"--size={size}", f"--wait={wait_s}"),
        ],
        stdin=subprocess.PIPE,
    )
    await_ready(process, _WHAT)
    return Pinging(process)


def transfer(
    world: World,
    source: str,
    target: str,
    address: str,
    octets: int,
    *,
    own_address: str = "",
    timeout_s: float = 60.0,
) -> TransferResult:
    """Send random octets over TCP from one host to another host's address and compare digests.

    `own_address` is what the other host itself calls its address, when that is mapped on the way.
    """
    server = world.start(target, [*_TRAFFIC, "serve", own_address or address, str(_TRANSFER_PORT)])
    try:
        await_ready(server, _WHAT)
        output = world.run(
            source,
            [*_TRAFFIC, "send", address, str(_TRANSFER_PORT), str(octets)],
            timeout_s=timeout_s,
        )
    finally:
        end(server)
    found = account(output)
    return TransferResult(found["octets"], found["seconds"], found["match"])


def _ping_result(found: Mapping[str, Any]) -> PingResult:
    return PingResult(
        sent=found["sent"],
        received=found["received"],
        duplicates=found["duplicates"],
        errors=found["errors"],
        lost=tuple(found["lost"]),
        round_trips_ms=tuple(found["round_trips_ms"]),
        seconds=found["seconds"],
    )
