"""R-30 in small: a changed file under traffic, a broken one, one that is taken back.

Twenty tunnels between two Isthmus gateways, told apart by their identities; each leads to one
address of the far host.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from isthmus.lab import capture, measure, topology
from isthmus.lab.daemon import Isthmus, Reply, Tunnel
from isthmus.lab.namespaces import World
from isthmus.lab.topology import INSIDE, INTERNET, Site

from .numbered import PSK, name, target, target_lines, tunnel, with_other_suite
from .support import SITE_A, SITE_B, eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

TUNNELS = 20
PACKETS_PER_SECOND = 200
STAYING, REKEYED, RESTARTED = range(3)
"""Numbers of tunnels."""
APPLIED_WITHIN_MS = 500
CONFIG_INVALID = 3


@dataclass
class Two:
    """Both gateways, and what each was told."""

    world: World
    near: Isthmus
    far: Isthmus
    directory: Path
    told: dict[str, list[Tunnel]]

    def tell(self, site: Site, number: int, changed: Tunnel) -> None:
        """Write a changed tunnel into a gateway's file; nothing is reloaded yet."""
        self.told[site.letter][number] = changed
        gateway = self.near if site is SITE_A else self.far
        gateway.write(*self.told[site.letter])

    def up(self, *numbers: int) -> None:
        """Bring tunnels up from the near side."""
        for number in numbers:
            self.near.request("up", tunnel=name(number), timeout_s=20.0)

    def status(self, number: int) -> Reply:
        """A tunnel at the near side."""
        (found,) = self.near.request("status", tunnel=name(number))[-1]["tunnels"]
        assert isinstance(found, dict)
        return found

    def spis(self, number: int) -> tuple[str, set[str]]:
        """SPIs of phase 1 and of phase 2 of a tunnel."""
        found = self.status(number)
        (rule,) = found["rules"]
        return str(found["phase1"]["spi_i"]), {child["spi_in"] for child in rule["children"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Namespaces of these tests alone: in the common ones a charon holds site B's ports."""
    require_root_and()
    with topology.two_sites(tmp_path_factory.mktemp("w")) as found:
        yield found


@pytest.fixture
def two(world: World, short_directory: Path) -> Iterator[Two]:
    """Twenty tunnels at both ends, armed."""
    gateways = [
        Isthmus(world, site.gateway, short_directory / f"reload-{site.letter}")
        for site in (SITE_A, SITE_B)
    ]
    told = {s.letter: [tunnel(s, n) for n in range(TUNNELS)] for s in (SITE_A, SITE_B)}
    batch = ["ip", "-netns", SITE_B.host, "-batch", "-"]
    world.run(None, batch, input_text=target_lines("add", TUNNELS))
    try:
        for gateway, site in zip(gateways, (SITE_A, SITE_B), strict=True):
            gateway.write(*told[site.letter])
            gateway.start()
        yield Two(world, gateways[0], gateways[1], short_directory, told)
    finally:
        for gateway in gateways:
            gateway.stop()
        world.run(None, batch, input_text=target_lines("del", TUNNELS))


def in_clear(watching: capture.Capture) -> list[str]:
    """What was seen with an inside address. (That a port is closed while a daemon is dead, a kernel
    may say: it quotes nothing but what is sealed.)"""
    return [
        packet.text
        for packet in watching.packets()
        for network in INSIDE
        if ip_address(packet.source) in network or ip_address(packet.destination) in network
    ]


def test_two_of_twenty_change_under_traffic(two: Two) -> None:
    """A rekey and a restart, reloaded at both ends: the others lose nothing and keep their SAs,
    the rekeyed one loses nothing either, and nobody reads an inside address meanwhile."""
    two.up(STAYING, REKEYED, RESTARTED)
    before = {n: two.spis(n) for n in (STAYING, REKEYED, RESTARTED)}
    watching = capture.start(two.world, INTERNET, two.directory / "reload.pcap", strange_to=INSIDE)
    pinging = {
        n: measure.start_ping(two.world, SITE_A.host, target(n), interval_s=1 / PACKETS_PER_SECOND)
        for n in (STAYING, REKEYED, RESTARTED)
    }
    try:
        time.sleep(0.5)
        for site in (SITE_B, SITE_A):
            terms = two.told[site.letter]
            two.tell(site, REKEYED, with_other_suite(terms[REKEYED]))
            another = "fqdn:another.a.example"
            restarted = (
                replace(terms[RESTARTED], local_id=another)
                if site is SITE_A
                else replace(terms[RESTARTED], remote_id=another)
            )
            two.tell(site, RESTARTED, restarted)
        plan = two.near.do("plan")
        planned = {line.split()[0]: line.split()[1] for line in plan.splitlines()[1:3]}
        assert planned == {name(REKEYED): "rekey", name(RESTARTED): "restart"}
        assert f"{TUNNELS - 2} tunnels as before." in plan
        two.far.do("reload")
        done = json.loads(two.near.do("reload", "--wait", "--json"))
        time.sleep(1.0)
        pings = {n: running.finish() for n, running in pinging.items()}
    finally:
        for running in pinging.values():
            running.abandon()
    strange = in_clear(watching)
    print(f"reload took {done['elapsed_s'] * 1000:.0f} ms with --wait;", end=" ")
    print({name(n): f"{len(p.lost)} of {p.sent} lost" for n, p in pings.items()})
    assert strange == []
    for n in (STAYING, REKEYED):
        assert pings[n].sent > PACKETS_PER_SECOND and pings[n].lost == () and pings[n].errors == 0
    assert len(pings[RESTARTED].lost) < PACKETS_PER_SECOND, "a gap of a second at the most"
    assert two.spis(STAYING) == before[STAYING]
    phase1, phase2 = two.spis(REKEYED)
    assert phase1 == before[REKEYED][0] and phase2.isdisjoint(before[REKEYED][1])
    assert two.spis(RESTARTED)[0] != before[RESTARTED][0]
    assert two.status(RESTARTED)["phase1"]["local_id"] == "fqdn:another.a.example"
    applied = [e for e in two.near.events() if e["event"] == "config.reloaded"]
    assert [e["read_ms"] + e["applied_ms"] < APPLIED_WITHIN_MS for e in applied] == [True]


def test_other_networks_under_traffic_let_nothing_out_in_clear(two: Two) -> None:
    """A rule grows over a network, moves off it and comes back, and tunnels come and go beside it:
    what one of the files protects is never seen on the way from it to the next."""
    two.up(STAYING, REKEYED)
    before = two.spis(STAYING)
    wide = f"{target(REKEYED - 1)}/31", f"{target(REKEYED)}/32"
    watching = capture.start(two.world, INTERNET, two.directory / "moves.pcap", strange_to=INSIDE)
    pinging = [
        measure.start_ping(two.world, SITE_A.host, target(n), interval_s=1 / PACKETS_PER_SECOND)
        for n in (STAYING, REKEYED)
    ]
    whole = {letter: list(terms) for letter, terms in two.told.items()}
    try:
        time.sleep(0.3)
        for turn in range(6):
            for site, gateway in ((SITE_B, two.far), (SITE_A, two.near)):
                terms = list(whole[site.letter])
                (rule,) = terms[REKEYED].rules
                moved = wide if turn % 2 == 0 else (f"{target(REKEYED)}/32",)
                grown = (
                    replace(rule, remote=moved) if site is SITE_A else replace(rule, local=moved)
                )
                terms[REKEYED] = replace(terms[REKEYED], rules=(grown,))
                gateway.write(*terms[: TUNNELS - 5 * (turn % 2)])
                gateway.do("reload")
        time.sleep(1.0)
        staying, changed = (running.finish() for running in pinging)
    finally:
        for running in pinging:
            running.abandon()
    strange = in_clear(watching)
    print(
        f"12 reloads: {len(staying.lost)} of {staying.sent} lost on the tunnel that stayed,",
        end=" ",
    )
    print(f"{len(changed.lost)} of {changed.sent} on the one that changed, {len(strange)} in clear")
    assert strange == []
    assert staying.lost == () and staying.errors == 0
    assert two.spis(STAYING) == before
    assert len(changed.lost) < changed.sent / 2
    again = measure.ping(two.world, SITE_A.host, target(REKEYED), count=5, interval_s=0.05)
    assert again.lost == ()


def test_another_secret_is_read_without_privileges_and_never_shown(two: Two) -> None:
    """The IKE process gave its capabilities up long ago, and still owns the secrets' files."""
    two.up(STAYING, REKEYED)
    before = {n: two.spis(n) for n in (STAYING, REKEYED)}
    new = "another-pre-shared-key-for-reloads-9876543210"
    for site in (SITE_B, SITE_A):
        two.tell(site, REKEYED, replace(two.told[site.letter][REKEYED], psk=new))
    plan = two.near.do("plan")
    assert f"Secrets changed: {name(REKEYED)} (value not shown)" in plan
    assert "restart" in plan and "pre-shared key changed" in plan
    two.far.do("reload")
    two.near.do("reload", "--wait")
    assert two.spis(REKEYED)[0] != before[REKEYED][0]
    assert two.spis(STAYING) == before[STAYING]
    pings = measure.ping(two.world, SITE_A.host, target(REKEYED), count=5, interval_s=0.05)
    assert pings.lost == ()
    for secret in (new, PSK):
        assert secret not in plan + two.near.log.read_text() + two.far.log.read_text()


def test_a_broken_file_changes_nothing_and_names_line_and_reason(two: Two) -> None:
    two.up(STAYING)
    before = two.spis(STAYING)
    text = two.near.configuration.read_text()
    two.near.configuration.write_text(f"{text}\n[tunnel.broken]\npeer = 7\nnonsense = true\n")
    line = text.count("\n") + 3
    for verb in ("plan", "reload"):
        refused = two.near.ask(verb)
        assert refused.returncode == CONFIG_INVALID
        assert f"{two.near.configuration}:{line}:" in refused.stderr
        assert "nonsense" in refused.stderr
        assert "nothing was changed" in refused.stderr
    assert two.near.pid is not None
    os.killpg(two.near.pid, signal.SIGHUP)
    eventually(
        "SIGHUP is refused in the log",
        lambda: (
            two.near.log.read_text().count("config.refused") >= 2
            or two.near.log.read_text().count("nothing was changed") >= 2
        ),
    )
    assert two.spis(STAYING) == before
    assert len(two.near.status()["tunnels"]) == TUNNELS
    two.near.configuration.write_text(text)
    assert "Nothing to apply" in two.near.do("plan")


def test_what_nobody_confirms_is_taken_back(two: Two) -> None:
    two.up(STAYING)
    before = two.spis(STAYING)
    two.told["a"].pop()
    two.near.write(*two.told["a"])
    gone = name(TUNNELS - 1)

    def there() -> bool:
        return gone in [t["name"] for t in two.near.status()["tunnels"]]

    def policies() -> set[str]:
        return {p["name"] for p in two.near.request("policy")[-1]["policies"]}

    two.near.do("reload", "--rollback-after", "1s")
    assert not there() and f"{gone}/lan" not in policies()
    eventually("the earlier configuration comes back", there)
    assert f"{gone}/lan" in policies()
    assert two.spis(STAYING) == before
    two.near.do("reload", "--rollback-after", "1s")
    two.near.do("reload", "--confirm")
    assert two.near.ask("reload", "--confirm").returncode == 1
    time.sleep(1.5)
    assert not there()
    assert two.spis(STAYING) == before
    measure_ok = measure.ping(two.world, SITE_A.host, target(STAYING), count=3, interval_s=0.05)
    assert measure_ok.lost == ()


def left_over(gateway: Isthmus) -> str:
    """Devices, rules and routes of ours in a gateway's namespace."""
    run, namespace = gateway.world.run, gateway.namespace
    found = run(namespace, ["ip", "-o", "link"]) + run(namespace, ["ip", "rule"])
    found += run(namespace, ["ip", "route", "show", "table", "all", "proto", "145"])
    return "\n".join(
        line
        for line in found.splitlines()
        if "isthmus0" in line
        or "proto 145" in line
        or any(f"{priority}:" in line for priority in range(4500, 4505))
        or "unreachable 10." in line
    )


def test_what_kill_9_left_is_found_and_cleared(two: Two) -> None:
    """Nothing leaks while no process of ours lives; the next start has another file."""
    two.up(STAYING)
    gone = two.told["a"].pop()
    watching = capture.start(two.world, INTERNET, two.directory / "kill.pcap", strange_to=INSIDE)
    assert two.near.pid is not None
    os.killpg(two.near.pid, signal.SIGKILL)
    eventually("the daemon is gone", lambda: not two.near.answers())
    lost = measure.ping(
        two.world, SITE_A.host, target(STAYING), count=10, interval_s=0.02, wait_s=0.2
    )
    assert len(lost.lost) + lost.errors >= 10
    assert left_over(two.near), "routes that keep traffic from leaving in clear"
    assert in_clear(watching) == []
    two.near.stop()
    two.near.write(*two.told["a"])
    two.near.start()
    assert target(TUNNELS - 1) not in left_over(two.near)
    assert gone.name not in [t["name"] for t in two.near.status()["tunnels"]]
    again = measure.ping(two.world, SITE_A.host, target(STAYING), count=5, interval_s=0.05)
    assert again.lost == ()
    two.near.stop()
    assert left_over(two.near) == ""


def test_a_clean_stop_leaves_nothing_at_either_end(two: Two) -> None:
    two.up(STAYING, REKEYED)
    two.near.stop()
    assert left_over(two.near) == ""
    far = two.far.status()["tunnels"]
    assert [t["name"] for t in far if t["phase1"]["state"] == "up"] == []
    assert two.far.request("sa")[-1]["phase1"] == []
