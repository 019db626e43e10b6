"""Policy mode against strongSwan: rules with suites of their own under one phase 1, everything else
left alone, and nothing that matches ever in clear."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.lab import capture, espview, gateways, measure, packets, topology
from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.namespaces import World, end
from isthmus.lab.packets import Esp, Packet
from isthmus.lab.strongswan import Charon, Child, ChildView, Connection
from isthmus.lab.topology import INSIDE, INTERNET, SITE_A, SITE_B, Site
from isthmus.lab.vici import ViciError
from isthmus.values.registry.ikev2 import Encr

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

IKE = {1: "aes256-sha384-ecp256", 2: "aes256gcm16-prfsha384-x25519"}
"""By version."""
NEAR, FAR = SITE_A.network(4), SITE_B.network(4)
WEB_PORT, DATABASE_PORT, OTHER_PORT = 80, 5432, 7000
PORTS = (WEB_PORT, DATABASE_PORT, OTHER_PORT)
ELSEWHERE = "203.0.113.9"
"""A host on the internet that no rule names."""
EXCHANGE_S = 5.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of traffic: its rule, and what both sides must agree on for it."""

    name: str
    proposal: str
    port: int
    """0: the rule that takes the rest."""
    encr: Encr
    key_octets: int
    """Key and salt, as exported."""

    def near(self) -> Rule:
        """As Isthmus is told."""
        settings = {"protocol": '"tcp"', "remote_ports": f"[{self.port}]"} if self.port else {}
        return Rule(self.name, (NEAR,), (FAR,), (self.proposal,), settings)

    def far(self) -> Child:
        """As strongSwan is told."""
        if not self.port:
            return Child((FAR,), (NEAR,), (self.proposal,))
        return Child((f"{FAR}[tcp/{self.port}]",), (f"{NEAR}[tcp]",), (self.proposal,))


_BOTH = (
    Kind("web", "aes128gcm16", WEB_PORT, Encr.AES_GCM_16, 20),
    Kind("database", "aes256gcm16-ecp384", DATABASE_PORT, Encr.AES_GCM_16, 36),
)
KINDS = {
    1: (*_BOTH, Kind("rest", "aes256-sha256", 0, Encr.AES_CBC, 32)),
    2: (*_BOTH, Kind("rest", "chacha20poly1305", 0, Encr.CHACHA20_POLY1305, 36)),
}
"""By version: IKEv1 has no ChaCha20."""

