"""`make sim`: one world by its seed, or many of them on every processor."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from isthmus.policy.connection import IkeVersion
from isthmus.simulator.plan import Scenario
from isthmus.simulator.scenario import draw
from isthmus.simulator.shrink import shrunk
from isthmus.simulator.versions import speaking
from isthmus.simulator.world import Outcome, World

DEFAULT_COUNT = 500
CHUNK = 4


def world_of(seed: int, ike: IkeVersion = IkeVersion.V2) -> Scenario:
    """The world of a seed, its tunnels in that version of IKE."""
    return speaking(draw(seed), ike)


def run_seed(
    seed: int, trace: Callable[[str], None] | None = None, ike: IkeVersion = IkeVersion.V2
) -> Outcome:
    """One world from its first instant to its last."""
    return World(world_of(seed, ike), trace).run()


def run_many(seeds: range, processes: int, ike: IkeVersion = IkeVersion.V2) -> Iterator[Outcome]:
    """Worlds share nothing: each seed ends the same on whatever processor, in whatever order."""
    work = partial(run_seed, ike=ike)
    if processes <= 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(work, seeds, chunksize=CHUNK)


def show_one(
    seed: int, keep: frozenset[int] | None, trace: bool, shrink: bool, ike: IkeVersion
) -> bool:
    """One world, its incidents, and how it ended. True when nothing was wrong."""
    scenario = world_of(seed, ike)
    if keep is not None:
        scenario = scenario.keep(keep)
    outcome = World(scenario, print if trace else None).run()
    out = sys.stderr if trace else sys.stdout
    for number, incident in enumerate(scenario.incidents):
        print(f"incident {number}: {incident}", file=out)
    for name, count in sorted(outcome.figures.items()):
        print(f"{name:<28} {count}", file=out)
    print(_verdict(outcome), file=out)
    if not outcome.is_good and shrink and keep is None:
        numbers = shrunk(scenario, outcome)
        print(f"these incidents are enough: {_numbers(numbers)}", file=out)
        for number in sorted(numbers):
            print(f"  {scenario.incidents[number]}", file=out)
        print(f"see it: {command_of(seed, ike)} KEEP={_numbers(numbers)} TRACE=1", file=out)
    return outcome.is_good


def _numbers(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "none"


def command_of(seed: int, ike: IkeVersion) -> str:
    """The command that runs that world."""
    return f"make sim SEED={seed}" + ("" if ike is IkeVersion.V2 else f" IKE={ike}")


def _verdict(outcome: Outcome) -> str:
    if outcome.violation is None:
        return f"world {outcome.seed}: all is well"
    return f"world {outcome.seed} at {outcome.at_s:.6f} s: {outcome.violation}"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when nothing was wrong in any world."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this world")
    parser.add_argument("--trace", action="store_true", help="print everything that happens in it")
    parser.add_argument("--keep", help="only these incidents of it: 0,3,5 or none")
    parser.add_argument("--shrink", action="store_true", help="drop incidents that do not matter")
    parser.add_argument(
        "--ike",
        type=IkeVersion,
        choices=tuple(IkeVersion),
        default=IkeVersion.V2,
        help="what the tunnels of these worlds speak",
    )
    parser.add_argument("--start", type=int, default=0, help="first of many worlds")
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT, help="how many worlds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        keep = None
        if asked.keep is not None:
            numbers = [] if asked.keep == "none" else asked.keep.split(",")
            keep = frozenset(map(int, numbers))
        return 0 if show_one(asked.seed, keep, asked.trace, asked.shrink, asked.ike) else 1
    began = time.monotonic()
    bad = worlds = 0
    figures: dict[str, int] = {}
    seeds = range(asked.start, asked.start + asked.count)
    for outcome in run_many(seeds, asked.jobs, asked.ike):
        worlds += 1
        for name, count in outcome.figures.items():
            figures[name] = figures.get(name, 0) + count
        if not outcome.is_good:
            bad += 1
            again = command_of(outcome.seed, asked.ike)
            print(f"{_verdict(outcome)}\n    {again} TRACE=1", flush=True)
    took = time.monotonic() - began
    told = ("packets", "delivered", "datagrams", "phase1.up", "phase1.rekeyed", "phase2.rekeyed")
    said = ", ".join(f"{figures.get(name, 0)} {name}" for name in told)
    print(f"{worlds} worlds, {bad} with a violation, in {took:.1f} s: {said}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
