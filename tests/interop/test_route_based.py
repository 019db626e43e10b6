"""Route-based tunnels: one SA pair for everything, and a routing daemon that fails over.

For BGP both gateways are Isthmus: strongSwan's kernel-libipsec has no interface for each tunnel.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.lab import capture, gateways, measure, packets, topology
from isthmus.lab.daemon import Isthmus, Tunnel
from isthmus.lab.frr import Frr, Speaker
from isthmus.lab.namespaces import CommandFailed, World
from isthmus.lab.packets import Esp
from isthmus.lab.topology import INSIDE, INTERNET, SITE_A, SITE_B, Site

from .support import SUITES, CharonGateway, eventually, require_root_and, terms

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

PAIRS = 5
BACK_WITHIN_S = 4.0
INTERVAL_S = 0.01
INSIDE4 = {("a", 1): "169.254.10.1", ("b", 1): "169.254.10.2"}
INSIDE4 |= {("a", 2): "169.254.20.1", ("b", 2): "169.254.20.2"}
AS = {"a": 65001, "b": 65002}


def outer(site: Site, number: int) -> str:
    """The gateway's outer address of one of its two tunnels."""
    return str(site.outside4[number])


def network(site: Site, number: int) -> str:
    """One of a site's inside networks; the first is the topology's own."""
    return f"10.{1 if site is SITE_A else 2}.{number}.0/24"


