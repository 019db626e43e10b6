"""Renewals of both phases, by both ends at once, under a flow each way (issue 3, acceptance 4).

host-a ── gw-a ── internet ── gw-b ── host-b

In each round both ends are told to renew at the same instant, or a few milliseconds apart, so that
requests cross, answers cross and deletes cross. Datagrams are counted one by one at the far hosts.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from isthmus.lab import flows, gateways, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.flows import FlowResult
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import SITE_A, SITE_B, SITES, Site
from isthmus.lab.vici import ViciError
from isthmus.management import api
from isthmus.management.client import Client, ClientError, Refused

from .campaign import processes

RATE = 2_000
"""Datagrams a second, each way."""
APART_S = 0.004
"""The second end is told at most so long after the first."""
PAUSE_S = 0.03
CENSUS_S = 10.0
"""After so long nothing but one pair of each phase may be left."""
ANSWER_S = 20.0
IKE = ("aes256gcm16-prfsha384-x25519",)
ESP = ("aes256gcm16-x25519",)
NEVER = ("daemon.fault", "phase1.down", "phase1.failed", "phase2.down", "phase2.failed")
"""What may not be told while both ends stand and only renew."""
PUT_OFF = ("TEMPORARY_FAILURE", "does not know yet")
"""Reasons for which a renewal may be tried again later (RFC 7296 §2.25): the peer is busy, or an
answer of ours to it was lost. charon 5.9.8 loses one that comes while it reads a request of the
same number, and asks again after four seconds."""
Phase = int
Round = tuple[Phase, Phase]
"""What each of the two ends renews."""


class End(Protocol):
    """A gateway that can be told to renew."""

    def renew(self, phase: Phase) -> str:
        """Tell it and wait for the end; the answer is `done`, or why not."""

    def census(self) -> tuple[int, int, frozenset[tuple[int, int]]]:
        """IKE SAs, Child SAs in the daemon, and the SPIs (in, out) of the pairs that stand."""

    def resident_kib(self) -> dict[str, int]:
        """Resident set of each process."""

    def events(self) -> Counter[str]:
        """What it told of renewals so far."""


class IsthmusEnd:
    """isthmusd; told and watched through its control socket."""

    def __init__(self, daemon: Isthmus, site: Site) -> None:
        self.daemon = daemon
        self._tunnel = gateways.tunnel_name(site)
        self._pids = processes(daemon)
        self._seen: Counter[str] = Counter()
        self._watch = Client(daemon.control, None)
        threading.Thread(target=self._follow, daemon=True).start()
        self._asking = Client(daemon.control, ANSWER_S + 10)

    def renew(self, phase: Phase) -> str:
        request = api.Rekey(
            schema=api.SCHEMA,
            tunnel=self._tunnel,
            phase=1 if phase == 1 else 2,
            timeout_s=ANSWER_S,
        )
        try:
            for _ in self._asking.stream(request):
                pass
        except Refused as refused:
            return f"{refused.reply.kind} {refused.reply.why}"
        return "done"

    def census(self) -> tuple[int, int, frozenset[tuple[int, int]]]:
        counters = self.daemon.request("counters")[-1]["counters"]
        found = self.daemon.request("sa")[-1]
        inward = {int(sa["spi"], 16) for sa in found["sas"] if sa["direction"] == "in"}
        outward = {int(sa["spi"], 16) for sa in found["sas"] if sa["direction"] == "out"}
        pairs = frozenset((i, o) for i in inward for o in outward)
        return counters["ike_live_ike_sas"], counters["ike_live_child_sas"], pairs

    def resident_kib(self) -> dict[str, int]:
        return {name: _resident_kib(pid) for name, pid in self._pids.items()}

    def events(self) -> Counter[str]:
        return Counter(self._seen)

    def drops(self) -> dict[str, int]:
        """What the plane and the IKE process counted as dropped."""
        counters = self.daemon.request("counters")[-1]["counters"]
        return {k: v for k, v in counters.items() if v and ("drop" in k or "fault" in k)}

    def _follow(self) -> None:
        try:
            for reply in self._watch.stream(api.Log(schema=api.SCHEMA, limit=0, follow=True)):
                if isinstance(reply, api.EventReply):
                    name = str(reply.event["event"])
                    lost = int(reply.event["count"]) if name == "log.lost" else 0
                    self._seen[name] += lost or 1
        except ClientError:
            return  # The daemon has ended, and the run with it.


_CHARON_IS_CLOSING = ("REKEYED", "DELETING", "DELETED")


class CharonEnd:
    """strongSwan."""

    def __init__(self, charon: Charon, site: Site) -> None:
        self._charon = charon
        self._tunnel = gateways.tunnel_name(site)

    def renew(self, phase: Phase) -> str:
        before = self._spis(phase)
        deadline = time.monotonic() + ANSWER_S
        is_told = False
        while time.monotonic() < deadline:
            # charon refuses while the other end replaces what is to be renewed.
            with suppress(ViciError):
                if not is_told:
                    self._tell(phase)
                is_told = True
            if self._spis(phase).isdisjoint(before):
                return "done"
            time.sleep(0.01)
        return f"phase {phase} has the same keys after {ANSWER_S:g} s"

    def _tell(self, phase: Phase) -> None:
        if phase == 1:
            self._charon.rekey_ike(self._tunnel)
        else:
            self._charon.rekey_child(gateways.RULE)

    def _spis(self, phase: Phase) -> set[object]:
        sas = [sa for sa in self._charon.list_sas() if sa.state == "ESTABLISHED"]
        if phase == 1:
            return {(sa.spi_i, sa.spi_r) for sa in sas}
        return {c.spi_in for sa in sas for c in sa.children if c.state == "INSTALLED"}

    def census(self) -> tuple[int, int, frozenset[tuple[int, int]]]:
        sas = self._charon.list_sas()
        # charon 5.9.8 drops an answer that comes while it reads a request of the same number, and
        # forgets what it waited for when phase 1 is renewed then: a pair that it was deleting stays
        # so for ever. It is closed at our end, and no traffic takes it.
        children = [
            child for sa in sas for child in sa.children if child.state not in _CHARON_IS_CLOSING
        ]
        return len(sas), len(children), frozenset((c.spi_in, c.spi_out) for c in children)

    def resident_kib(self) -> dict[str, int]:
        return {}

    def events(self) -> Counter[str]:
        text = self._charon.log.read_text(encoding="utf-8", errors="replace")
        signs = {"collision": "phase.collision", "TEMP_FAIL": "temporary_failure"}
        return Counter({name: text.count(sign) for sign, name in signs.items()})


@dataclass(slots=True)
class Report:
    """What one run came to."""

    rounds: Counter[Round]
    seconds: float
    answers: Counter[str]
    events: dict[str, Counter[str]]
    flows: dict[str, FlowResult]
    drops: dict[str, dict[str, int]]
    overflowed: dict[str, int]
    """Packets that found the queue of a socket or device of a gateway full: the machine was too
    busy to run the program behind it."""
    settled_s: float | None
    """Until one pair of each phase was left at both ends; None: not within CENSUS_S."""
    census: dict[str, tuple[int, int, frozenset[tuple[int, int]]]]
    resident_kib: list[tuple[int, dict[str, dict[str, int]]]] = field(default_factory=list)
    """After so many rounds: resident set of each process of each end."""

    @property
    def growth_kib(self) -> dict[str, int]:
        """From the first measurement, after a tenth of the rounds, to the last."""
        first, last = self.resident_kib[0][1], self.resident_kib[-1][1]
        return {
            f"{end} {name}": last[end][name] - kib
            for end, found in first.items()
            for name, kib in found.items()
        }

    def renewed(self, phase: Phase) -> int:
        """Renewals of a phase that an Isthmus end told of; the most of either end."""
        return max(told[f"phase{phase}.rekeyed"] for told in self.events.values())

    def collisions(self, phase: Phase) -> int:
        """Renewals that crossed, as told by the ends that noticed."""
        return sum(told[f"phase{phase}.collision"] for told in self.events.values())

    def lines(self) -> list[str]:
        """For a person."""
        kinds = ", ".join(f"{a}/{b}: {n}" for (a, b), n in sorted(self.rounds.items()))
        total = self.rounds.total()
        return [
            f"{total} rounds (phases at a/b {kinds}) in {self.seconds:.0f} s",
            "answers: " + ", ".join(f"{n} {why}" for why, n in self.answers.most_common()),
            *(
                f"{end} told: " + ", ".join(f"{name} {told[name]}" for name in sorted(told))
                for end, told in self.events.items()
            ),
            *(
                f"flow {way}: {f.sent} sent in {f.seconds:.0f} s ({f.sent / f.seconds:.0f}/s), "
                f"{f.received} received, {len(f.lost)} lost, {f.duplicates} twice"
                + (f"; first lost {f.lost[:10]}, at the sink {f.dropped_at_sink}" * bool(f.lost))
                for way, f in self.flows.items()
            ),
            *(f"{end} dropped: {drops}" for end, drops in self.drops.items()),
            *(f"{end} was too busy for {n} packets" for end, n in self.overflowed.items() if n),
            f"left at the end (IKE SAs, Child SAs, SPIs): {self.census}"
            + (
                f", so after {self.settled_s:.1f} s"
                if self.settled_s is not None
                else f" (NOT clean after {CENSUS_S:g} s)"
            ),
            *(
                f"resident set in KiB after {n} rounds: "
                + "; ".join(
                    f"{end} " + ", ".join(f"{k} {v}" for k, v in sorted(found.items()))
                    for end, found in rss.items()
                )
                for n, rss in self.resident_kib
            ),
        ]

    def complaints(self, growth_max_kib: int) -> list[str]:
        """What must not be."""
        found = []
        for way, flow in self.flows.items():
            # What a full queue drops is not lost to a renewal, and the kernel counts it.
            if len(flow.lost) > sum(self.overflowed.values()):
                found.append(f"{way}: {len(flow.lost)} of {flow.sent} lost")
            if flow.duplicates:
                found.append(f"{way}: {flow.duplicates} came twice")
        if self.settled_s is None:
            found.append(f"left over: {self.census}")
        found += [
            f"{name} grew by {grown} KiB"
            for name, grown in self.growth_kib.items()
            if grown > growth_max_kib
        ]
        found += [
            f"{n} times a renewal ended so: {why}"
            for why, n in self.answers.items()
            if why != "done" and not any(reason in why for reason in PUT_OFF)
        ]
        for end, told in self.events.items():
            found += [f"{end}: {n} {name}" for name in NEVER if (n := told[name])]
        return found


def run(
    directory: Path,
    phase2: int,
    phase1: int,
    mixed: int = 0,
    *,
    peer: gateways.Peer = "isthmus",
    seed: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """So many rounds in which both ends renew phase 2, phase 1, and one of each."""
    with topology.two_sites(directory) as world, _ends(world, directory, peer) as ends:
        return _rounds(world, ends, _plan(phase2, phase1, mixed, seed), seed, say)


def _plan(phase2: int, phase1: int, mixed: int, seed: int) -> list[Round]:
    plan = [(2, 2)] * phase2 + [(1, 1)] * phase1
    plan += [(1, 2), (2, 1)] * (mixed // 2)
    random.Random(seed).shuffle(plan)
    return plan


@contextmanager
def _ends(world: World, directory: Path, peer: gateways.Peer) -> Iterator[tuple[End, End]]:
    psk = gateways.fresh_psk()
    near = Isthmus(world, SITE_A.gateway, directory / SITE_A.gateway)
    near.write(_tunnel(SITE_A, psk))
    near.start()
    far_directory = directory / SITE_B.gateway
    far: End
    if peer == "isthmus":
        daemon = Isthmus(world, SITE_B.gateway, far_directory)
        daemon.write(_tunnel(SITE_B, psk))
        daemon.start()
        far = IsthmusEnd(daemon, SITE_B)
    else:
        charon = gateways.start_strongswan(
            world, SITE_B, far_directory, psk, proposals=IKE, rule_proposals=ESP
        )
        far = CharonEnd(charon, SITE_B)
    near.request("up", tunnel=gateways.tunnel_name(SITE_A), timeout_s=ANSWER_S)
    yield IsthmusEnd(near, SITE_A), far


def _tunnel(site: Site, psk: str) -> gateways.Tunnel:
    return gateways.tunnel(site, psk, "policy", proposals=IKE, rule_proposals=ESP)


def _rounds(
    world: World,
    ends: tuple[End, End],
    plan: list[Round],
    seed: int,
    say: Callable[[str], None],
) -> Report:
    chance = random.Random(seed)
    names = [site.gateway for site in SITES]
    answers: Counter[str] = Counter()
    resident: list[tuple[int, dict[str, dict[str, int]]]] = []

    def measure(after: int) -> None:
        found = {name: end.resident_kib() for name, end in zip(names, ends, strict=True)}
        resident.append((after, {name: rss for name, rss in found.items() if rss}))

    flowing = {
        f"{here.letter} to {there.letter}": flows.start(
            world, here.host, there.host, there.host4, interval_s=1 / RATE
        )
        for here, there in ((SITE_A, SITE_B), (SITE_B, SITE_A))
    }
    queues = {name: _overflowed(world, name) for name in names}
    started = time.monotonic()
    try:
        time.sleep(0.5)
        for number, phases in enumerate(plan):
            answers.update(_both(ends, phases, chance.uniform(-APART_S, APART_S)))
            time.sleep(chance.uniform(0.0, 2 * PAUSE_S))
            if (number + 1) % max(1, len(plan) // 10) == 0:
                measure(number + 1)
                say(f"{number + 1} of {len(plan)} rounds: {dict(answers)}")
        ended = time.monotonic()
        settled_s = _until_clean(ends)
        # Memory is measured once what waits to be forgotten has been.
        time.sleep(max(0.0, ended + CENSUS_S - time.monotonic()))
        measure(len(plan))
        counted = {way: flow.finish() for way, flow in flowing.items()}
    finally:
        for flow in flowing.values():
            flow.abandon()
    named = dict(zip(names, ends, strict=True))
    return Report(
        rounds=Counter(plan),
        seconds=ended - started,
        answers=answers,
        events={name: end.events() for name, end in named.items()},
        flows=counted,
        drops={name: end.drops() for name, end in named.items() if isinstance(end, IsthmusEnd)},
        overflowed={name: _overflowed(world, name) - n for name, n in queues.items()},
        settled_s=settled_s,
        census={name: end.census() for name, end in named.items()},
        resident_kib=resident,
    )


def _overflowed(world: World, gateway: str) -> int:
    """Packets that the kernel has dropped so far because a queue of a socket or device was full."""
    text = world.run(gateway, ["cat", "/proc/net/snmp", "/proc/net/raw", "/proc/net/dev"])
    heads: dict[str, list[str]] = {}
    count = 0
    for line in text.splitlines():
        words = line.split()
        if words[0] == "Udp:" and "Udp:" in heads:
            count += int(words[heads["Udp:"].index("RcvbufErrors")])
        heads[words[0]] = words
        if words[0].rstrip(":").isdigit() and len(words) == 13:  # a raw socket; drops come last
            count += int(words[12])
        if words[0] in ("isthmus0:", "ipsec0:"):
            count += int(words[12])  # what could not be queued for the program that reads
    return count


def _both(ends: tuple[End, End], phases: Round, apart_s: float) -> list[str]:
    """Both are told, the second `apart_s` after the first (negative: before it)."""
    answers = ["", ""]
    at = time.monotonic() + 0.01

    def tell(number: int, at: float) -> None:
        time.sleep(max(0.0, at - time.monotonic()))
        try:
            answers[number] = ends[number].renew(phases[number])
        except Exception as error:
            answers[number] = f"{type(error).__name__}: {error}"

    second = threading.Thread(target=tell, args=(1, at + max(0.0, apart_s)))
    second.start()
    tell(0, at + max(0.0, -apart_s))
    second.join()
    return answers


def _until_clean(ends: tuple[End, End]) -> float | None:
    """Seconds until both ends hold one IKE SA and one Child SA, the same crosswise."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < CENSUS_S:
        near, far = (end.census() for end in ends)
        crosswise = frozenset((o, i) for i, o in far[2])
        if near[:2] == far[:2] == (1, 1) and near[2] == crosswise and len(near[2]) == 1:
            return waited
        time.sleep(0.1)
    return None


def _resident_kib(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0]) if lines else 0
