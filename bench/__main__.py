"""Every bench in one go: `make bench`, or a part of it.

    python -m bench [--quick] [--rounds 5] [--seconds 2] [--only BENCH]... [--subject NAME]...

Subjects take turns in short rounds, so that a busy moment of the machine hits all of them, and
medians of the rounds are compared. Figures mean something only beside each other, on one machine,
in one run. Prints tables. A run of all subjects writes bench/results/latest.json and
docs/performance.svg: the benches that it ran, the others stay as they were.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import fleet, latency, machine, many, packets, peers, report, throughput
from bench.chart import chart
from bench.figures import Figure, Results, Trial
from bench.ways import AES128, CIPHERS, ISTHMUS, NO_VPN, WAYS, Way
from isthmus.lab.namespaces import LabError

RESULTS = Path(__file__).parent / "results" / "latest.json"
CHART = Path(__file__).parent.parent / "docs" / "performance.svg"
TITLES = {
    throughput.BENCH: "TCP throughput",
    throughput.COST: "Processor time a gigabit",
    packets.BENCH: "Packets of 64 octets",
    latency.BENCH: "Round trips",
    fleet.HANDSHAKES: "Handshakes: IKE SA and Child SA",
    fleet.MEMORY: "Memory a tunnel",
    many.BENCH: "Many tunnels",
}
BENCHES = tuple(name for name in TITLES if name != throughput.COST)
# strongSwan's own handshakes fail now and then when some go on at once.
_TRIES = 2
# They take minutes each, and differ little.
_ROUNDS_MAX = {fleet.MEMORY: 3, many.BENCH: 3}
_QUICK = (throughput.BENCH, latency.BENCH, fleet.HANDSHAKES)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for."""

    benches: tuple[str, ...]
    ways: tuple[Way, ...]
    ciphers: tuple[str, ...]
    rounds: int
    seconds: float
    quick: bool
    kept: bool
    """Whether the figures are good enough, and whole enough, to be written down."""
    tunnels: int
    """For memory."""
    most: int
    """Tunnels at once."""


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
        case fleet.HANDSHAKES:
            return fleet.handshake_trials(wish.ways, 200 if whole else 20, whole=whole)
        case fleet.MEMORY:
            return fleet.memory_trials(wish.ways, wish.tunnels)
        case many.BENCH:
            return many.trials(wish.ways, wish.seconds, wish.most)
    raise ValueError(bench)


def run(wish: Wish) -> tuple[Results, list[str]]:
    """Everything that was asked for, and what went wrong on the way."""
    results, failures = Results(), []
    for bench in wish.benches:
        rounds = min(wish.rounds, _ROUNDS_MAX.get(bench, wish.rounds))
        for number in range(1, rounds + 1):
            for trial in trials(bench, wish):
                where = f"{bench} {number}/{rounds}  {trial.subject:28}"
                figures = None
                for _ in range(_TRIES):
                    try:
                        figures = attempt(trial)
                        break
                    except (LabError, OSError) as error:
                        why = f"{where}{error}"
                        print(why, file=sys.stderr, flush=True)
                if figures is None:
                    failures.append(why)
                    continue
                for figure in figures:
                    results.add(trial.subject, figure)
                    what = ", ".join(part for part in (figure.setup, figure.variant) if part)
                    value = f"{report.number(figure.value):>10} {figure.unit}"
                    print(f"{where}{value}, {what}", flush=True)
    return results, failures


def attempt(trial: Trial) -> list[Figure]:
    """One trial in a folder of its own. Raises LabError."""
    with tempfile.TemporaryDirectory(prefix="isth-") as directory:
        return list(trial.run(Path(directory)))


def present(names: Sequence[str], *, quick: bool) -> list[Way]:
    """The ways to measure; says what is missing for the others."""
    few = (NO_VPN, ISTHMUS)
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
    parser.add_argument("--seconds", type=float, default=2.0, help="of each transfer")
    parser.add_argument("--only", choices=BENCHES, action="append")
    parser.add_argument("--subject", choices=[way.name for way in WAYS], action="append")
    parser.add_argument("--cipher", choices=CIPHERS, action="append")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--tunnels", type=int, default=1_000, help="whose memory is measured")
    parser.add_argument("--most", type=int, default=10_000, help="tunnels at once that carry")
    asked = parser.parse_args(argv)
    quick: bool = asked.quick
    return Wish(
        benches=tuple(asked.only or (_QUICK if quick else BENCHES)),
        ways=tuple(present(asked.subject or (), quick=quick)),
        ciphers=tuple(asked.cipher or ((AES128,) if quick else CIPHERS)),
        rounds=1 if quick else asked.rounds,
        seconds=1.0 if quick else asked.seconds,
        quick=quick,
        kept=not (quick or asked.subject or asked.cipher or asked.dry),
        tunnels=asked.tunnels,
        most=asked.most,
    )


def keep(results: Results, said: Mapping[str, str]) -> None:
    """Write latest.json and the chart; benches that did not run stay as they were."""
    rows = report.merged(report.read(RESULTS), report.rows(results, said))
    report.write(RESULTS, rows)
    days = sorted({told.partition(" ")[0] for told in report.told(rows, "began")})
    loads = sorted(float(told.split()[0]) for told in report.told(rows, "load"))
    note = (
        f"Medians. One machine for both ends and the hosts: {said['processor']}, "
        f"{said['kernel']}; {' to '.join(dict.fromkeys((days[0], days[-1])))}, "
        f"load before each bench {loads[0]:.1f} to {loads[-1]:.1f}"
    )
    CHART.write_text(chart(rows, note), encoding="utf-8")


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
    if asked.kept:
        keep(results, said)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
