"""Every bench in one go: `make bench`, or a part of it.

    python -m bench [--quick] [--rounds 5] [--seconds 3] [--only BENCH]... [--subject NAME]...

Subjects take turns in short rounds, so that a busy moment of the machine hits all of them, and
medians of the rounds are compared. Figures mean something only beside each other, on one machine,
in one run. Prints tables, and writes bench/results/latest.json and the chart.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import latency, machine, packets, peers, report, throughput
from bench.figures import Results, Trial
from bench.ways import AES128, CIPHERS, ISTHMUS, NO_VPN, STRONGSWAN, WAYS, Way
from isthmus.lab.namespaces import LabError

RESULTS = Path(__file__).parent / "results" / "latest.json"
TITLES = {
    throughput.BENCH: "TCP throughput",
    throughput.COST: "Processor time a gigabit",
    packets.BENCH: "Packets of 64 octets",
    latency.BENCH: "Round trips",
}
BENCHES = (throughput.BENCH, packets.BENCH, latency.BENCH)
_QUICK = (throughput.BENCH, latency.BENCH)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    benches: tuple[str, ...]
    ways: tuple[Way, ...]
    ciphers: tuple[str, ...]
    rounds: int
    seconds: float
    quick: bool


def trials(bench: str, wish: Wish) -> Sequence[Trial]:
    """One round of a bench."""
    whole = not wish.quick
    match bench:
        case throughput.BENCH:
            return throughput.trials(wish.ways, wish.ciphers, wish.seconds, whole=whole)
        case packets.BENCH:
            return packets.trials(wish.ways, wish.ciphers, min(wish.seconds, 1.0), whole=whole)
        case latency.BENCH:
            return latency.trials(wish.ways, wish.ciphers, wish.seconds, whole=whole)
    raise ValueError(bench)


def run(wish: Wish) -> tuple[Results, list[str]]:
    """Everything that was asked for, and what went wrong on the way."""
    results, failures = Results(), []
    for bench in wish.benches:
        for number in range(1, wish.rounds + 1):
            for trial in trials(bench, wish):
                with tempfile.TemporaryDirectory(prefix="isth-") as directory:
                    try:
                        for figure in trial.run(Path(directory)):
                            results.add(trial.subject, figure)
                            print(
                                f"{bench} {number}/{wish.rounds}  {trial.subject:28}"
                                f"{report.number(figure.value):>10} {figure.unit}, "
                                f"{figure.bench}, {figure.setup}, {figure.variant}",
                                flush=True,
                            )
                    except LabError as error:
                        failures.append(f"{bench} {number}/{wish.rounds}  {trial.subject}: {error}")
                        print(failures[-1], file=sys.stderr, flush=True)
    return results, failures


def present(names: Sequence[str], *, quick: bool) -> list[Way]:
    """The ways to measure; says what is missing for the others."""
    few = (NO_VPN, ISTHMUS, STRONGSWAN)
    found = []
    for way in WAYS:
        wanted = (*names, NO_VPN) if names else few if quick else (way.name,)
        if way.name not in wanted:
            continue
        if lack := way.missing():
            print(f"without {way.name}: needs {lack}", file=sys.stderr)
        else:
            found.append(way)
    return found


def facts(began: str, took_s: float, ways: Sequence[Way]) -> dict[str, str]:
    """Of the machine and of the programs that were measured."""
    said = {"began": began, "took": f"{took_s / 60:.1f} minutes"} | machine.facts()
    for way in ways:
        if version := peers.version_of(way.name):
            said[way.name] = version
    return said


def wish(argv: Sequence[str] | None = None) -> Wish:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a glance, in less than 20 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each transfer")
    parser.add_argument("--only", choices=BENCHES, action="append")
    parser.add_argument("--subject", choices=[way.name for way in WAYS], action="append")
    parser.add_argument("--cipher", choices=CIPHERS, action="append")
    asked = parser.parse_args(argv)
    quick: bool = asked.quick
    return Wish(
        benches=tuple(asked.only or (_QUICK if quick else BENCHES)),
        ways=tuple(present(asked.subject or (), quick=quick)),
        ciphers=tuple(asked.cipher or ((AES128,) if quick else CIPHERS)),
        rounds=1 if quick else asked.rounds,
        seconds=1.0 if quick else asked.seconds,
        quick=quick,
    )


def main() -> int:
    """Status 1 when something needed is missing or a bench failed."""
    asked = wish()
    if os.geteuid() != 0 or shutil.which("iperf3") is None:
        print("needs root and the package iperf3", file=sys.stderr)
        return 1
    began, started = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", time.monotonic()
    # The load before the bench itself makes one.
    load = machine.facts()["load"]
    results, failures = run(asked)
    said = facts(began, time.monotonic() - started, asked.ways) | {"load": load}
    print("\n" + report.tables(results, TITLES) + "\n")
    print("\n".join(f"{name:28}{text}" for name, text in said.items()))
    report.write(RESULTS, results, said)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