# One process answers on all ports: each connection gets its own words back.
_SERVE = """
import socket, sys, selectors
found = selectors.DefaultSelector()
for port in map(int, sys.argv[2:]):
    listener = socket.create_server((sys.argv[1], port))
    found.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in found.select():
        connection, _ = key.fileobj.accept()
        with connection:
            connection.settimeout(3)
            connection.sendall(connection.recv(1000))
"""
_CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[4])) as c:
    c.sendall(sys.argv[3].encode())
    print(c.recv(1000).decode())
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """Isthmus at site A, strongSwan at site B, and a host elsewhere that knows the way back."""

    world: World
    near: Isthmus
    far: Charon
    directory: Path
    version: int = 2

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The rules of both gateways."""
        return KINDS[self.version]

    def near_spis(self) -> dict[str, tuple[int, int]]:
        """SPI in and out of each rule's pair at site A."""
        return {
            rule["name"]: (int(child["spi_in"], 16), int(child["spi_out"], 16))
            for rule in self.near.tunnel()["rules"]
            for child in rule["children"]
            if child["state"] == "installed"
        }

    def far_children(self) -> dict[str, ChildView]:
        """The Child SAs at site B by name; there must be one IKE SA."""
        (sa,) = self.far.list_sas()
        assert len({child.name for child in sa.children}) == len(sa.children)
        return {child.name: child for child in sa.children if child.state == "INSTALLED"}

    def agree(self) -> bool:
        """Both ends hold the same pairs, rule by rule, and one IKE SA."""
        if len(self.far.list_sas()) != 1:
            return False
        near = self.near_spis()
        far = {name: (c.spi_out, c.spi_in) for name, c in self.far_children().items()}
        return len(near) == len(self.kinds) and near == far


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Namespaces of this module alone: charon has other settings here than in the matrix."""
    require_root_and("strongswan")
    with topology.two_sites(tmp_path_factory.mktemp("world")) as found:
        # A capture is to show each packet, not several that travel the kernel as one.
        for site in (SITE_A, SITE_B):
            found.run(site.gateway, ["ip", "link", "set", "dev", "wan", "gso_max_segs", "1"])
        found.run(INTERNET, ["ip", "address", "add", f"{ELSEWHERE}/32", "dev", "lo"])
        found.run(INTERNET, ["ip", "route", "add", NEAR, "via", SITE_A.outer4])
        yield found


@pytest.fixture
def lab(request: pytest.FixtureRequest, world: World, short_directory: Path) -> Iterator[Lab]:
    """Both gateways under the three rules, told nothing to do yet; over IKEv2, unless a test says
    otherwise."""
    version: int = getattr(request, "param", 2)
    directory = short_directory / "rules"
    directory.mkdir(exist_ok=True)
    near = Isthmus(world, SITE_A.gateway, directory / "near", keys_exported=True)
    far = Charon(world, SITE_B.gateway, directory / "far")
    psk = gateways.fresh_psk()
    (directory / "far").mkdir(exist_ok=True)
    far.start()
    far.load(far_connection(psk, {kind.name: kind.far() for kind in KINDS[version]}, version))
    near.write(near_tunnel(psk, tuple(kind.near() for kind in KINDS[version]), version))
    near.log.unlink(missing_ok=True)
    near.start()
    try:
        yield Lab(world, near, far, directory, version)
    finally:
        near.stop()
        far.stop()


def far_connection(psk: str, children: dict[str, Child], version: int = 2) -> Connection:
    """What strongSwan at site B is told."""
    return Connection(
        name="site-a",
        local_address=SITE_B.outer4,
        remote_address=SITE_A.outer4,
        local_id=SITE_B.gateway,
        remote_id=SITE_A.gateway,
        psk=psk,
        ike_proposals=(IKE[version],),
        children=children,
        version=version,
    )


@pytest.fixture
def isthmus_pair(world: World, short_directory: Path) -> Iterator[tuple[Isthmus, Isthmus]]:
    """Isthmus at both sites, not started yet, and an internet that would carry clear text."""
    directory = short_directory / "both"
    directory.mkdir(exist_ok=True)
    pair = (
        Isthmus(world, SITE_A.gateway, directory / "a", keys_exported=True),
        Isthmus(world, SITE_B.gateway, directory / "b"),
    )
    world.run(INTERNET, ["ip", "route", "replace", FAR, "via", SITE_B.outer4])
    try:
        yield pair
    finally:
        for gateway in pair:
            gateway.stop()
        world.run(INTERNET, ["ip", "route", "del", FAR])


def near_tunnel(psk: str, rules: tuple[Rule, ...], version: int = 2) -> Tunnel:
    """The tunnel of site A under these rules."""
    return Tunnel(
        name="site-b",
        peer=SITE_B.outer4,
        psk=psk,
        local_id=f"fqdn:{SITE_A.gateway}",
        remote_id=f"fqdn:{SITE_B.gateway}",
        rules=rules,
        proposals=(IKE[version],),
        settings={"ike": str(version)},
    )


@contextmanager
def answering(world: World, namespace: str, address: str) -> Iterator[None]:
    """A TCP service on all ports of this test."""
    argv = [sys.executable, "-I", "-c", _SERVE, address, *map(str, PORTS)]
    service = world.start(namespace, argv)
    try:
        assert service.stdout is not None
        assert service.stdout.readline().strip() == "ready"
        yield
    finally:
        end(service)


def call(
    world: World, namespace: str, address: str, port: int, *, patience_s: float = EXCHANGE_S
) -> bool:
    """Whether words sent over TCP come back."""
    words = f"to port {port}"
    argv = [sys.executable, "-I", "-c", _CALL, address, str(port), words, str(patience_s)]
    process = world.start(namespace, argv, stderr=subprocess.DEVNULL)
    output, _ = process.communicate(timeout=patience_s + 10)
    return output.strip() == words


def kind_of(packet: Packet) -> str:
    """The rule that takes a packet between the two sites."""
    for kind in _BOTH:
        if packet.protocol == 6 and kind.port in (packet.source_port, packet.destination_port):
            return kind.name
    return "rest"


def as_sent(packet: Packet) -> bytes:
    """A packet's octets but for what every router changes: TTL and header checksum."""
    octets = packet.octets[: packet.length]
    return octets[:8] + octets[9:10] + octets[12:]


