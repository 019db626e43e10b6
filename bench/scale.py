"""What many tunnels cost one daemon: start, reload, `isthmus status`, idle processor time, memory.

Two gateways with a router between them, as in `isthmus lab`. First so many tunnels with armed
rules and no peer, then some that are up. Needs root. Times are of the whole command, as a user
waits for it; the figures mean something on a machine that does nothing else.

    bench/scale.py [--tunnels 100,500,2000] [--live 200] [--idle 30]
"""

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from isthmus.lab import gateways, topology
from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.topology import SITE_A, SITE_B, Site

TRIES = 7
CHANGED = 10
UP_AT_ONCE = 8
PATIENCE_S = 120.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def name(number: int) -> str:
    """A tunnel's name, the same at both ends."""
    return f"t{number:04d}"


def tunnel(site: Site, number: int, psk: str) -> Tunnel:
    """One end of a tunnel: told apart by its identities, each with a network of its own."""
    far = gateways.other(site)
    here, there = SITE_A.network(4), f"10.{128 + number // 256}.{number % 256}.0/24"
    local, remote = (here, there) if site is SITE_A else (there, here)
    return Tunnel(
        name=name(number),
        peer=far.outer4,
        psk=psk,
        local_id=f"fqdn:{name(number)}.{site.letter}.example",
        remote_id=f"fqdn:{name(number)}.{far.letter}.example",
        rules=(Rule("lan", (local,), (remote,)),),
    )


def processes(daemon: Isthmus) -> dict[str, int]:
    """The daemon's processes by what they do: pids as seen from here."""
    commands: dict[int, bytes] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                commands[int(entry.name)] = (entry / "cmdline").read_bytes()
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    own = str(daemon.directory).encode()
    for pid, words in commands.items():
        if b"isthmus.daemon.ike" in words and own in words:
            family = [other for other, parent in parents.items() if parent == parents[pid]]
            (plane,) = (p for p in family if b"isthmus.daemon.plane" in commands.get(p, b""))
            return {"ike": pid, "plane": plane, "supervisor": parents[pid]}
    raise LookupError(f"no IKE process of {daemon.directory}")


def resident_kib(pids: dict[str, int]) -> dict[str, int]:
    """Resident set of each process."""
    found = {}
    for what, pid in pids.items():
        text = Path(f"/proc/{pid}/status").read_text()
        found[what] = next(int(x.split()[1]) for x in text.splitlines() if x.startswith("VmRSS"))
    return found


def spent_s(pids: dict[str, int]) -> float:
    """Processor time of all of them so far, in seconds."""
    ticks = 0
    for pid in pids.values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


def timed(work: Callable[[], object]) -> float:
    """How long it takes, in seconds."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def said(seconds: list[float], spent: float) -> str:
    """`median 0.211 s (best 0.190 s; 0.110 s of processor)`"""
    return (
        f"median {statistics.median(seconds):.3f} s (best {min(seconds):.3f} s; "
        f"{spent / len(seconds):.3f} s of processor)"
    )


def commands(daemon: Isthmus, pids: dict[str, int], *words: str) -> str:
    """The same command some times over; its processor time is the client's and the daemon's."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime + spent_s(pids)

    before = spent()
    seconds = [timed(lambda: daemon.do(*words)) for _ in range(TRIES)]
    return said(seconds, spent() - before)


def idle(pids: dict[str, int], idle_s: float) -> str:
    """Processor time of all of the daemon's processes while nobody asks for anything."""
    before = spent_s(pids)
    time.sleep(idle_s)
    return f"{100 * (spent_s(pids) - before) / idle_s:.2f} % of one processor"


def reload(daemon: Isthmus, told: list[Tunnel]) -> str:
    """Another phase 2 proposal for some tunnels of the file."""
    changed = [
        replace(t, rules=tuple(replace(r, proposals=("aes128gcm16",)) for r in t.rules))
        for t in told[:CHANGED]
    ]
    daemon.write(*changed, *told[CHANGED:])
    took = timed(lambda: daemon.do("reload", timeout_s=PATIENCE_S))
    (event,) = [e for e in daemon.events() if e["event"] == "config.reloaded"]
    return (
        f"{took:.2f} s for the command: {event['read_ms']} ms to read, "
        f"{event['applied_ms']} ms to apply"
    )


