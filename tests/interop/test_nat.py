"""Routers that translate addresses forget their mappings in mid-flow, and nothing is begun anew.

A router's flush is shown to be one: what the internet sees of the gateway comes from ports of
another range afterwards.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.lab import capture, gateways, measure, packets, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.nat import NatBox
from isthmus.lab.packets import Esp, Ike, Packet
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import INSIDE, INTERNET, SITE_A, SITE_B, Site

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

KEEPALIVE_S = 20.0
"""How often Isthmus keeps a mapping alive; so much may pass without return traffic."""
PATIENCE_OF_ROUTER_S = 3
BEFORE, AFTER = range(20_000, 20_999), range(30_000, 30_999)
INTERVAL_S, FLOW_S = 0.05, 0.02
AT_ONCE_S = 1.0
"""Isthmus follows the first packet; the rest is for a machine that does other things too."""
FIRST_EXCHANGES = ((1, 2), (2, 34))
"""Version and number: Main Mode and IKE_SA_INIT."""
FORGED = 20_000

# Sends what it reads, as it is and damaged, to the gateway from ports and addresses that are not
# the peer's; under the peer's own address too, from other ports.
_FORGE = """
import json, random, socket, struct, sys
orders = json.loads(sys.stdin.readline())
chance = random.Random(33)
genuine = [bytes.fromhex(text) for text in orders["genuine"]]
udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
ends = [socket.inet_aton(orders["peer"]), socket.inet_aton(orders["target"])]
for n in range(orders["count"]):
    octets = bytearray(chance.choice(genuine))
    if n % 8:
        if n % 2 and octets[:4] != bytes(4):
            sequence = int.from_bytes(octets[4:8], "big") + chance.randrange(1, 500)
            octets[4:8] = sequence.to_bytes(4, "big")
        for _ in range(chance.randrange(1, 4)):
            octets[chance.randrange(8, len(octets))] ^= chance.randrange(1, 256)
    if n % 3:
        udp[n % 8].sendto(octets, (orders["target"], 4500))
        continue
    header = struct.pack(">HHHH", chance.randrange(1024, 65536), 4500, 8 + len(octets), 0)
    start = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(octets), n & 0xffff, 0, 64, 17, 0, *ends)
    raw.sendto(start + header + octets, (orders["target"], 0))
