"""IKE fragmentation with strongSwan, in both roles: a road of MTU 1280 that carries no IP fragment
sees a chain of four kilobytes pass, and one that eats what is larger is found out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.exchanges.pki import issue, private

from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.packets import Ike, Packet
from isthmus.lab.strongswan import Charon, Child, Connection
from isthmus.lab.topology import INTERNET, SITE_A, SITE_B
from isthmus.lab.vici import ViciError

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

IKE = {1: "aes256-sha384-ecp256", 2: "aes256gcm16-prfsha384-x25519"}
"""By version."""
ESP = "aes256gcm16"
MTU = 1280
IKE_AUTH, CREATE_CHILD_SA = 35, 36
SKF = 53
MAIN_MODE, FRAGMENT = 2, 132
"""The same of IKEv1."""
NETWORKS = [f"10.1.{n}.0/24" for n in range(32)]
"""Enough of them that IKE_AUTH with a pre-shared key does not fit into 576 octets either."""
BY_CHAIN, BY_PSK = "10.2.0.201", "10.2.0.202"
"""Behind charon, on its own gateway: each tunnel leads to one of them."""
NEAR, FAR = "near.example.org", "far.example.org"

ROOT = issue("Fragment root", key=private("p384", 5))
ISSUING = issue("Fragment issuing", ROOT, private("rsa2048", 1), ca=True)
_MANY = [f"fqdn:host-{n}.of-a-gateway-with-many-names.example.org" for n in range(60)]


@dataclass(frozen=True, slots=True)
class Ground:
    """Both gateways, and what the internet between them saw."""

    world: World
    near: Isthmus
    far: Charon
    directory: Path

    @contextmanager
    def watched(self) -> Iterator[list[Packet]]:
        """Every packet of the road, once the block is over; none may be an IP fragment."""
        seen: list[Packet] = []
        running = capture.start(self.world, INTERNET, self.directory / "road.pcap")
        try:
            yield seen
        except BaseException:
            running.abandon()
            raise
        seen += running.packets()
        assert not [p for p in seen if is_ip_fragment(p)]


def is_ip_fragment(packet: Packet) -> bool:
    """More fragments follow, or it is not the first one."""
    if packet.octets[0] >> 4 == 4:
        return int.from_bytes(packet.octets[6:8], "big") & 0x3FFF != 0
    return packet.protocol == 44


def pieces(seen: list[Packet], exchange: int, *, is_response: bool) -> list[Packet]:
    """The packets with SKF payloads of an exchange, repeats included."""
    return [
        p
        for p in seen
        if isinstance(p.content, Ike)
        and (p.content.exchange, p.content.is_response) == (exchange, is_response)
        and p.content.first_payload == SKF
    ]


def pieces_v1(seen: list[Packet], source: str) -> list[Packet]:
    """The packets with fragments of Main Mode that one side sent, repeats included."""
    return [
        p
        for p in seen
        if isinstance(p.content, Ike)
        and (p.content.version, p.content.exchange) == (1, MAIN_MODE)
        and (p.source, p.content.first_payload) == (source, FRAGMENT)
    ]


def _configuration(
    directory: Path, psk: str, chain: bytes, key: bytes, size: int, version: int
) -> str:
    def file(name: str, octets: bytes) -> str:
        path = directory / name
        path.write_bytes(octets)
        path.chmod(0o600)
        return json.dumps(str(path))

    cert, key_file, root = file("n.pem", chain), file("n.key", key), file("root.pem", ROOT.pem)
    common = f'peer = "{SITE_B.outer4}"\nmode = "policy"\nstart = "listen"\nike = {version}\n'
    phase1 = f'proposals = ["{IKE[version]}"]\nfragment_size = {size}\n'
    return f"""
[tunnel.chain]
{common}auth = "cert"
cert = {cert}
key = {{ file = {key_file} }}
ca = [{root}]
local_id = "fqdn:{NEAR}"
remote_id = "fqdn:{FAR}"
[tunnel.chain.phase1]
{phase1}
[tunnel.chain.rule.lan]
local = ["{SITE_A.inside4}"]
remote = ["{BY_CHAIN}/32"]
proposals = ["{ESP}"]

