"""TCP throughput between two sites: no VPN, strongSwan in user space, Isthmus; in one run.

Four namespaces (two hosts, two gateways) and a router between them, as in `isthmus lab`. The
three ways take turns in short rounds, so that a busy moment of the machine hits all of them. Needs
root, iperf3 and strongSwan. Prints medians and ratios; the figures mean something only beside each
other, on one machine, in one run.

    bench/throughput.py [--rounds 3] [--seconds 3] [--json FILE]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isthmus.lab import gateways, strongswan, topology
from isthmus.lab.namespaces import LabError, World, end
from isthmus.lab.topology import SITE_A, SITE_B, SITES

IKE = ("aes128gcm16-prfsha256-x25519",)
ESP = ("aes128gcm16",)
STREAMS = (1, 4)
IPERF_PORT = 5201


@contextmanager
def in_clear(directory: Path) -> Iterator[World]:
    """No VPN: the internet routes the inside networks."""
    with topology.two_sites(directory) as world:
        topology.route_in_clear(world)
        yield world


@contextmanager
def by_strongswan(directory: Path) -> Iterator[World]:
    """charon with kernel-libipsec on both gateways."""
    with topology.two_sites(directory) as world:
        psk = gateways.fresh_psk()
        charons = [
            gateways.start_strongswan(
                world, site, directory / site.gateway, psk, proposals=IKE, rule_proposals=ESP
            )
            for site in SITES
        ]
        charons[0].initiate(gateways.RULE)
        yield world


@contextmanager
def by_isthmus(directory: Path) -> Iterator[World]:
    """isthmusd on both gateways."""
    with topology.two_sites(directory) as world:
        psk = gateways.fresh_psk()
        daemons = [
            gateways.start_isthmus(
                world,
                site,
                directory / site.gateway,
                psk,
                "policy",
                proposals=IKE,
                rule_proposals=ESP,
            )
            for site in SITES
        ]
        daemons[0].request("up", tunnel=gateways.tunnel_name(SITE_A))
        yield world


WAYS = {
    "no VPN": in_clear,
    "strongSwan kernel-libipsec": by_strongswan,
    "Isthmus": by_isthmus,
}


def measure(world: World, streams: int, seconds: float) -> float:
    """One iperf3 run from host-a to host-b; received megabits a second."""
    server = world.start(
        SITE_B.host,
        ["iperf3", "--server", "--one-off", "--port", str(IPERF_PORT), "--forceflush"],
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "listening" in line:
                break
        output = world.run(
            SITE_A.host,
            [
                *("iperf3", "--client", SITE_B.host4, "--port", str(IPERF_PORT), "--json"),
                *("--time", f"{seconds:g}", "--parallel", str(streams), "--omit", "1"),
            ],
            timeout_s=seconds + 30,
        )
    finally:
        end(server)
    return float(json.loads(output)["end"]["sum_received"]["bits_per_second"]) / 1e6


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def table(results: dict[str, dict[int, list[float]]]) -> str:
    """Medians with their range, and ratios to no VPN and to strongSwan."""
    names = list(results)
    lines = [
        f"{'Mbit/s: median (range)':28}"
        + "".join(f"{_streams(n):>22}{'/no VPN':>9}{'/strongSwan':>13}" for n in STREAMS),
    ]
    for name in names:
        cells = []
        for streams in STREAMS:
            found = results[name][streams]
            middle = statistics.median(found)
            clear = statistics.median(results["no VPN"][streams])
            other = results.get("strongSwan kernel-libipsec")
            ratio = f"{middle / statistics.median(other[streams]):.2f}" if other else "-"
            spread = f"{middle:.0f} ({min(found):.0f}-{max(found):.0f})"
            cells.append(f"{spread:>22}{middle / clear:>9.3f}{ratio:>13}")
        lines.append(f"{name:28}" + "".join(cells))
    return "\n".join(lines)


def main() -> int:
    """The command line; status 1 when something needed is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--only", choices=list(WAYS), action="append", help="leave the others out")
    asked = parser.parse_args()
    absent = list(strongswan.missing())
    if shutil.which("iperf3") is None:
        absent.append("iperf3")
    if os.geteuid() != 0 or absent:
        print(f"needs root and these packages: {' '.join(absent) or 'all there'}", file=sys.stderr)
        return 1
    chosen = [name for name in WAYS if not asked.only or name in asked.only]
    if "no VPN" not in chosen:
        chosen.insert(0, "no VPN")
    results: dict[str, dict[int, list[float]]] = {
        name: {streams: [] for streams in STREAMS} for name in chosen
    }
    for number in range(asked.rounds):
        for name in chosen:
            with tempfile.TemporaryDirectory(prefix="isth-") as directory:
                try:
                    with WAYS[name](Path(directory)) as world:
                        for streams in STREAMS:
                            found = measure(world, streams, asked.seconds)
                            results[name][streams].append(found)
                            print(
                                f"round {number + 1}  {name:28} {_streams(streams):9} "
                                f"{found:8.0f} Mbit/s",
                                flush=True,
                            )
                except LabError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    return 1
    print(f"\nAES-128-GCM, TCP, {asked.rounds} rounds of {asked.seconds:g} s, ", end="")
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs\n\n{table(results)}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