print("sent", flush=True)
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is where. Site A starts; its router is the one that forgets."""

    a: gateways.Peer
    b: gateways.Peer
    b_is_forwarded: bool = False
    version: int = 2

    def __str__(self) -> str:
        where = "forwarded" if self.b_is_forwarded else "outside"
        return f"{self.a}-behind-{self.b}-{where}{'-ikev1' if self.version == 1 else ''}"

    @property
    def needs(self) -> tuple[str, ...]:
        """What must be installed beside nft and conntrack."""
        return ("strongswan",) if "strongswan" in (self.a, self.b) else ()


@dataclass(frozen=True, slots=True)
class Ground:
    """Two gateways, told of each other, and the router of site A."""

    world: World
    router: NatBox
    a: Isthmus | Charon
    b: Isthmus | Charon
    directory: Path


@contextmanager
def ground(scene: Scene, directory: Path, *, keepalive: str = "20s") -> Iterator[Ground]:
    """Build what a scene asks for; gone at the end with everything that ran in it."""
    require_root_and("nftables", "conntrack", *scene.needs)
    with topology.two_sites(directory) as world:
        router = NatBox(world, SITE_A)
        boxes = [router] + [NatBox(world, SITE_B, forwards=True)] * scene.b_is_forwarded
        for box in boxes:
            box.interpose()
        router.masquerade(BEFORE)
        for box in boxes[1:]:
            box.masquerade()
        psk = gateways.fresh_psk()
        b_address = boxes[1].gateway_address if scene.b_is_forwarded else SITE_B.outer4
        b = started(world, SITE_B, scene.b, directory, psk, b_address, version=scene.version)
        # Some tests wait for a liveness check of ours: the usual time for one is enough.
        asks_every_s = 2 if scene.b_is_forwarded or scene.version == 1 else 10
        a = started(
            world,
            SITE_A,
            scene.a,
            directory,
            psk,
            router.gateway_address,
            keepalive,
            asks_every_s,
            scene.version,
        )
        try:
            yield Ground(world, router, a, b, directory)
        finally:
            for end in (a, b):
                print(f"--- {end.namespace}\n{end.log_tail(60)}")


def started(
    world: World,
    site: Site,
    kind: gateways.Peer,
    directory: Path,
    psk: str,
    address: str,
    keepalive: str = "20s",
    asks_every_s: int = 10,
    version: int = 2,
) -> Isthmus | Charon:
    """One gateway, running; only site A, which is behind the router, can start phase 1."""
    home = directory / site.gateway
    home.mkdir(mode=0o700)
    if kind == "strongswan":
        charon = Charon(world, site.gateway, home)
        charon.start()
        connection = gateways.connection(site, psk, version=version)
        charon.load(replace(connection, local_address=address))
        return charon
    daemon = Isthmus(world, site.gateway, home)
    tunnel = gateways.tunnel(site, psk, "policy", version=version)
    settings = {"keepalive": f'"{keepalive}"', "dpd": f'{{ every = "{asks_every_s}s" }}'}
    settings["ike"] = str(version)
    starts = "traffic" if site is SITE_A else "listen"
    daemon.write(replace(tunnel, start=starts, settings=settings))
    daemon.start()
    return daemon


def brought_up(ground: Ground) -> None:
    """Traffic of site A, or a command where its gateway is strongSwan, makes the tunnel."""
    if isinstance(ground.a, Charon):
        ground.a.initiate(gateways.RULE)
    eventually(
        "the two hosts reach each other",
        lambda: measure.ping(ground.world, SITE_A.host, SITE_B.host4, count=1, wait_s=2).received,
        timeout_s=20,
    )


def answers_again(ground: Ground, near: Site, far: Site) -> None:
    """Wait until a host hears from the other one, for at most the interval of keepalives."""
    eventually(
        f"the host of site {far.letter} answers again",
        lambda: measure.ping(ground.world, near.host, far.host4, count=1, wait_s=0.3).received,
        timeout_s=KEEPALIVE_S,
        every_s=INTERVAL_S,
    )


def ike_spis(end: Isthmus | Charon) -> set[str]:
    """Initiator's SPI of each established phase 1."""
    if isinstance(end, Charon):
        return {sa.spi_i for sa in end.list_sas() if sa.state == "ESTABLISHED"}
    phase1 = end.tunnel()["phase1"]
    assert phase1["state"] == "up"
    return {phase1["spi_i"].removeprefix("0x").rjust(16, "0")}


def outside_ports(seen: list[Packet], since_s: float, until_s: float) -> set[int]:
    """Source ports of what came from site A's router onto the internet."""
    return {
        packet.source_port
        for packet in seen
        if packet.source == SITE_A.outer4
        and packet.protocol == 17
        and since_s <= packet.at_s < until_s
    }


SCENES = (
    Scene("isthmus", "strongswan"),
    Scene("strongswan", "isthmus"),
    Scene("isthmus", "isthmus"),
    Scene("isthmus", "isthmus", b_is_forwarded=True),
    Scene("strongswan", "isthmus", b_is_forwarded=True),
    Scene("isthmus", "strongswan", b_is_forwarded=True),
    Scene("isthmus", "strongswan", version=1),
    Scene("strongswan", "isthmus", b_is_forwarded=True, version=1),
)


