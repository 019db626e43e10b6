"""Two sites that both use 10.0.0.0/24 talk to each other by the addresses that `map_local` gives.

Against strongSwan, which cannot map, site B is given the network that it claims to have.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from isthmus.lab import capture, espview, gateways, measure, packets, topology
from isthmus.lab.daemon import Isthmus, Rule
from isthmus.lab.gateways import Mode
from isthmus.lab.namespaces import World
from isthmus.lab.packets import Esp
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B, Site

from .support import require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

OWN = "10.0.0.0/24"
SEEN = {"a": "172.16.5.0/24", "b": "172.16.6.0/24"}
HOST = "10.0.0.10"
CLOSED_PORT = 9


@dataclass(frozen=True, slots=True)
class Sites:
    """Both sites, ready to talk; `far_host` is how site A addresses site B's host."""

    world: World
    near: Isthmus
    directory: Path
    far_is_mapped: bool

    @property
    def far_host(self) -> str:
        """As site A addresses it."""
        return SEEN["b"].replace(".0/24", ".10")

    @property
    def near_host(self) -> str:
        """As site B addresses it."""
        return SEEN["a"].replace(".0/24", ".10")


def renumber(world: World, site: Site, network: str) -> None:
    """Give a site's network other addresses."""
    host, gateway = (network.replace(".0/24", end) for end in (".10/24", ".1/24"))
    router = network.replace(".0/24", ".1")
    for namespace, device, batch in (
        (site.host, "eth0", f"address add {host} dev eth0\nroute add default via {router}\n"),
        (site.gateway, "lan", f"address add {gateway} dev lan\n"),
    ):
        text = f"address flush dev {device} scope global\n{batch}"
        world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=text)


def start(world: World, site: Site, directory: Path, psk: str, mode: Mode) -> Isthmus:
    """A gateway of ours that gives its 10.0.0.0/24 another face."""
    far = gateways.other(site)
    table = f'{{ "{OWN}" = "{SEEN[site.letter]}" }}'
    tunnel = gateways.tunnel(site, psk, mode)
    if mode == "policy":
        rule = Rule(gateways.RULE, (OWN,), (SEEN[far.letter],), settings={"map_local": table})
        tunnel = replace(tunnel, rules=(rule,))
    else:
        routes = (SEEN[far.letter],)
        tunnel = replace(tunnel, routes=routes, settings={"map_local": table})
    gateway = Isthmus(world, site.gateway, directory / site.gateway, keys_exported=True)
    gateway.write(tunnel)
    gateway.start()
    return gateway


@pytest.fixture(params=["isthmus-policy", "isthmus-route", "strongswan-policy"])
def sites(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sites]:
    """Nothing negotiated yet."""
    peer, _, mode = request.param.partition("-")
    require_root_and(*(("strongswan",) if peer == "strongswan" else ()))
    with topology.two_sites(tmp_path) as world:
        psk = gateways.fresh_psk()
        renumber(world, SITE_A, OWN)
        near = start(world, SITE_A, tmp_path, psk, mode)
        if peer == "isthmus":
            renumber(world, SITE_B, OWN)
            end: Isthmus | Charon = start(world, SITE_B, tmp_path, psk, mode)
        else:
            renumber(world, SITE_B, SEEN["b"])
            home = tmp_path / SITE_B.gateway
            home.mkdir(mode=0o700)
            end = Charon(world, SITE_B.gateway, home)
            end.start()
            told = gateways.connection(SITE_B, psk)
            child = replace(
                told.children[gateways.RULE], local_ts=(SEEN["b"],), remote_ts=(SEEN["a"],)
            )
            end.load(replace(told, children={gateways.RULE: child}))
        yield Sites(world, near, tmp_path, peer == "isthmus")
        print(f"--- a\n{near.log_tail(60)}\n--- b\n{end.log_tail(60)}")


_REFUSED = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.settimeout(5)
    one.connect((sys.argv[1], int(sys.argv[2])))
    one.send(b"anybody there?")
    try:
        one.recv(100)
    except ConnectionRefusedError:
        print("refused")
"""


def port_is_refused(world: World, host: str, address: str) -> bool:
    """Whether an ICMP error about a closed UDP port finds its way to the socket that asked."""
    argv = ["python3", "-I", "-c", _REFUSED, address, str(CLOSED_PORT)]
    return world.run(host, argv).strip() == "refused"


def test_sites_with_the_same_network_reach_each_other(sites: Sites) -> None:
    """ICMP, TCP and ICMP errors both ways; on the wire are only the addresses that were agreed."""
    world = sites.world
    wire = capture.start(world, INTERNET, sites.directory / "wire.pcap")
    for host, address in ((SITE_A.host, sites.far_host), (SITE_B.host, sites.near_host)):
        pings = measure.ping(world, host, address, count=5, interval_s=0.02, wait_s=5)
        assert (pings.received, pings.duplicates) == (5, 0)
        big = measure.ping(world, host, address, count=2, size=4000, wait_s=5)
        assert big.received == 2, "fragments are mapped too"
        assert port_is_refused(world, host, address)
    far_own = HOST if sites.far_is_mapped else sites.far_host
    for source, target, address, own in (
        (SITE_A.host, SITE_B.host, sites.far_host, far_own),
        (SITE_B.host, SITE_A.host, sites.near_host, HOST),
    ):
        assert measure.transfer(
            world, source, target, address, 300_000, own_address=own, timeout_s=30
        ).match
    (rule,) = sites.near.tunnel()["rules"]
    (child,) = rule["children"]
    keys = espview.read_keys([sites.near.keys])
    seen = wire.packets()
    inside = [espview.open_esp(p.content, keys) for p in seen if isinstance(p.content, Esp)]
    ends = {(packet.source, packet.destination) for packet in inside}
    assert ends == {(sites.near_host, sites.far_host), (sites.far_host, sites.near_host)}
    hidden = [ip_network(n) for n in (OWN, *SEEN.values())]
    assert packets.inside_in_clear(seen, hidden) == []
    assert rule["map_local"] == {OWN: SEEN["a"]}
    if rule["selectors"]["local"] == [OWN]:
        assert child["local"] == [SEEN["a"]] and child["remote"] == [SEEN["b"]]
    assert f"{OWN} as {SEEN['a']}" in sites.near.do("status", "site-b")
    told = sites.near.do("which", HOST, sites.far_host)
    assert f"The peer sees it come from {sites.near_host}" in told
