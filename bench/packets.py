"""Packets of 64 octets a second: the highest rate at which no more than 1 % is lost.

A flood would only show who wins the processors. So rates double until too much is lost, and the
border is then searched for in halves; a rate has failed when it failed twice. The sender takes a
part of the same processors: the figure is one of the whole machine. Packets for each second of
processor that one gateway's daemon spent say what a core of a gateway can do; half of the two
daemons' time is each one's.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Figure, Trial
from bench.generator import Aim, Offer, offer
from bench.processes import spent_s
from bench.ways import Road, Way, setups

BENCH = "packets"
_LOST_MAX = 0.01
_FIRST = 16_000
_LEAST, _MOST = 1_000, 4_000_000
_WITHIN = 1.08
_TRIES = 2
_UNIT = "packets/s"
DIRECT = Aim()
"""From host-a to host-b."""


def trials(
    ways: Sequence[Way], ciphers: tuple[str, ...], seconds: float, *, whole: bool
) -> list[Trial]:
    """Every way with its first cipher; offers last `seconds` each."""

    def trial(way: Way) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            setup = setups(way, ciphers)[0]
            with way.joined(directory, setup) as road:
                yield from measure(road, str(setup), seconds, within=_WITHIN if whole else 2.0)

        return Trial(way.name, run)

    return [trial(way) for way in ways]


def measure(
    road: Road, setup: str, seconds: float, *, within: float, what: str = "", aim: Aim = DIRECT
) -> Iterator[Figure]:
    """The border, found to a factor of `within`; `what` stands in front of the variant."""
    good, bad = 0.0, float(_MOST)
    best: Offer | None = None
    cost = 0.0
    rate = float(_FIRST)
    while good == 0.0 or bad / good > within:
        for _ in range(_TRIES):
            before = spent_s(road.processes)
            found = offer(road.world, aim, round(rate), seconds)
            # A sender that cannot keep up is a border as well.
            if found.lost <= _LOST_MAX and found.sender_kept_up:
                good, best, cost = rate, found, spent_s(road.processes) - before
                break
        else:
            bad = rate
            if rate < _LEAST:
                break
        rate = _next(good, bad)
    variant = f"{what}64 octets"
    yield Figure(BENCH, setup, f"{variant}, at most 1 % lost", best.rate if best else 0.0, _UNIT)
    if best and cost:
        each = best.received / (cost / 2)
        yield Figure(BENCH, setup, f"{variant}, for each core of a gateway", each, _UNIT)


def _next(good: float, bad: float) -> float:
    if good == 0.0:
        return bad / 4
    return min(good * 2, math.sqrt(good * bad))
