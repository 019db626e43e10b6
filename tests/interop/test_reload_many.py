"""F-18: a thousand tunnels of which ten change, reloaded under traffic over some of the others.

Two Isthmus gateways. The near one has them all; the far one has those that are up, each of which
leads to one address of the far host.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus, Tunnel
from isthmus.lab.namespaces import World
from isthmus.lab.topology import Site

from .numbered import name, target, target_lines, tunnel, with_other_suite
from .support import SITE_A, SITE_B, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

TUNNELS = 1000
LIVE = 24
CHANGED = (*range(4), *range(500, 506))
"""Four of them are up."""
QUIET = [n for n in range(LIVE) if n not in CHANGED]
PACKETS_PER_SECOND = 500
CONFIG_INVALID = 3
PATIENCE_S = 120.0


def armed(site: Site, number: int) -> Tunnel:
    """One end of a tunnel; those beyond `LIVE` lead to networks that nobody has."""
    nowhere = f"10.{128 + number // 250}.{number % 250}.0/24"
    return tunnel(site, number) if number < LIVE else tunnel(site, number, nowhere)


@dataclass
class Many:
    """Both gateways, and what each was told."""

    world: World
    near: Isthmus
    far: Isthmus
    told: dict[str, list[Tunnel]]

    def spis(self) -> dict[str, tuple[str, frozenset[str]]]:
        """SPIs of phase 1 and of phase 2 of each tunnel that is up at the near side."""
        return {
            found["name"]: (
                found["phase1"]["spi_i"],
                frozenset(c["spi_in"] for rule in found["rules"] for c in rule["children"]),
            )
            for found in self.near.status()["tunnels"]
            if found["phase1"]["state"] == "up"
        }


@pytest.fixture
def many(short_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """Everything armed, and the first `LIVE` of them up."""
    require_root_and()
    with topology.two_sites(tmp_path_factory.mktemp("w")) as world:
        world.run(
            None, ["ip", "-netns", SITE_B.host, "-batch", "-"], input_text=target_lines("add", LIVE)
        )
        told = {
            "a": [armed(SITE_A, n) for n in range(TUNNELS)],
            "b": [armed(SITE_B, n) for n in range(LIVE)],
        }
        gateways = []
        for site in (SITE_A, SITE_B):
            gateway = Isthmus(world, site.gateway, short_directory / f"many-{site.letter}")
            gateway.write(*told[site.letter])
            gateway.start(patience_s=PATIENCE_S)
            gateways.append(gateway)
        for number in range(LIVE):
            gateways[0].request("up", tunnel=name(number), timeout_s=PATIENCE_S)
        yield Many(world, gateways[0], gateways[1], told)
        for gateway in gateways:
            gateway.stop()


def test_ten_of_a_thousand_change_under_traffic_over_the_others(many: Many) -> None:
    """A bad file changes nothing; a good one touches the ten and no others, and no packet of any
    tunnel is lost."""
    before = many.spis()
    assert set(before) == {name(n) for n in range(LIVE)}
    pinging = {
        what: measure.start_ping(
            many.world,
            SITE_A.host,
            *(target(n) for n in numbers),
            interval_s=1 / PACKETS_PER_SECOND,
            wait_s=5.0,
        )
        for what, numbers in (("others", QUIET), ("changed", [n for n in CHANGED if n < LIVE]))
    }
    try:
        time.sleep(0.5)
        for letter, gateway in (("b", many.far), ("a", many.near)):
            terms = many.told[letter]
            for number in CHANGED:
                if number < len(terms):
                    terms[number] = with_other_suite(terms[number])
            gateway.write(*terms)
        text = many.near.configuration.read_text()
        many.near.configuration.write_text(f"{text}\n[tunnel.broken]\npeer = 7\n")
        refused = many.near.ask("reload", timeout_s=PATIENCE_S)
        assert refused.returncode == CONFIG_INVALID and "nothing was changed" in refused.stderr
        assert many.spis() == before
        many.near.configuration.write_text(text)
        many.far.do("reload", timeout_s=PATIENCE_S)
        many.near.do("reload", "--wait", timeout_s=PATIENCE_S)
        time.sleep(0.5)
        pings = {what: running.finish() for what, running in pinging.items()}
    finally:
        for running in pinging.values():
            running.abandon()
    (event,) = [e for e in many.near.events() if e["event"] == "config.reloaded"]
    print(f"{event['read_ms']} ms to read, {event['applied_ms']} ms to apply;", end=" ")
    print({what: f"{len(p.lost)} of {p.sent} lost" for what, p in pings.items()})
    for ping in pings.values():
        assert ping.sent > PACKETS_PER_SECOND / 2 and ping.lost == () and ping.errors == 0
    touched = ", ".join(f"{name(n)} rekey" for n in CHANGED)
    assert event["message"] == f"{touched}; {TUNNELS - len(CHANGED)} as before"
    after = many.spis()
    assert set(after) == set(before)
    for number in range(LIVE):
        (old1, old2), (new1, new2) = before[name(number)], after[name(number)]
        assert new1 == old1
        assert new2.isdisjoint(old2) if number in CHANGED else new2 == old2