@pytest.mark.parametrize("scene", SCENES, ids=map(str, SCENES))
def test_a_router_forgets_and_traffic_resumes(scene: Scene, tmp_path: Path) -> None:
    """Pings both ways; after the flush both are answered again within the keepalive interval."""
    with ground(scene, tmp_path) as found:
        wire = capture.start(found.world, INTERNET, tmp_path / "wire.pcap")
        brought_up(found)
        before = (ike_spis(found.a), ike_spis(found.b))
        assert before[0] == before[1] and len(before[0]) == 1
        flow = measure.start_ping(
            found.world, SITE_A.host, SITE_B.host4, interval_s=FLOW_S, wait_s=1
        )
        found.router.masquerade(AFTER)
        flushed_s = time.time()
        found.router.forget()
        answers_again(found, SITE_A, SITE_B)
        resumed_s = time.time() - flushed_s
        lost = len(flow.finish().lost)
        back = measure.ping(found.world, SITE_B.host, SITE_A.host4, count=20, interval_s=0.01)
        assert (ike_spis(found.a), ike_spis(found.b)) == before
        seen = wire.packets()
    print(f"resumed after {resumed_s:.2f} s, {lost} pings of a flow lost")
    assert lost * FLOW_S <= (AT_ONCE_S if scene.b == "isthmus" else KEEPALIVE_S)
    assert back.lost == ()
    changed = outside_ports(seen, flushed_s + 0.1, float("inf"))
    assert outside_ports(seen, 0, flushed_s) <= set(BEFORE) | {BEFORE.stop}
    assert changed and changed <= set(AFTER) | {AFTER.stop}, "the mapping has really changed"
    begun = {
        packet.content.spi_i
        for packet in seen
        if isinstance(packet.content, Ike)
        and (packet.content.version, packet.content.exchange) in FIRST_EXCHANGES
    }
    assert begun == before[0], "phase 1 was negotiated once"
    assert packets.inside_in_clear(seen, INSIDE) == []


def test_a_router_that_forgets_in_silence_is_noticed_without_traffic(tmp_path: Path) -> None:
    """Only the side outside has something to send: the other one's next check shows the way."""
    with ground(Scene("isthmus", "isthmus", b_is_forwarded=True), tmp_path) as found:
        brought_up(found)
        before = ike_spis(found.a)
        found.router.masquerade(AFTER)
        found.router.forget()
        answers_again(found, SITE_B, SITE_A)
        assert ike_spis(found.a) == ike_spis(found.b) == before


@pytest.mark.parametrize("keepalive_s", [1, 300])
def test_keepalives_hold_the_mapping_of_an_impatient_router(
    keepalive_s: int, tmp_path: Path
) -> None:
    """After a silence that is twice the router's patience the peer still reaches us from outside;
    with keepalives that come too late it does not."""
    with ground(Scene("isthmus", "isthmus"), tmp_path, keepalive=f"{keepalive_s}s") as found:
        found.router.impatient(PATIENCE_OF_ROUTER_S)
        brought_up(found)
        time.sleep(2 * PATIENCE_OF_ROUTER_S)
        back = measure.ping(found.world, SITE_B.host, SITE_A.host4, count=5, interval_s=0.01)
    assert back.received == (5 if keepalive_s == 1 else 0)


def test_forgers_and_repeaters_move_nobody(tmp_path: Path) -> None:
    """F-07: captured packets again, and damaged ones, from other ports and addresses. The gateway
    outside follows the peer, so that it could be led away; it is not, and loses no ping."""
    with ground(Scene("isthmus", "isthmus"), tmp_path) as found:
        wire = capture.start(found.world, INTERNET, tmp_path / "wire.pcap")
        brought_up(found)
        assert measure.ping(found.world, SITE_A.host, SITE_B.host4, count=5).received == 5
        genuine = [
            packet.octets[packet.payload_at + 8 : packet.length].hex()
            for packet in wire.packets()
            if packet.source == SITE_A.outer4
            and packet.destination_port == 4500
            and isinstance(packet.content, Esp | Ike)
        ]
        assert len(genuine) > 5
        assert isinstance(found.b, Isthmus)
        before = found.b.tunnel()["phase1"]
        pinging = measure.start_ping(found.world, SITE_A.host, SITE_B.host4, interval_s=0.01)
        orders = {"genuine": genuine, "peer": SITE_A.outer4, "target": SITE_B.outer4}
        found.world.run(
            INTERNET,
            [sys.executable, "-I", "-c", _FORGE],
            input_text=json.dumps(orders | {"count": FORGED}) + "\n",
            timeout_s=60,
        )
        pings = pinging.finish()
        after = found.b.tunnel()["phase1"]
        counted = found.b.request("counters")[-1]["counters"]
        events = {event["event"] for event in found.b.events()}
    assert (after["remote"], after["spi_i"]) == (before["remote"], before["spi_i"])
    assert after["remote"].startswith(f"{SITE_A.outer4}:")
    assert "peer.moved" not in events
    assert pings.lost == () and pings.sent > 20
    heard = counted["drop_icv"] + counted["drop_replay_duplicate"] + counted["ike_received"]
    assert heard > 0.9 * FORGED
