"""`make sim-campaign`: the full figures of the security guide's simulated tests, by their names."""

import argparse
import gc
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import TypeVar

from isthmus.policy.connection import IkeVersion
from isthmus.simulator import figures
from isthmus.simulator.explore import MESSAGES_MAX, NONCE_ORDERS, Case
from isthmus.simulator.interleavings import (
    Figures,
    all_luck,
    explore,
    one_loss_each,
    pairs_of_acts,
)
from isthmus.simulator.run import command_of, run_seed
from isthmus.values.time import Seconds

Item = TypeVar("Item")
Result = TypeVar("Result")

HOUR_S: Seconds = 3600.0
MODULE = "isthmus.simulator.campaign"
HASH_SEEDS = ("0", "4711")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure: what was asked, what was seen."""

    name: str
    seen: str
    holds: bool


def over(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int, chunk: int = 8
) -> Iterator[Result]:
    """Results in order. Worlds share nothing, so each ends the same on whatever processor."""
    if processes <= 1:
        yield from map(work, items)
        return
    with multiprocessing.get_context("spawn").Pool(processes, gc.disable) as pool:
        yield from pool.imap(work, items, chunksize=chunk)


def loss_ladder(count: int, processes: int, slack: float = 0.0) -> Iterator[Verdict]:
    """R-17 (F-01). `slack`: so many standard errors that a small number of worlds may be off."""
    for loss, share in figures.LOSS_SHARES:
        took = list(over(partial(figures.first_packet_s, loss), range(count), processes))
        done = sorted(s for s in took if s is not None)
        p95 = done[int(0.95 * len(done))]
        error = sqrt(share * (1 - share) / count)
        holds = len(done) >= (share - slack * error) * count and (
            loss != figures.TENTH or p95 <= figures.P95_AT_TENTH_S
        )
        seen = f"{100 * len(done) / count:.2f} % of {count} within 60 s, 95 of 100 in {p95:.1f} s"
        yield Verdict(f"R-17 at {100 * loss:.0f} % loss", seen, holds)


def simultaneous_open(count: int, processes: int) -> Iterator[Verdict]:
    """R-16 (F-11)."""
    ended = list(over(figures.opened, range(count), processes))
    bad = [one for one in ended if one.trouble]
    crossed = sum(one.crossed for one in ended)
    seen = f"{count - len(bad)} of {count} with one IKE SA within 30 s, steady; {crossed} crossed"
    for one in bad[:5]:
        seen += f"\n    seed {one.seed}: {one.trouble}"
    yield Verdict("R-16 simultaneous open", seen, not bad and crossed > count / 4)


def disorder(count: int, processes: int) -> Iterator[Verdict]:
    """R-18 (F-02)."""
    ended = list(over(figures.disordered, range(count), processes, 2))
    bad = [one for one in ended if not one.is_good]
    total = {
        name: sum(one.figures.get(name, 0) for one in ended)
        for name in ("datagrams", "datagram.dropped", "phase1.rekeyed", "phase2.rekeyed")
    }
    seen = (
        f"{count - len(bad)} of {count} worlds: no request executed twice, no window left; "
        f"{total['datagrams']} datagrams, {total['datagram.dropped']} repeats and strays refused, "
        f"{total['phase1.rekeyed']} and {total['phase2.rekeyed']} renewals"
    )
    for one in bad[:5]:
        seen += f"\n    seed {one.seed} at {one.at_s:.1f} s: {one.violation}"
    yield Verdict("R-18 repeats, delays, disorder", seen, not bad)


def determinism(count: int, processes: int, until_s: Seconds = HOUR_S) -> Iterator[Verdict]:
    """R-19: each world in two processes with other hash seeds, in opposite orders."""
    orders = (range(count), range(count - 1, -1, -1))
    running = [
        subprocess.Popen(
            (sys.executable, "-m", MODULE, "--digests", str(until_s), *map(str, order)),
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for order, seed in zip(orders, HASH_SEEDS, strict=True)
    ]
    told = [process.communicate()[0].splitlines() for process in running]
    equal = sum(one == two for one, two in zip(told[0], reversed(told[1]), strict=False))
    seen = f"{equal} of {count} worlds of {until_s:.0f} s alike under hash seeds {HASH_SEEDS}"
    distinct = len(set(told[0])) == count
    yield Verdict("R-19 determinism", seen, equal == count and distinct)


def print_digests(until_s: Seconds, seeds: list[int]) -> None:
    """What `determinism` compares."""
    for seed in seeds:
        print(figures.digest(seed, until_s))


def explored(name: str, cases: Iterable[Case], processes: int) -> Verdict:
    """R-15 of some cases."""
    total = Figures()
    for found in over(explore, cases, processes, 1):
        total.add(found)
    seen = (
        f"{total.schedules} orders, {total.losses} of them with a loss: one IKE SA and one pair a "
        f"rule after at most {total.settled_s:.0f} s, at most {total.messages} messages; "
        f"{total.packets} packets"
    )
    for text in total.violations[:5]:
        seen += f"\n    {text}"
    return Verdict(f"R-15 {name}", seen, not total.violations and total.schedules > 0)


def interleavings(count: int, processes: int) -> Iterator[Verdict]:
    """R-15 (F-09, F-10, F-12). `count`: of each side's first so many messages each is lost once."""
    calm = [case for acts in pairs_of_acts(with_tunnel=False) for case in all_luck(*acts)]
    yield explored("in all orders", calm, processes)
    lost = [
        case for acts in pairs_of_acts(with_tunnel=False) for case in one_loss_each(*acts, count, 1)
    ]
    yield explored("with one loss each", lost, processes)
    closing = [
        Case((left,), (right,))
        for left, right in pairs_of_acts(with_tunnel=True)
        if "delete-ike" in (left, right)
    ]
    yield explored("while the tunnel is closed", closing, processes)
    renewals = ("rekey-child", "rekey-ike")
    slow = [
        Case((left,), (right,), nonces=nonces, slow=True)
        for nonces in range(NONCE_ORDERS)
        for left in renewals
        for right in renewals
    ]
    yield explored("with slow computations", slow, processes)
    both = [
        Case(left, right)
        for left in (renewals, renewals[::-1])
        for right in (renewals, renewals[::-1])
    ]
    yield explored("of two renewals on each side", both, processes)


