"""A running isthmusd under mutated datagrams, while a tunnel of it carries pings (acceptance 5).

host-a ── gw-a (the victim) ── internet (the attacker) ── gw-b ── host-b
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from isthmus.credentials.xauth import hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.measure import PingResult
from isthmus.lab.namespaces import World, end
from isthmus.lab.packets import Esp, Ike
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B
from isthmus.values.secret import Secret

from . import hostile_peer_v1
from .hostile_peer import IDENTITY, LOCAL_TS, REMOTE_TS

ROOT = Path(__file__).parents[2]
OWN = str(SITE_A.outside4[254])
PING_EVERY_S = 0.05
CENSUS_S = 90.0
"""Longer than a peer of either version may take to authenticate."""
UDP_HEADER_SIZE = 8
ESP = 50
CAPTURES = ROOT / "tests/vectors/captures/ikev1_strongswan.json"
LENT = "10.66.1.0/24"
"""For users that log in at the victim: nobody does."""
ATTACKERS = {1: "tests.robustness.hostile_peer_v1", 2: "tests.robustness.hostile_peer"}
NON_ESP_MARKER = bytes(4)
Counters = dict[str, int]
CENSUS = ("ike_sas", "child_sas", "half_open", "first_requests", "waiting_computes")
"""Timers are not among them: a tunnel that failed has one armed for its next try."""


@dataclass(slots=True)
class Report:
    """What one campaign came to."""

    sent: dict[str, int]
    total: int
    seconds: float
    answers: int
    tally: dict[str, int]
    parted: bool
    pings: PingResult
    counters: Counters
    """What the victim counted during the campaign."""
    live_before: Counters
    live_after: Counters
    census_after_s: float | None
    """Seconds until the census was what it was before; None: not within `CENSUS_S`."""
    rss_kib: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """After so many mutants: resident set of each process of the victim."""
    restarted: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def growth_kib(self) -> dict[str, int]:
        """From the first measurement, after warm-up, to the last."""
        first, last = self.rss_kib[0][1], self.rss_kib[-1][1]
        return {name: last[name] - first[name] for name in first}

    def lines(self) -> list[str]:
        """For a person."""
        behind = sum(n for kind, n in self.sent.items() if kind.startswith("sealed"))
        return [
            f"{self.total} mutants in {self.seconds:.0f} s "
            f"({self.total / self.seconds:.0f}/s), {behind} of them behind the integrity check",
            "  " + ", ".join(f"{kind} {n}" for kind, n in sorted(self.sent.items())),
            f"answers {self.answers}: "
            + ", ".join(f"{word} {n}" for word, n in sorted(self.tally.items())),
            f"pings through the tunnel: {self.pings.sent} sent, {len(self.pings.lost)} lost",
            f"faults {self.counters.get('ike_faults', 0)}, "
            f"worker panics {self.counters.get('worker_panics', 0)}, "
            f"restarts {len(self.restarted)}",
            "resident set in KiB: "
            + "; ".join(
                f"after {n}: " + ", ".join(f"{k} {v}" for k, v in sorted(rss.items()))
                for n, rss in self.rss_kib
            ),
            f"census before {self.live_before}",
            f"census after  {self.live_after}"
            + (
                f" (the same after {self.census_after_s:.0f} s)"
                if self.census_after_s is not None
                else " (NOT the same)"
            ),
            "counted by the victim: "
            + ", ".join(f"{k} {v}" for k, v in sorted(self.counters.items()) if v),
        ]

    def complaints(self, growth_max_kib: int) -> list[str]:
        """What must not be."""
        found = list(self.faults)
        if self.pings.lost or self.pings.received != self.pings.sent:
            found.append(f"pings lost: {self.pings.lost}")
        for name in ("ike_faults", "worker_panics"):
            if self.counters.get(name, 0):
                found.append(f"{name} is {self.counters[name]}")
        found += [f"{name} was restarted" for name in self.restarted]
        for name, grown in self.growth_kib.items():
            if grown > growth_max_kib:
                found.append(f"{name} grew by {grown} KiB")
        if self.census_after_s is None:
            found.append(f"left over: {self.live_after}, before: {self.live_before}")
        if not self.parted:
            found.append("an honest session was refused at the end")
        return found


def run(
    directory: Path,
    count: int,
    *,
    warm_up: int,
    steps: int = 2,
    rate: float = 1200.0,
    say: Callable[[str], None] = lambda line: None,
    version: int = 2,
) -> Report:
    """`warm_up` mutants, then `count` of them in `steps` parts, with measurements between; all
    tunnels of the victim speak this version of IKE."""
    with topology.two_sites(directory) as world:
        return _campaign(world, directory, count, warm_up, steps, rate, say, version)


def _campaign(
    world: World,
    directory: Path,
    count: int,
    warm_up: int,
    steps: int,
    rate: float,
    say: Callable[[str], None],
    version: int,
) -> Report:
    psk, hostile_psk = gateways.fresh_psk(), gateways.fresh_psk()
    victim = Isthmus(world, SITE_A.gateway, directory / "gw-a")
    far = Isthmus(world, SITE_B.gateway, directory / "gw-b")
    hostile = _hostile(hostile_psk) if version == 2 else hostile_v1(directory, hostile_psk)
    victim.write(gateways.tunnel(SITE_A, psk, "policy", version=version), *hostile)
    far.write(gateways.tunnel(SITE_B, psk, "policy", version=version))
    victim.start()
    far.start()
    corpus = _corpus(world, directory, victim)
    say(f"{len(corpus)} genuine datagrams captured between the two gateways")
    if version == 1:
        corpus += _captured()
    settled = _settled(victim)
    pids = processes(victim)
    attack = _Attack(world, hostile_psk, corpus, rate, ATTACKERS[version])
    pinging = measure.start_ping(
        world, SITE_A.host, SITE_B.host4, interval_s=PING_EVERY_S, wait_s=3.0
    )
    try:
        before = victim.request("counters")[-1]["counters"]
        attack.run(warm_up)
        rss = [(attack.total, _resident(pids))]
        say(f"warm: {rss[-1]}")
        for step in range(steps):
            attack.run(count // steps if step else count - count // steps * (steps - 1))
            rss.append((attack.total, _resident(pids)))
            say(f"{rss[-1]}")
        pings = pinging.finish()
    finally:
        pinging.abandon()
    after = victim.request("counters")[-1]["counters"]
    waited, live = _until_census(world, victim, settled)
    rss.append((attack.total, _resident(pids)))
    now = processes(victim)
    return Report(
        sent=dict(sorted(attack.sent.items())),
        total=attack.total,
        seconds=attack.seconds,
        answers=attack.answers,
        tally=attack.tally,
        parted=attack.parted,
        pings=pings,
        counters={
            k: v - before.get(k, 0) if not k.endswith("_us") else v
            for k, v in after.items()
            if not k.startswith("ike_live_")
        },
        live_before=settled,
        live_after=live,
        census_after_s=waited,
        rss_kib=rss,
        restarted=[name for name, pid in pids.items() if now.get(name) != pid],
        faults=_faults(victim),
    )


def _hostile(psk: str) -> tuple[Tunnel, ...]:
    """The tunnel whose peer is the attacker."""
    tunnel = Tunnel(
        name="hostile",
        peer=OWN,
        psk=psk,
        local_id=f"fqdn:{SITE_A.gateway}",
        remote_id=IDENTITY,
        rules=(Rule("lan", (REMOTE_TS,), (LOCAL_TS,), ("aes256gcm16-x25519",)),),
        proposals=("aes256gcm16-prfsha384-x25519",),
        start="listen",
    )
    return (tunnel,)


def hostile_v1(directory: Path, psk: str) -> tuple[Tunnel, ...]:
    """Two such tunnels of IKEv1: into one of them the peer has to log in."""
    (plain,) = _hostile(psk)
    rule = Rule("lan", (REMOTE_TS,), (LOCAL_TS,), hostile_peer_v1.PHASE2)
    plain = replace(
        plain, rules=(rule,), proposals=hostile_peer_v1.PHASE1_V1, settings={"ike": "1"}
    )
    users = directory / "hostile.users"
    password = hashed(Secret(b"a password that is not guessed"), SeededEntropy(1))
    users.write_text(f"{hostile_peer_v1.USER}:{password.text}\n")
    users.chmod(0o600)
    settings = {
        "ike": "1",
        "xauth": f'{{ users = {{ file = "{users}" }} }}',
        "mode_config": f'{{ pool = ["{LENT}"] }}',
    }
    logs_in = replace(
        plain,
        name="hostile-user",
        remote_id=hostile_peer_v1.LOGIN_IDENTITY,
        rules=(replace(rule, remote=(LENT,)),),
        settings=settings,
    )
    return plain, logs_in


def _captured() -> list[tuple[int, str]]:
    """What strongSwans have said to each other in IKEv1, as in the vectors."""
    captures = json.loads(CAPTURES.read_text(encoding="utf-8"))
    return [(500, sent["octets"]) for each in captures for sent in each["datagrams"]]


@dataclass(slots=True)
class Program:
    """A module of these tests that runs in the namespace between the gateways."""

    process: Popen[str]
    name: str

    @property
    def is_running(self) -> bool:
        """It has not ended yet."""
        return self.process.poll() is None

    def result(self, patience_s: float) -> dict[str, Any]:
        """Wait for what it prints last."""
        try:
            output, _ = self.process.communicate(timeout=patience_s)
        finally:
            end(self.process)
        assert self.process.returncode == 0, (self.name, output)
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found


def start_program(world: World, module: str, orders: Mapping[str, object]) -> Program:
    """Start it with these orders on its standard input."""
    process = world.start(
        INTERNET,
        [sys.executable, "-m", module],
        stdin=PIPE,
        stderr=None,
        environment={"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "python")))},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(orders) + "\n")
    process.stdin.flush()
    return Program(process, module)


class _Attack:
    """The attacker's program, run once for each part; its figures add up."""

    def __init__(
        self, world: World, psk: str, corpus: list[tuple[int, str]], rate: float, program: str
    ) -> None:
        self._world, self._psk, self._corpus, self._rate = world, psk, corpus, rate
        self._program = program
        self.sent: dict[str, int] = {}
        self.tally: dict[str, int] = {}
        self.total = self.answers = self._runs = 0
        self.seconds = 0.0
        self.parted = True

    def run(self, count: int) -> None:
        self._runs += 1
        orders = {
            "seed": 1_000_000 * self._runs,
            "own": OWN,
            "victim": SITE_A.outer4,
            "spoofed": SITE_B.outer4,
            "psk": self._psk,
            "corpus": self._corpus,
            "count": count,
            "rate": self._rate,
        }
        found = start_program(self._world, self._program, orders).result(120 + count / 50)
        self.total += found["total"]
        self.seconds += found["seconds"]
        self.answers += found["answers"]
        self.parted &= found["parted"]
        for mine, new in ((self.sent, found["sent"]), (self.tally, found["tally"])):
            for name, number in new.items():
                mine[name] = mine.get(name, 0) + number


