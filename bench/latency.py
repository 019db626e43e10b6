"""Round trips of a ping from host to host: alone, and beside a TCP transfer at full rate."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Figure, Trial
from bench.throughput import iperf
from bench.ways import Way, setups
from isthmus.lab import measure
from isthmus.lab.measure import PingResult
from isthmus.lab.namespaces import LabError
from isthmus.lab.topology import SITE_A, SITE_B

BENCH = "latency"
_INTERVAL_S = 0.01
_UNIT = "ms"


def trials(
    ways: Sequence[Way], ciphers: tuple[str, ...], seconds: float, *, whole: bool
) -> list[Trial]:
    """Every way with its first cipher: `seconds` of pings alone; `whole`: as long under load."""

    def trial(way: Way) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            setup = setups(way, ciphers)[0]
            with way.joined(directory, setup) as road:
                count = round(seconds / _INTERVAL_S)
                alone = measure.ping(
                    road.world, SITE_A.host, SITE_B.host4, count=count, interval_s=_INTERVAL_S
                )
                yield from _figures(str(setup), "idle", alone)
                if not whole:
                    return
                pinging = measure.start_ping(
                    road.world, SITE_A.host, SITE_B.host4, interval_s=_INTERVAL_S
                )
                try:
                    iperf(road.world, SITE_B.host4, 1, seconds)
                    loaded = pinging.finish()
                except BaseException:
                    pinging.abandon()
                    raise
                yield from _figures(str(setup), "under load", loaded)

        return Trial(way.name, run)

    return [trial(way) for way in ways]


def _figures(setup: str, when: str, found: PingResult) -> Iterator[Figure]:
    trips = sorted(found.round_trips_ms)
    if len(trips) < 2:
        raise LabError(f"{found.received} of {found.sent} pings came back")
    yield Figure(BENCH, setup, f"{when}, median", statistics.median(trips), _UNIT)
    yield Figure(BENCH, setup, f"{when}, 99th of 100", trips[int(0.99 * (len(trips) - 1))], _UNIT)