def armed(directory: Path, count: int, idle_s: float) -> dict[str, int]:
    """So many tunnels that wait for traffic; returns what the processes hold, in KiB."""
    with topology.two_sites(directory) as world:
        daemon = Isthmus(world, SITE_A.gateway, directory / "gw-a")
        told = [tunnel(SITE_A, n, gateways.fresh_psk()) for n in range(count)]
        daemon.write(*told)
        print(f"{count} armed tunnels", flush=True)
        print(f"  start              {timed(lambda: daemon.start(patience_s=PATIENCE_S)):.2f} s")
        pids = processes(daemon)
        held = resident_kib(pids)
        print(f"  memory             {text(held)}")
        print(f"  isthmus status     {commands(daemon, pids, 'status')}")
        print(f"  isthmus status one {commands(daemon, pids, 'status', name(count // 2))}")
        print(f"  idle               {idle(pids, idle_s)}")
        print(f"  reload, 10 changed {reload(daemon, told)}")
        print(f"  stop               {timed(daemon.stop):.2f} s", flush=True)
        return held


def live(directory: Path, count: int, idle_s: float) -> None:
    """So many tunnels that are up, between two daemons."""
    with topology.two_sites(directory) as world:
        psks = [gateways.fresh_psk() for _ in range(count)]
        daemons = []
        for site in (SITE_A, SITE_B):
            daemon = Isthmus(world, site.gateway, directory / site.gateway)
            daemon.write(*(tunnel(site, n, psk) for n, psk in enumerate(psks)))
            daemon.start(patience_s=PATIENCE_S)
            daemons.append(daemon)
        near = daemons[0]
        pids = processes(near)
        before = resident_kib(pids)

        def bring_up(number: int) -> None:
            near.request("up", tunnel=name(number), timeout_s=PATIENCE_S)

        def all_up() -> None:
            with ThreadPoolExecutor(UP_AT_ONCE) as pool:
                list(pool.map(bring_up, range(count)))

        print(f"{count} tunnels that are up", flush=True)
        print(f"  bringing them up   {timed(all_up):.1f} s")
        after = resident_kib(pids)
        each = {what: (after[what] - before[what]) / count for what in after}
        shares = ", ".join(f"{what} {kib:.1f}" for what, kib in sorted(each.items()))
        print(f"  memory             {text(after)}; more for each that is up, in KiB: {shares}")
        print(f"  isthmus status     {commands(near, pids, 'status')}")
        print(f"  idle               {idle(pids, idle_s)}", flush=True)
        for daemon in daemons:
            daemon.stop()


def text(kib: dict[str, int]) -> str:
    """Resident sets in MiB."""
    return ", ".join(f"{what} {held / 1024:.1f} MiB" for what, held in sorted(kib.items()))


def main() -> int:
    """The command line; status 1 when it is not root's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tunnels", default="100,500,2000")
    parser.add_argument("--live", type=int, default=200, help="0: none")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of watching")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        return 1
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    held: dict[int, dict[str, int]] = {}
    for count in sorted({1, *(int(word) for word in asked.tunnels.split(","))}):
        with tempfile.TemporaryDirectory(prefix="isth-") as directory:
            held[count] = armed(Path(directory), count, asked.idle if count > 1 else 0.1)
    most = max(held)
    if most > 1:
        each = {what: (held[most][what] - held[1][what]) / (most - 1) for what in held[1]}
        shares = ", ".join(f"{what} {kib:.1f} KiB" for what, kib in sorted(each.items()))
        print(f"memory for each armed tunnel: {shares}", flush=True)
    if asked.live:
        with tempfile.TemporaryDirectory(prefix="isth-") as directory:
            live(Path(directory), asked.live, asked.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