def between(seen: list[Packet], one: str, other: str) -> list[Packet]:
    """Packets in clear between two addresses, in either direction."""
    return [p for p in seen if {p.source, p.destination} == {one, other} and p.content is None]


def traffic_of_every_kind(lab: Lab) -> None:
    """Forwarded packets and those of the gateway itself, and pings."""
    for port in PORTS:
        assert call(lab.world, SITE_A.host, SITE_B.host4, port)
        assert call(lab.world, SITE_A.gateway, SITE_B.host4, port)
    pings = measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=5, interval_s=0.01)
    assert (pings.received, pings.duplicates) == (5, 0)


@pytest.mark.parametrize(
    ("lab", "role"),
    [(2, "traffic"), (2, "up"), (2, "responder"), (1, "traffic"), (1, "responder")],
    indirect=["lab"],
)
def test_three_rules_three_suites_one_phase_1(lab: Lab, role: str) -> None:
    """Each kind of traffic travels under its own SPI, and everything else as if we were not there.

    The capture is read with the exported keys by other code than what sealed it.
    """
    name = f"{role}-{lab.version}"
    wire = capture.start(lab.world, INTERNET, lab.directory / f"{name}.pcap")
    inside = capture.start(
        lab.world, SITE_A.gateway, lab.directory / f"{name}-lan.pcap", interface="lan", both=True
    )
    try:
        if role == "up":
            lab.near.request("up", tunnel="site-b")
        elif role == "responder":
            for kind in lab.kinds:
                lab.far.initiate(kind.name, ike="site-a")
        with answering(lab.world, SITE_B.host, SITE_B.host4):
            traffic_of_every_kind(lab)
        with answering(lab.world, INTERNET, ELSEWHERE):
            assert all(call(lab.world, SITE_A.host, ELSEWHERE, port) for port in PORTS)
        eventually("both ends hold the same three pairs", lab.agree)
        spis, far = lab.near_spis(), lab.far_children()
        seen, seen_inside = wire.packets(), inside.packets()
    finally:
        wire.abandon()
        inside.abandon()
    assert {name: (c.encr, c.key_bits, c.dh) for name, c in far.items()} == {
        "web": ("AES_GCM_16", 128, ""),
        # It is never the first Child SA, which has the key exchange of the IKE SA.
        "database": ("AES_GCM_16", 256, "ECP_384"),
        "rest": ("AES_CBC", 256, "") if lab.version == 1 else ("CHACHA20_POLY1305", 0, ""),
    }
    each_kind_has_its_spi(lab, spis, seen)
    hosts = SITE_A.host4, ELSEWHERE
    left = [as_sent(p) for p in between(seen, *hosts) if p.source == hosts[0]]
    sent = [as_sent(p) for p in between(seen_inside, *hosts) if p.source == hosts[0]]
    assert left == sent
    assert len(left) >= 3 * len(PORTS)
    clear = packets.inside_in_clear(seen, INSIDE)
    assert clear == between(seen, *hosts), "nothing else of the inside is seen in clear"


def each_kind_has_its_spi(lab: Lab, spis: dict[str, tuple[int, int]], seen: list[Packet]) -> None:
    """Every ESP packet opens, and what is inside belongs to the rule of its SPI."""
    keys = espview.read_keys([lab.near.keys])
    for kind in lab.kinds:
        for spi in spis[kind.name]:
            assert (keys[spi].encr, len(keys[spi].encr_key)) == (kind.encr, kind.key_octets)
    rule_of = {spi: name for name, pair in spis.items() for spi in pair}
    found: dict[int, set[str]] = {}
    for packet in seen:
        if isinstance(packet.content, Esp):
            inner = espview.open_esp(packet.content, keys)
            found.setdefault(packet.content.spi, set()).add(kind_of(inner))
    assert found == {spi: {name} for spi, name in rule_of.items()}