[tunnel.psk]
{common}psk = {{ file = {file("n.psk", psk.encode())} }}
local_id = "fqdn:psk.{NEAR}"
remote_id = "fqdn:psk.{FAR}"
[tunnel.psk.phase1]
{phase1}
[tunnel.psk.rule.lan]
local = {json.dumps(NETWORKS)}
remote = ["{BY_PSK}/32"]
proposals = ["{ESP}"]
"""


@pytest.fixture(scope="module", params=[1280, 576])
def ground(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Ground]:
    """Both sides cut for IP datagrams of this size."""
    with narrow_road(short_directory / f"pieces-{request.param}", request.param, 2) as found:
        yield found


@pytest.fixture(scope="module")
def ground_v1(short_directory: Path) -> Iterator[Ground]:
    """The same over IKEv1."""
    with narrow_road(short_directory / "pieces-v1", MTU, 1) as found:
        yield found


@contextmanager
def narrow_road(directory: Path, size: int, version: int) -> Iterator[Ground]:
    """Both daemons, that cut messages; every link outside has an MTU of 1280."""
    require_root_and("strongswan", "nftables")
    directory.mkdir()
    near_node = issue("near", ISSUING, private("rsa2048", 10), names=[f"fqdn:{NEAR}", *_MANY])
    far_node = issue("far", ISSUING, private("rsa2048", 10), names=[f"fqdn:{FAR}", *_MANY])
    assert len(near_node.der) + len(ISSUING.der) > 4096
    psk = gateways.fresh_psk()
    with topology.two_sites(directory) as world:
        for site in (SITE_A, SITE_B):
            for where, link in (
                (site.gateway, "wan"),
                (INTERNET, topology.internet_interface(site)),
            ):
                world.run(where, ["ip", "link", "set", link, "mtu", str(MTU)])
        for address in (BY_CHAIN, BY_PSK):
            world.run(SITE_B.gateway, ["ip", "address", "add", f"{address}/32", "dev", "lo"])
        charon = Charon(world, SITE_B.gateway, directory / "far")
        charon.start(settings=f"fragment_size = {size}\nretransmit_timeout = 1.0")
        charon.load_certificate(ISSUING.pem.decode())
        charon.load_key(far_node.key_pem.decode())
        for name, local, remote in (
            ("chain", f"{BY_CHAIN}/32", (str(SITE_A.inside4),)),
            ("psk", f"{BY_PSK}/32", tuple(NETWORKS)),
        ):
            by_cert = name == "chain"
            before = "" if by_cert else "psk."
            charon.load(
                Connection(
                    name=name,
                    local_address=SITE_B.outer4,
                    remote_address=SITE_A.outer4,
                    local_id=before + FAR,
                    remote_id=before + NEAR,
                    psk="" if by_cert else psk,
                    ike_proposals=(IKE[version],),
                    version=version,
                    children={name: Child((local,), remote, (ESP,))},
                    local={"auth": "pubkey", "certs": [far_node.pem.decode()]} if by_cert else {},
                    remote={"auth": "pubkey", "cacerts": [ROOT.pem.decode()]} if by_cert else {},
                )
            )
        near = Isthmus(world, SITE_A.gateway, directory / "near")
        chain = near_node.pem + ISSUING.pem
        key = near_node.key_pem
        near.write(others=_configuration(directory, psk, chain, key, size, version))
        near.start()
        try:
            yield Ground(world, near, charon, directory)
        finally:
            print(f"--- isthmusd\n{near.log_tail(80)}\n--- charon\n{charon.log_tail(80)}")
            near.stop()
            charon.stop()


def _up(ground: Ground, name: str, role: str) -> None:
    try:
        if role == "initiator":
            ground.near.request("up", tunnel=name, timeout_s=20.0)
        else:
            ground.far.initiate(name, ike=name)
    except (LabError, ViciError) as failure:
        pytest.fail(f"{failure}\n{ground.near.log_tail(60)}\n{ground.far.log_tail(60)}")
    eventually("phase 1 is up", lambda: _phase1(ground, name) == "up")


def _phase1(ground: Ground, name: str) -> str:
    (found,) = (t for t in ground.near.status()["tunnels"] if t["name"] == name)
    return str(found["phase1"]["state"])


def _carries(ground: Ground, address: str) -> None:
    pings = measure.ping(ground.world, SITE_A.host, address, count=3, interval_s=0.02, wait_s=3.0)
    assert pings.received == 3, pings


def _down(ground: Ground, name: str) -> None:
    ground.near.request("down", tunnel=name, hold=False)
    eventually("charon forgets it", lambda: name not in {sa.name for sa in ground.far.list_sas()})


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_a_chain_of_four_kilobytes_over_an_mtu_of_1280(ground: Ground, role: str) -> None:
    """Both IKE_AUTH messages go in pieces that fit; both phases are renewed, and traffic passes."""
    with ground.watched() as seen:
        _up(ground, "chain", role)
        _carries(ground, BY_CHAIN)
        ground.near.request("rekey", tunnel="chain", phase=1)
        eventually("it is renewed", lambda: _phase1(ground, "chain") == "up")
        ground.far.rekey_child("chain")
        _carries(ground, BY_CHAIN)
        _down(ground, "chain")
    size = 1280 if "1280" in ground.directory.name else 576
    least = 4096 // size
    for is_response in (False, True):
        sent = pieces(seen, IKE_AUTH, is_response=is_response)
        assert len(sent) >= least, [p.text for p in seen]
        assert all(p.length <= size for p in sent)
    assert all(p.length <= MTU for p in seen)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_a_chain_of_four_kilobytes_over_ikev1(ground_v1: Ground, role: str) -> None:
    """The signed messages of Main Mode go in pieces of the vendors' form, in both directions."""
    with ground_v1.watched() as seen:
        _up(ground_v1, "chain", role)
        _carries(ground_v1, BY_CHAIN)
        ground_v1.near.request("rekey", tunnel="chain", phase=1)
        eventually("it is renewed", lambda: _phase1(ground_v1, "chain") == "up")
        _carries(ground_v1, BY_CHAIN)
        _down(ground_v1, "chain")
    for site in (SITE_A, SITE_B):
        assert len(pieces_v1(seen, site.outer4)) >= 4096 // MTU, [p.text for p in seen]
    assert all(p.length <= MTU for p in seen)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_a_pre_shared_key_and_many_networks(ground: Ground, role: str) -> None:
    """Messages between the two sizes: whole with 1280, in pieces with 576."""
    with ground.watched() as seen:
        _up(ground, "psk", role)
        _carries(ground, BY_PSK)
        ground.near.request("rekey", tunnel="psk", phase=2, rule="lan")
        _carries(ground, BY_PSK)
        _down(ground, "psk")
    is_small = "576" in ground.directory.name
    for exchange in (IKE_AUTH, CREATE_CHILD_SA):
        for is_response in (False, True):
            assert bool(pieces(seen, exchange, is_response=is_response)) == is_small
    # INFORMATIONAL messages are small, and go whole.
    assert not pieces(seen, 37, is_response=False) and not pieces(seen, 37, is_response=True)


def test_a_road_that_eats_large_datagrams_is_found_out(ground: Ground) -> None:
    """F-21: nobody says that 1,000 octets are the end of it; two sendings are lost, then smaller
    pieces pass."""
    rules = f"""
table ip eats {{
    chain forward {{
        type filter hook forward priority 0
        ip saddr {SITE_A.outer4} udp dport {{ 500, 4500 }} ip length > 1000 drop
    }}
}}
"""
    ground.world.run(INTERNET, ["nft", "-f", "-"], input_text=rules)
    try:
        with ground.watched() as seen:
            _up(ground, "chain", "initiator")
            _carries(ground, BY_CHAIN)
            _down(ground, "chain")
    finally:
        ground.world.run(INTERNET, ["nft", "delete", "table", "ip", "eats"])
    sizes = [p.length for p in pieces(seen, IKE_AUTH, is_response=False)]
    large = [at for at, size in enumerate(sizes) if size > 1000]
    assert bool(large) == ("1280" in ground.directory.name)
    small = sizes[large[-1] + 2 :] if large else sizes
    assert len(small) >= 4096 // 576 and max(small) <= 576