def host(site: Site, number: int) -> str:
    """The host's address in one of its networks."""
    return network(site, number).replace(".0/24", ".10")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two sites with five networks each, and gateways with two outer addresses each."""
    require_root_and()
    with topology.two_sites(tmp_path_factory.mktemp("w")) as world:
        for site, far in ((SITE_A, SITE_B), (SITE_B, SITE_A)):
            gateway = [f"address add {outer(site, 2)}/24 dev wan"]
            behind = []
            for n in range(1, PAIRS):
                gateway.append(f"address add {network(site, n).replace('.0/24', '.1/24')} dev lan")
                behind.append(f"address add {host(site, n)}/24 dev eth0")
                # Each network talks to its mate, whichever others there are.
                source = f"via {site.gateway_inside4} src {host(site, n)}"
                behind.append(f"route add {network(far, n)} {source}")
            for namespace, batch in ((site.gateway, gateway), (site.host, behind)):
                text = "\n".join(batch) + "\n"
                world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=text)
        yield world


@pytest.fixture
def ends(ground: World, short_directory: Path) -> Iterator[tuple[Isthmus, Isthmus]]:
    """The two daemons, told nothing yet."""
    both = tuple(Isthmus(ground, s.gateway, short_directory / s.letter) for s in (SITE_A, SITE_B))
    yield both[0], both[1]
    for daemon in both:
        daemon.stop()
        print(f"--- isthmusd in {daemon.namespace}\n{daemon.log_tail(80)}")


def tunnel(site: Site, number: int, psk: str, version: int = 2, **more: object) -> Tunnel:
    """One side of one of the two tunnels."""
    far = gateways.other(site)
    return Tunnel(
        name=f"way{number}",
        peer=outer(far, number),
        psk=psk,
        inside=f"{INSIDE4[site.letter, number]}/30",
        settings={
            "local_address": json.dumps(outer(site, number)),
            "dpd": '{ every = "1s", timeout = "2s", action = "reconnect" }',
            "ike": str(version),
        },
        **more,  # type: ignore[arg-type]
    )


def pairs(daemon: Isthmus, name: str) -> set[tuple[str, str]]:
    """SPIs of the Child SAs of a tunnel that carry traffic."""
    (found,) = (t for t in daemon.status()["tunnels"] if t["name"] == name)
    return {
        (c["spi_in"], c["spi_out"])
        for rule in found["rules"]
        for c in rule["children"]
        if c["state"] in ("installed", "rekeying")
    }


@pytest.mark.parametrize("version", [2, 1], ids=["ikev2", "ikev1"])
def test_flows_of_every_kind_use_one_pair_of_sas(
    ground: World, ends: tuple[Isthmus, Isthmus], short_directory: Path, version: int
) -> None:
    """Five pairs of networks, both families, ICMP and TCP; then the same after a rekey. A pair of
    IKEv1 has one family."""
    psk = gateways.fresh_psk()
    for daemon, site in zip(ends, (SITE_A, SITE_B), strict=True):
        far = gateways.other(site)
        wide = network(far, 0).replace(".0.0/24", ".0.0/16")
        routes = (wide, far.network(6)) if version == 2 else (wide,)
        daemon.write(tunnel(site, 1, psk, version, routes=routes))
        daemon.start()
    wire = capture.start(ground, INTERNET, short_directory / "flows.pcap")
    try:
        before = ten_flows(ground, ends, version)
        ends[0].request("rekey", tunnel="way1", phase=2)
        eventually("one new pair is there", lambda: one_other_pair(ends, before))
        after = ten_flows(ground, ends, version)
        seen = wire.packets()
    finally:
        wire.abandon()
    assert before.isdisjoint(after)
    spis = {p.content.spi for p in seen if isinstance(p.content, Esp)}
    assert {int(spi, 16) for pair in before | after for spi in pair} == spis
    assert packets.inside_in_clear(seen, INSIDE) == []


def ten_flows(ground: World, ends: tuple[Isthmus, Isthmus], version: int) -> set[tuple[str, str]]:
    """Nine over IPv4 and one over IPv6, three over IPv4 with IKEv1; returns the one pair of SAs
    that carried them."""
    for n in range(PAIRS if version == 2 else 2):
        pings = measure.ping(ground, SITE_A.host, host(SITE_B, n), count=5, interval_s=0.01)
        assert pings.received == 5
        if n:
            moved = measure.transfer(ground, SITE_A.host, SITE_B.host, host(SITE_B, n), 300_000 + n)
            assert moved.match
    if version == 2:
        pings = measure.ping(ground, SITE_A.host, SITE_B.host6, count=5, interval_s=0.01)
        assert pings.received == 5
    found = pairs(ends[0], "way1")
    assert len(found) == 1
    assert {(b, a) for a, b in pairs(ends[1], "way1")} == found
    return found


def one_other_pair(ends: tuple[Isthmus, Isthmus], before: set[tuple[str, str]]) -> bool:
    """A pair has taken the place of the earlier one on both sides."""
    found = pairs(ends[0], "way1")
    return (
        len(found) == 1
        and found.isdisjoint(before)
        and {(b, a) for a, b in pairs(ends[1], "way1")} == found
    )


def test_strongswan_narrows_both_families_into_one_pair(
    world: World, far: CharonGateway, short_directory: Path
) -> None:
    """We offer everything of both families; a policy-based peer keeps of it what it protects."""
    both = (str(SITE_A.inside4), str(SITE_A.inside6)), (str(SITE_B.inside4), str(SITE_B.inside6))
    agreed = replace(terms(SUITES[0], 4), local_ts=both[0], remote_ts=both[1])
    far.begin(agreed.mirror())
    near = Isthmus(world, SITE_A.gateway, short_directory / "narrowed")
    near.write(
        Tunnel(
            name="far",
            peer=SITE_B.outer4,
            psk=agreed.psk,
            local_id=f"fqdn:{agreed.local_id}",
            remote_id=f"fqdn:{agreed.remote_id}",
            routes=both[1],
            proposals=(agreed.ike,),
            settings={"proposals": json.dumps([agreed.esp])},
        )
    )
    try:
        near.start()
        for family in (4, 6):
            target = SITE_B.host_address(family)
            pings = measure.ping(world, SITE_A.host, target, count=5, interval_s=0.05)
            assert pings.received == 5
        (pair,) = pairs(near, "far")
        assert far.child_sas() == {(int(pair[1], 16), int(pair[0], 16))}
    finally:
        near.stop()
        far.finish()
        print(near.log_tail(60), far.diary())


@pytest.fixture
def speakers(ground: World, ends: tuple[Isthmus, Isthmus]) -> Iterator[tuple[Frr, Frr]]:
    """Two tunnels between the gateways, and FRR on both that announces the site's networks."""
    require_root_and("frr", "nftables")
    psk = gateways.fresh_psk()
    both = Frr(ground, SITE_A.gateway), Frr(ground, SITE_B.gateway)
    for daemon, site, speaker in zip(ends, (SITE_A, SITE_B), both, strict=True):
        far = gateways.other(site)
        start = "always" if site is SITE_A else "listen"
        daemon.write(*(tunnel(site, n, psk, start=start) for n in (1, 2)))
        with daemon.configuration.open("a", encoding="utf-8") as file:
            file.write(
                f'[group.far]\ntunnels = ["way1", "way2"]\nprefer = "bgp"\n'
                f'protect = ["{far.inside4}"]\n'
            )
        daemon.start()
        neighbours = {INSIDE4[far.letter, n]: AS[far.letter] for n in (1, 2)}
        speaker.start(
            Speaker(AS[site.letter], site.gateway_inside4, (str(site.inside4),), neighbours)
        )
    yield both
    for speaker in both:
        print(f"--- FRR in {speaker.namespace}\n{speaker.diary()}")
        print(speaker.ask("show bgp ipv4 unicast summary"))
        speaker.stop()