def test_nothing_that_matches_leaves_in_clear(lab: Lab) -> None:
    """Held down in spite of traffic until `up`; with the peer gone, held and dropped."""
    lab.world.run(INTERNET, ["ip", "route", "replace", FAR, "via", SITE_B.outer4])
    wire = capture.start(lab.world, INTERNET, lab.directory / "down.pcap", strange_to=INSIDE)
    try:
        with answering(lab.world, SITE_B.host, SITE_B.host4):
            traffic_of_every_kind(lab)
            lab.near.do("down", "site-b")
            for namespace in (SITE_A.host, SITE_A.gateway):
                assert not call(lab.world, namespace, SITE_B.host4, WEB_PORT, patience_s=1.0)
            assert lab.near.tunnel()["held_down"] is True
            assert lab.near.tunnel()["phase1"]["state"] == "down"
            assert lab.far.list_sas() == ()
            with pytest.raises(ViciError):
                lab.far.initiate("web", ike="site-a", timeout_s=2.0)
            assert lab.near_spis() == {}
            lab.near.do("up", "site-b")
            traffic_of_every_kind(lab)
            lab.far.stop()
            pings = measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=5, interval_s=0.05)
            assert pings.received == 0
        seen = wire.packets()
    finally:
        wire.abandon()
        lab.world.run(INTERNET, ["ip", "route", "del", FAR])
    assert packets.inside_in_clear(seen, INSIDE) == []


def test_one_pair_of_networks_for_each_phase_2(world: World, short_directory: Path) -> None:
    """The peer has a child for each pair; our one rule becomes as many, over one phase 1."""
    directory = short_directory / "pairs"
    psk = gateways.fresh_psk()
    near = Isthmus(world, SITE_A.gateway, directory / "near")
    near.write(replace(gateways.tunnel(SITE_A, psk, "policy"), settings={"one_pair": "true"}))
    far = Charon(world, SITE_B.gateway, directory / "far")
    far.directory.mkdir(parents=True, exist_ok=True)
    modern = "aes256gcm16-ecp256", "aes256gcm16"
    children = {
        f"v{family}": Child((SITE_B.network(family),), (SITE_A.network(family),), modern)
        for family in (4, 6)
    }
    ike = ("aes256gcm16-prfsha384-ecp256",)
    try:
        far.start()
        far.load(replace(far_connection(psk, children), ike_proposals=ike))
        near.start()
        for family in (4, 6):
            target = SITE_B.host_address(family)
            pings = measure.ping(world, SITE_A.host, target, count=5, interval_s=0.01, wait_s=3.0)
            assert pings.received == 5
        (sa,) = far.list_sas()
        assert {(c.name, c.local_ts, c.remote_ts) for c in sa.children} == {
            (f"v{family}", (SITE_B.network(family),), (SITE_A.network(family),))
            for family in (4, 6)
        }
        rules = near.tunnel()["rules"]
        assert [(r["name"], r["state"]) for r in rules] == [("lan#1", "up"), ("lan#2", "up")]
        near.do("down", "site-b/lan#2")
        assert [r["state"] for r in near.tunnel()["rules"]] == ["up", "off"]
    finally:
        near.stop()
        far.stop()


def mirrored(site: Site, psk: str, ports: dict[str, str]) -> Tunnel:
    """The tunnel of one side with one rule between the two networks."""
    far = gateways.other(site)
    rule = Rule("lan", (site.network(4),), (far.network(4),), (), ports)
    return replace(gateways.tunnel(site, psk, "policy"), rules=(rule,))


def plain(kind: str, site: Site, port: int) -> str:
    """TCP from site A to one port of host B, as the file of either side says it."""
    near, far = ("local", "remote") if site is SITE_A else ("remote", "local")
    return (
        f'[[{kind}]]\n{near} = "{NEAR}"\n{far} = "{SITE_B.host4}"\n'
        f'protocol = "tcp"\n{far}_ports = {port}\n'
    )