def _corpus(world: World, directory: Path, victim: Isthmus) -> list[tuple[int, str]]:
    """Every message that gw-b sent to gw-a while the tunnel came up and was renewed."""
    watch = capture.start(world, INTERNET, directory / "corpus.pcap")
    name = gateways.tunnel_name(SITE_A)
    try:
        assert measure.ping(world, SITE_A.host, SITE_B.host4, count=5, wait_s=5).received == 5
        for phase in (2, 1):
            victim.request("rekey", tunnel=name, phase=phase)
            time.sleep(1.0)
            assert measure.ping(world, SITE_A.host, SITE_B.host4, count=5).received == 5
        seen = watch.packets()
    finally:
        watch.abandon()
    corpus: list[tuple[int, str]] = []
    for packet in seen:
        body = packet.octets[packet.payload_at :]
        match packet.content:
            case Esp(in_udp=in_udp):
                corpus.append((ESP, body[UDP_HEADER_SIZE if in_udp else 0 :].hex()))
            case Ike():
                octets = body[UDP_HEADER_SIZE:]
                corpus.append((500, octets.removeprefix(NON_ESP_MARKER).hex()))
    assert sum(port == ESP for port, _ in corpus) >= 10
    assert sum(port == 500 for port, _ in corpus) >= 8
    return corpus