def crashes(count: int, processes: int) -> Iterator[Verdict]:
    """F-15, R-22. `count`: after at most so many events."""
    for side in ("left", "right"):
        work = partial(figures.crashed, side)
        ended = [one for one in over(work, range(count), processes) if one is not None]
        bad = [(n, one) for n, one in enumerate(ended) if not one.is_good]
        seen = (
            f"{len(ended) - len(bad)} of {len(ended)} kills of {side}: one IKE SA and one pair "
            "in the end, nothing left over"
        )
        for step, one in bad[:5]:
            seen += f"\n    after event {step}: {one.violation}"
        yield Verdict("F-15 killed after each event", seen, not bad and bool(ended))


def worlds(count: int, processes: int) -> Iterator[Verdict]:
    """R-14."""
    yield _worlds("R-14 worlds", IkeVersion.V2, count, processes)


def worlds_of_ikev1(count: int, processes: int) -> Iterator[Verdict]:
    """R-14 over IKEv1, and with one end of each tunnel that speaks either version."""
    yield _worlds("R-14 worlds of IKEv1", IkeVersion.V1, count, processes)
    yield _worlds("R-14 worlds of either", IkeVersion.AUTO, count, processes)


def _worlds(name: str, ike: IkeVersion, count: int, processes: int) -> Verdict:
    ended = list(over(partial(run_seed, ike=ike), range(count), processes, 4))
    bad = [one for one in ended if not one.is_good]
    idle = sum(one.figures.get("phase2.idle", 0) for one in ended)
    seen = f"{count - len(bad)} of {count} worlds of an hour; {idle} closed for silence"
    for one in bad[:5]:
        seen += f"\n    {command_of(one.seed, ike)}: {one.violation}"
    return Verdict(name, seen, not bad)


CAMPAIGNS: dict[str, tuple[Callable[[int, int], Iterator[Verdict]], int]] = {
    "loss-ladder": (loss_ladder, 5_000),
    "simultaneous-open": (simultaneous_open, 100_000),
    "disorder": (disorder, 500),
    "determinism": (determinism, 100),
    "interleavings": (interleavings, MESSAGES_MAX // 2),
    "crashes": (crashes, 1_000),
    "worlds": (worlds, 500),
    "worlds-ikev1": (worlds_of_ikev1, 300),
}
"""By name: what it runs, and how many of it."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when every figure holds."""
    parser = argparse.ArgumentParser(prog="make sim-campaign", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CAMPAIGNS)}; none: all of them")
    parser.add_argument("--count", type=int, help="another number of worlds than the full one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--digests", type=float, help="print digests of these worlds until then")
    asked = parser.parse_args(arguments)
    if asked.digests is not None:
        print_digests(asked.digests, [int(name) for name in asked.names])
        return 0
    strange = set(asked.names) - set(CAMPAIGNS)
    if strange:
        parser.error(f"there is no campaign {', '.join(sorted(strange))}")
    good = True
    for name in asked.names or CAMPAIGNS:
        run, count = CAMPAIGNS[name]
        began = time.monotonic()
        for verdict in run(asked.count or count, asked.jobs):
            good &= verdict.holds
            took = time.monotonic() - began
            word = "holds" if verdict.holds else "FAILS"
            print(f"{word}  {verdict.name}: {verdict.seen} ({took:.0f} s)", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