def way(ground: World, site: Site) -> str:
    """The interface that the host's packets to the other site's host leave by; "" for none."""
    asked = ["ip", "route", "get", gateways.other(site).host4, "from", site.host4, "iif", "lan"]
    try:
        words = ground.run(site.gateway, asked).split()
    except CommandFailed:
        return ""
    return words[words.index("dev") + 1]


def cut(ground: World, number: int) -> None:
    """From now on the internet loses everything between the outer addresses of one tunnel."""
    one, two = outer(SITE_A, number), outer(SITE_B, number)
    rules = f"""
table ip cut {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    ip saddr {one} ip daddr {two} drop
    ip saddr {two} ip daddr {one} drop
  }}
}}
"""
    ground.run(INTERNET, ["nft", "-f", "-"], input_text=rules)


def test_bgp_goes_on_by_the_other_tunnel_when_one_is_cut(
    ground: World, ends: tuple[Isthmus, Isthmus], speakers: tuple[Frr, Frr], short_directory: Path
) -> None:
    """DPD timeout 2 s: traffic is back within 4 s of the cut, and nothing was ever in clear."""
    for speaker, far in zip(speakers, (SITE_B, SITE_A), strict=True):
        peers = {INSIDE4[far.letter, n] for n in (1, 2)}
        eventually(
            "both sessions stand", lambda s=speaker, p=peers: s.established() == p, timeout_s=25.0
        )
        prefix = str(far.inside4)
        eventually("the far network is learned", lambda s=speaker, p=prefix: p in s.learned())
    strange = capture.start(ground, INTERNET, short_directory / "strange.pcap", strange_to=INSIDE)
    running = measure.start_ping(ground, SITE_A.host, SITE_B.host4, interval_s=INTERVAL_S)
    try:
        time.sleep(1.0)
        used = way(ground, SITE_A)
        assert used in ("way1", "way2")
        number = int(used[-1])
        cut(ground, number)
        eventually("the other tunnel carries", lambda: way(ground, SITE_A) not in ("", used))
        status = ends[0].do("status")
        time.sleep(BACK_WITHIN_S)
        pings = running.finish()
        seen = strange.packets()
    finally:
        running.abandon()
        strange.abandon()
    assert packets.inside_in_clear(seen, INSIDE) == []
    assert pings.lost, "the cut was felt"
    silent_s = (max(pings.lost) - min(pings.lost) + 1) * INTERVAL_S
    print(f"silent for {silent_s:.2f} s")
    assert silent_s <= BACK_WITHIN_S, f"{silent_s:.2f} s without an answer"
    assert "1 of 2 up" in status and "redundancy lost since" in status
    ground.run(INTERNET, ["nft", "delete", "table", "ip", "cut"])
    eventually(
        "the tunnel that was cut has its session again",
        lambda: len(speakers[0].established()) == 2,
        timeout_s=25.0,
    )
    assert "2 of 2 up" in ends[0].do("status")


def test_a_backup_route_takes_over_and_gives_back(
    ground: World, ends: tuple[Isthmus, Isthmus], short_directory: Path
) -> None:
    """No routing daemon: the group's routes alone, by order; nothing is in clear with none up."""
    psk = gateways.fresh_psk()
    for daemon, site in zip(ends, (SITE_A, SITE_B), strict=True):
        start = "always" if site is SITE_A else "listen"
        daemon.write(*(tunnel(site, n, psk, start=start) for n in (1, 2)))
        with daemon.configuration.open("a", encoding="utf-8") as file:
            file.write(
                '[group.far]\ntunnels = ["way1", "way2"]\nprefer = "order"\n'
                f'routes = ["{gateways.other(site).inside4}"]\n'
            )
        daemon.start()
    for site in (SITE_A, SITE_B):
        eventually("the first tunnel carries", lambda s=site: way(ground, s) == "way1")
    strange = capture.start(ground, INTERNET, short_directory / "order.pcap", strange_to=INSIDE)
    running = measure.start_ping(ground, SITE_A.host, SITE_B.host4, interval_s=INTERVAL_S)
    try:
        cut(ground, 1)
        eventually("the second tunnel carries", lambda: way(ground, SITE_A) == "way2")
        time.sleep(1.0)
        ground.run(INTERNET, ["nft", "delete", "table", "ip", "cut"])
        for site in (SITE_A, SITE_B):
            eventually(
                "the first tunnel carries again",
                lambda s=site: way(ground, s) == "way1",
                timeout_s=25.0,
            )
        pings = running.finish()
        for daemon in ends:
            daemon.stop()
        seen = strange.packets()
    finally:
        running.abandon()
        strange.abandon()
    assert packets.inside_in_clear(seen, INSIDE) == []
    silent_s = (max(pings.lost) - min(pings.lost) + 1) * INTERVAL_S
    assert silent_s <= BACK_WITHIN_S, f"{silent_s:.2f} s without an answer"
