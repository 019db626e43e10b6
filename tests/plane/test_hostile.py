"""What strangers can send: replays, forgeries, noise. Nothing moves but counters (S-26)."""

import subprocess
import sys
import time
from typing import Any

import pytest
from tests.plane.support import Pair, Site, eventually, mirrored, outbound_sa

pytestmark = pytest.mark.root

# Reads our ESP off the wire and sends each packet again from another port of the same address.
REPLAY = """
import socket, sys, time
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("wire", 0))
sniffer.settimeout(3)
print("sniffing", flush=True)
seen = []
while len(seen) < 10:
    packet, where = sniffer.recvfrom(65535)
    outgoing = where[1:3] == (0x0800, socket.PACKET_OUTGOING)
    if outgoing and packet[9] == 17 and len(packet) > 100:
        seen.append(packet[28:])
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for payload in seen:
    sender.sendto(payload, (sys.argv[1], 4500))
print("sent", len(seen), flush=True)
"""

# Forged ESP in UDP: known SPIs and others, sequence numbers of every region, all kinds of length.
FORGE = """
import os, random, socket, sys
rng = random.Random(7)
target, count, spis = sys.argv[1], int(sys.argv[2]), [int(s) for s in sys.argv[3:]]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
noise = os.urandom(4096)
for n in range(count):
    spi = rng.choice(spis) if n % 4 else rng.randrange(256, 1 << 32)
    regions = [0, 1, 5, 6, 50, 1000, 2000, 1 << 31, (1 << 32) - 1, rng.randrange(1 << 32)]
    sequence = rng.choice(regions)
    length = rng.choice([0, 1, 8, 16, 24, 100, 116, 1400])
    start = rng.randrange(len(noise) - 1400)
    body = noise[start : start + length]
    try:
        sender.sendto(spi.to_bytes(4, "big") + sequence.to_bytes(4, "big") + body, (target, 4500))
    except OSError:
        pass
"""


def python(site: Site, code: str, *arguments: str) -> "subprocess.Popen[str]":
    return site.popen(sys.executable, "-c", code, *arguments)


def inbound(site: Site) -> list[dict[str, Any]]:
    """What a forger would like to move: all about inbound SAs but their drops and ages."""
    stable = ("spi", "packets", "octets", "sequence", "remote", "local", "encap", "standby")
    sas = sorted(site.client.query("sas"), key=lambda sa: (sa["direction"], sa["spi"]))
    return [{k: sa[k] for k in stable} for sa in sas if sa["direction"] == "in"]


def test_captured_packets_are_refused_when_they_come_again(pair: Pair) -> None:
    pair.ready()
    replayer = python(pair.left, REPLAY, pair.right.outer_v4)
    assert replayer.stdout is not None and replayer.stdout.readline() == "sniffing\n"
    assert pair.left.ping(pair.right.inner_v4, count=12)
    output, _ = replayer.communicate(timeout=20)
    assert output == "sent 10\n"
    eventually("ten come", lambda: pair.right.client.counters()["drop_replay_duplicate"] >= 10)
    counters = pair.right.client.counters()
    assert counters["drop_replay_duplicate"] == 10
    assert counters["esp_received"] < 12 + 10
    # They came from another port, but only an authentic, new packet says that a peer moved.
    assert "peer_moved" not in [n["type"] for n in pair.right.client.drain_notices()]


@pytest.mark.parametrize("esn", [False, True])
def test_a_hundred_thousand_forged_packets_move_nothing(pair: Pair, esn: bool) -> None:
    pair.ready(esn=esn)
    assert pair.left.ping(pair.right.inner_v4, count=5)
    pair.right.client.drain_notices()
    before = inbound(pair.right)
    idle_before = time.monotonic()
    start = pair.right.client.counters()
    spis = [str(sa["spi"]) for sa in before]
    assert python(pair.left, FORGE, pair.right.outer_v4, "100000", *spis).wait(timeout=120) == 0
    time.sleep(0.3)
    assert inbound(pair.right) == before
    end = pair.right.client.counters()
    elapsed_ms = (time.monotonic() - idle_before) * 1000
    (sa,) = [sa for sa in pair.right.client.query("sas") if sa["direction"] == "in"]
    assert sa["idle_ms"] is None or sa["idle_ms"] >= elapsed_ms - 500
    moved = {k: end[k] - start[k] for k in end if end[k] != start[k]}
    refused = sum(v for k, v in moved.items() if k.startswith("drop_"))
    assert refused >= 95_000 and set(moved) >= {"drop_icv", "drop_no_sa_inbound"}
    assert end["esp_received"] == start["esp_received"]
    notices = pair.right.client.drain_notices()
    assert {n["type"] for n in notices} <= {"unknown_spi"} and len(notices) < 60
    assert end["worker_panics"] == 0
    assert pair.left.ping(pair.right.inner_v4, count=5)