def test_bypass_discard_and_what_matches_nothing(
    world: World, isthmus_pair: tuple[Isthmus, Isthmus]
) -> None:
    """Within one rule: a port in clear both ways, a port nowhere, and the rest protected."""
    psk = gateways.fresh_psk()
    for gateway, site in zip(isthmus_pair, (SITE_A, SITE_B), strict=True):
        others = plain("bypass", site, OTHER_PORT) + plain("discard", site, DATABASE_PORT)
        others += f'[[discard]]\nremote = "{ELSEWHERE}"\nprotocol = "tcp"\nremote_ports = 80\n'
        gateway.write(mirrored(site, psk, {}), others=others)
        gateway.start()
    near = isthmus_pair[0]
    wire = capture.start(world, INTERNET, near.directory / "plain.pcap")
    try:
        with answering(world, SITE_B.host, SITE_B.host4), answering(world, INTERNET, ELSEWHERE):
            for namespace in (SITE_A.host, SITE_A.gateway):
                assert call(world, namespace, SITE_B.host4, WEB_PORT)
                assert call(world, namespace, SITE_B.host4, OTHER_PORT)
                assert not call(world, namespace, SITE_B.host4, DATABASE_PORT, patience_s=0.5)
                assert not call(world, namespace, ELSEWHERE, WEB_PORT, patience_s=0.5)
            assert call(world, SITE_A.host, ELSEWHERE, DATABASE_PORT)
        seen = wire.packets()
    finally:
        wire.abandon()
    clear = packets.inside_in_clear(seen, INSIDE)
    ports = {
        p.source_port if p.source == SITE_B.host4 else p.destination_port
        for p in clear
        if SITE_B.host4 in (p.source, p.destination)
    }
    assert ports == {OTHER_PORT}
    assert {p.source for p in clear} >= {SITE_A.host4, SITE_B.host4}
    assert WEB_PORT not in {p.destination_port for p in between(seen, SITE_A.host4, ELSEWHERE)}
    keys = espview.read_keys([near.keys])
    inner = [espview.open_esp(p.content, keys) for p in seen if isinstance(p.content, Esp)]
    assert {WEB_PORT} == {min(p.source_port, p.destination_port) for p in inner}


def test_nothing_of_what_a_rule_for_ports_protects_is_in_the_clear(
    world: World, isthmus_pair: tuple[Isthmus, Isthmus]
) -> None:
    """Later fragments show no ports, and ICMP errors quote what came protected: with no rule for
    the rest they are dropped and counted."""
    psk = gateways.fresh_psk()
    for gateway, site in zip(isthmus_pair, (SITE_A, SITE_B), strict=True):
        key = "remote_ports" if site is SITE_A else "local_ports"
        gateway.write(mirrored(site, psk, {"protocol": '"udp"', key: f"[{OTHER_PORT}]"}))
        gateway.start()
    near = isthmus_pair[0]
    wire = capture.start(world, INTERNET, near.directory / "fragments.pcap", strange_to=INSIDE)
    try:
        send = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        send += "s.sendto(bytes(int(sys.argv[3])), (sys.argv[1], int(sys.argv[2])))"
        for port, size in ((OTHER_PORT, 100), (OTHER_PORT, 4000), (OTHER_PORT + 1, 100)):
            words = [SITE_B.host4, str(port), str(size)]
            world.run(SITE_A.host, [sys.executable, "-I", "-c", send, *words])
        eventually(
            "later fragments, as many as the MTU makes, are dropped and counted",
            lambda: near.request("counters")[-1]["counters"]["drop_ports_hidden"] >= 2,
        )
        eventually(
            "the far host's error about the closed port is dropped and counted",
            lambda: isthmus_pair[1].request("counters")[-1]["counters"]["drop_quotes_protected"],
        )
        seen = wire.packets()
    finally:
        wire.abandon()
    clear = packets.inside_in_clear(seen, INSIDE)
    assert [p.destination_port for p in clear if p.source == SITE_A.host4] == [OTHER_PORT + 1]
    quotes = [packets.decode_ip(p.octets[p.payload_at + 8 :]) for p in clear if p.protocol == 1]
    assert [q.destination_port for q in quotes if q is not None] == [OTHER_PORT + 1]
    assert len(clear) == 2, "the unmatched port alone, and the error about it"
