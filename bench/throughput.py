"""TCP from one host to the other, and the processor time that it took.

Processor time is that of both gateways' daemons together (`daemons`), and that of everything on
the machine, hosts and iperf3 included (`machine`).
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, Trial
from bench.processes import machine_spent_s, spent_s
from bench.ways import Road, Setup, Way, setups
from isthmus.lab.namespaces import World, end
from isthmus.lab.topology import SITE_A, SITE_B

BENCH = "throughput"
COST = "processor"
STREAMS = (1, 4)
_PORT = 5201
_COST_UNIT = "s/Gbit"


def trials(
    ways: Sequence[Way], ciphers: tuple[str, ...], seconds: float, *, whole: bool
) -> list[Trial]:
    """Every way in every set-up; `whole`: 4 streams, IPv6 and route-based too."""

    def trial(way: Way, setup: Setup) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            with way.joined(directory, setup) as road:
                # IPv6 and several streams once: they and the cipher do not meet anywhere.
                wide = whole and setup.cipher in (way.setups[0].cipher, ciphers[0])
                for family in (4, 6) if wide else (4,):
                    for streams in STREAMS if wide else (1,):
                        yield from measure(road, setup, family, streams, seconds)

        return Trial(way.name, run)

    return [trial(way, setup) for way in ways for setup in setups(way, ciphers, routes=whole)]


def measure(
    road: Road, setup: Setup, family: int, streams: int, seconds: float
) -> Iterator[Figure]:
    """One transfer: its rate, and what a gigabit cost."""
    variant = f"IPv{family}, {streams} stream{'s' * (streams > 1)}"
    daemons, machine = spent_s(road.processes), machine_spent_s()
    found = iperf(road.world, SITE_B.host_address(family), streams, seconds)
    daemons, machine = spent_s(road.processes) - daemons, machine_spent_s() - machine
    # Processor time is that of the first second too, which does not count for the rate.
    gigabits = sum(float(part["sum"]["bytes"]) for part in found["intervals"]) * 8 / 1e9
    rate = float(found["end"]["sum_received"]["bits_per_second"]) / 1e6
    yield Figure(BENCH, str(setup), variant, rate, "Mbit/s")
    if road.processes:
        yield Figure(COST, str(setup), f"{variant}, daemons", daemons / gigabits, _COST_UNIT)
    yield Figure(COST, str(setup), f"{variant}, machine", machine / gigabits, _COST_UNIT)


def iperf(
    world: World,
    address: str,
    streams: int,
    seconds: float,
    *,
    source: str = SITE_A.host,
    target: str = SITE_B.host,
) -> dict[str, Any]:
    """One iperf3 run from one host to this address of the other; iperf3's own account.

    A first second is left out of its sums, for TCP to find its pace.
    """
    server = world.start(
        target,
        ["iperf3", "--server", "--one-off", "--port", str(_PORT), "--forceflush"],
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "listening" in line:
                break
        output = world.run(
            source,
            [
                *("iperf3", "--client", address, "--port", str(_PORT), "--json"),
                *("--time", f"{max(1, round(seconds))}", "--parallel", str(streams)),
                *("--omit", "1"),
            ],
            timeout_s=seconds + 30,
        )
    finally:
        end(server)
    account: dict[str, Any] = json.loads(output)
    return account