def test_noise_on_every_port_and_protocol_is_counted_and_forgotten(pair: Pair) -> None:
    pair.ready()
    noise = (
        "import os, socket, sys\n"
        "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "esp = socket.socket(socket.AF_INET, socket.SOCK_RAW, 50)\n"
        "esp6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 50)\n"
        "for n in range(2000):\n"
        "    for port in (500, 4500):\n"
        "        udp.sendto(os.urandom(n % 70), (sys.argv[1], port))\n"
        "    esp.sendto(os.urandom(n % 70), (sys.argv[1], 0))\n"
        "    esp6.sendto(os.urandom(n % 70), (sys.argv[2], 0))\n"
    )
    sender = python(pair.left, noise, pair.right.outer_v4, pair.right.outer_v6)
    assert sender.wait(timeout=60) == 0
    time.sleep(0.3)
    counters = pair.right.client.counters()
    for name in ("drop_datagram_malformed", "drop_esp_malformed", "drop_no_sa_inbound"):
        assert counters[name] > 0
    assert counters["drop_ike_malformed"] > 0 and counters["worker_panics"] == 0
    assert pair.left.ping(pair.right.inner_v4, count=5)


def test_packets_outside_the_selectors_do_not_leave_the_tunnel(pair: Pair) -> None:
    pair.ready()
    narrow = {
        "local": [
            {
                "start": "10.77.0.0",
                "end": "10.77.255.255",
                "protocol": 17,
                "port_start": 0,
                "port_end": 65535,
            }
        ],
    }
    narrow["remote"] = narrow["local"]
    (sa,) = [sa for sa in pair.right.client.query("sas") if sa["direction"] == "in"]
    pair.right.client.ask("remove_sa", direction="in", spi=sa["spi"])
    twin = mirrored(outbound_sa(pair.left, pair.right, sa["spi"])) | {"selectors": narrow}
    pair.right.client.ask("install_sa", sa=twin)
    assert not pair.left.ping(pair.right.inner_v4, "-W", "1", count=2)
    assert pair.right.client.counters()["drop_selector_inbound"] >= 2


def test_a_peer_that_moved_is_told_once_and_the_plane_stays(pair: Pair) -> None:
    pair.ready()
    assert pair.left.ping(pair.right.inner_v4)
    pair.right.client.drain_notices()
    # The left gateway gets a new address; its SAs are told, its peer is not.
    pair.left.sh("ip", "addr", "add", "192.0.2.77/24", "dev", "wire")
    (out,) = [sa for sa in pair.left.client.query("sas") if sa["direction"] == "out"]
    moved = {"address": "192.0.2.77", "port": 4500}
    pair.left.client.ask("update_sa", direction="out", spi=out["spi"], local=moved)
    for _ in range(20):
        pair.left.popen("ping", "-c", "1", "-W", "1", pair.right.inner_v4).wait(timeout=10)
    notices = [n for n in pair.right.client.drain_notices() if n["type"] == "peer_moved"]
    assert 1 <= len(notices) <= 4
    assert notices[0]["remote"] == moved and notices[0]["spi"] == out["spi"]
    (back,) = [sa for sa in pair.right.client.query("sas") if sa["direction"] == "out"]
    assert back["remote"]["address"] == pair.left.outer_v4


def test_limits_are_told_once_and_hard_ones_stop_the_sa(pair: Pair) -> None:
    pair.ready(limits={"soft_packets": 5, "hard_packets": 10})
    pair.left.client.drain_notices()
    assert not pair.left.ping(pair.right.inner_v4, "-W", "1", count=12)
    notices = [n for n in pair.left.client.drain_notices() if n["type"] == "lifetime"]
    assert {n["direction"] for n in notices} <= {"in", "out"}
    out = [(n["which"], n["unit"]) for n in notices if n["direction"] == "out"]
    assert out == [("soft", "packets"), ("hard", "packets")]
    assert pair.left.client.counters()["drop_lifetime_packets"] > 0


def test_the_first_packet_of_an_sa_is_told(pair: Pair) -> None:
    pair.ready()
    assert pair.left.ping(pair.right.inner_v4)
    (sa,) = [sa for sa in pair.right.client.query("sas") if sa["direction"] == "in"]
    first = [n for n in pair.right.client.drain_notices() if n["type"] == "first_packet"]
    assert first == [{"type": "first_packet", "spi": sa["spi"]}]
