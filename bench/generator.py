"""Small datagrams at a steady rate: the driver of generator/ (Rust, for the rate that it takes)."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from isthmus.lab.namespaces import LabError, World
from isthmus.lab.program import await_ready, final_account
from isthmus.lab.topology import SITE_A, SITE_B

PROGRAM = Path(__file__).parent.parent / "target" / "bench" / "release" / "bench-generator"
"""What `make bench` builds."""
_PORT = 5301
_WHAT = "the generator"
# Time for what is on its way to arrive.
_SETTLE_S = 0.3


@dataclass(frozen=True, slots=True)
class Offer:
    """What came of datagrams at one rate."""

    offered: int
    """How many the rate and the time asked for."""
    sent: int
    received: int
    seconds: float

    @property
    def lost(self) -> float:
        """Share of the sent ones that did not arrive."""
        return 1 - self.received / self.sent if self.sent else 1.0

    @property
    def sender_kept_up(self) -> bool:
        """Whether the sender sent what it was told to: else it is the limit."""
        return self.sent >= 0.98 * self.offered

    @property
    def rate(self) -> float:
        """Datagrams a second that arrived."""
        return self.received / self.seconds


@dataclass(frozen=True, slots=True)
class Aim:
    """From which host to which, and to which addresses."""

    source: str = SITE_A.host
    target: str = SITE_B.host
    address: str = SITE_B.host4
    last: str = ""
    """IPv4 addresses from `address` to this one take turns; the target must have them all."""
    step: int = 1
    """How far apart they are."""


def offer(world: World, aim: Aim, rate: int, seconds: float, *, octets: int = 36) -> Offer:
    """Datagrams at a rate; 36 octets behind IPv4's and UDP's headers are packets of 64."""
    if not PROGRAM.exists():
        raise LabError("The generator is not built.", fix="Use `make bench`.")
    at = "0.0.0.0" if aim.last else aim.address
    receiver = world.start(
        aim.target, [str(PROGRAM), "receive", at, str(_PORT)], stdin=subprocess.PIPE
    )
    await_ready(receiver, _WHAT)
    spread = ("--last", aim.last, "--step", str(aim.step)) if aim.last else ()
    sender = json.loads(
        world.run(
            aim.source,
            [
                *(str(PROGRAM), "send", aim.address, str(_PORT), "--rate", str(rate)),
                *("--seconds", f"{seconds:g}", "--octets", str(octets), *spread),
            ],
            timeout_s=seconds + 30,
        )
    )
    sleep(_SETTLE_S)
    received = final_account(receiver, _WHAT, 10.0)
    return Offer(
        offered=round(rate * seconds),
        sent=int(sender["sent"]),
        received=int(received["received"]),
        seconds=float(sender["seconds"]),
    )