def processes(daemon: Isthmus) -> dict[str, int]:
    """The daemon's IKE and plane processes, by pid as seen from here."""
    here = os.readlink(f"/proc/{daemon.pid}/ns/pid_for_children")
    directory = str(daemon.directory).encode()
    found: dict[str, int] = {}
    planes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            same_world = os.readlink(entry / "ns/pid") == here
        except OSError:
            continue
        if not same_world:
            continue
        parent = int(stat[1])
        if b"isthmus.daemon.ike" in words and any(directory in word for word in words):
            found["ike"] = int(entry.name)
            found["supervisor"] = parent
        elif b"isthmus.daemon.plane" in words:
            planes[parent] = int(entry.name)
    if "supervisor" in found and found["supervisor"] in planes:
        found["plane"] = planes[found["supervisor"]]
    return found


def _resident(pids: dict[str, int]) -> dict[str, int]:
    """Resident set in KiB; 0 for a process that is gone."""
    found = {}
    for name, pid in pids.items():
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            text = ""
        lines = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
        found[name] = int(lines[0]) if lines else 0
    return found


def census(daemon: Isthmus) -> Counters:
    counters: Counters = daemon.request("counters")[-1]["counters"]
    prefix = "ike_live_"
    return {k.removeprefix(prefix): v for k, v in counters.items() if k.startswith(prefix)}


def _settled(daemon: Isthmus) -> Counters:
    """The census once the SAs of before a renewal have gone: twice the same, and small."""
    deadline = time.monotonic() + 20.0
    live = census(daemon)
    while live["ike_sas"] != 1 or live["child_sas"] != 1:
        assert time.monotonic() < deadline, live
        time.sleep(0.2)
        live = census(daemon)
    return live


def _until_census(world: World, daemon: Isthmus, wanted: Counters) -> tuple[float | None, Counters]:
    """Under a ping now and then: the tunnel's phase 2 shall not be idle meanwhile."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < CENSUS_S:
        live = census(daemon)
        if all(live[name] == wanted[name] for name in CENSUS):
            return waited, live
        measure.ping(world, SITE_A.host, SITE_B.host4, count=1)
        time.sleep(0.5)
    return None, live


def _faults(daemon: Isthmus) -> list[str]:
    events: list[dict[str, Any]] = daemon.events()
    found = [str(e) for e in events if "daemon.fault" in str(e.get("event", e))]
    text = daemon.log.read_text(encoding="utf-8", errors="replace")
    for sign in ("Traceback", "daemon.fault", " while handling ", "panicked"):
        if sign in text:
            at = text.index(sign)
            found.append(f"the log has {sign!r}: {text[max(0, at - 200) : at + 1500]}")
    return found
