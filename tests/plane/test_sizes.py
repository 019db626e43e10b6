"""Packets that do not fit: answers, outer fragments, the DF bit, MSS."""

import sys
import time

import pytest
from tests.plane.support import Pair, eventually, policy

pytestmark = pytest.mark.root

SNIFF = """
import socket, sys
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("wire", 0))
sniffer.settimeout(2)
print("sniffing", flush=True)
try:
    while True:
        packet, where = sniffer.recvfrom(65535)
        outgoing = where[1:3] == (0x0800, socket.PACKET_OUTGOING)
        # The kernel's own IPv6 messages on the TUN device are smaller.
        if outgoing and packet[9] == 17 and len(packet) > 400:
            flags = packet[6] >> 5
            print("DF" if flags & 2 else "clear", packet[1], flush=True)
except TimeoutError:
    pass
"""


def sniffed(pair: Pair, *ping: str) -> list[str]:
    """DF and TOS of the outer packets that one ping makes."""
    sniffer = pair.left.popen(sys.executable, "-c", SNIFF)
    assert sniffer.stdout is not None and sniffer.stdout.readline() == "sniffing\n"
    assert pair.left.ping(pair.right.inner_v4, "-s", "500", *ping, count=2)
    output, _ = sniffer.communicate(timeout=20)
    return output.splitlines()


def test_ipv4_that_may_not_be_fragmented_is_answered_with_the_right_mtu(pair: Pair) -> None:
    pair.ready(mtu=1500)
    ping = pair.left.popen(
        "ping", "-M", "do", "-s", "1470", "-c", "3", "-i", "0.1", "-W", "1", pair.right.inner_v4
    )
    output, _ = ping.communicate(timeout=20)
    mtu = pair.left.client.query("interfaces")[0]["effective_mtu"]
    assert str(mtu) in output
    assert 1400 < mtu < 1470
    assert pair.left.ping(pair.right.inner_v4, "-M", "do", "-s", str(mtu - 28))
    counters = pair.left.client.counters()
    assert counters["too_big_answers"] == counters["drop_too_big"] >= 1


def test_ipv6_is_answered_with_packet_too_big(pair: Pair) -> None:
    pair.ready(mtu=1500)
    ping = pair.left.popen(
        "ping", "-M", "do", "-s", "1440", "-c", "3", "-i", "0.1", "-W", "1", pair.right.inner_v6
    )
    output, _ = ping.communicate(timeout=20)
    mtu = pair.left.client.query("interfaces")[0]["effective_mtu"]
    assert str(mtu) in output
    assert pair.left.ping(pair.right.inner_v6, "-M", "do", "-s", str(mtu - 48))


def test_ipv4_that_may_be_fragmented_goes_in_outer_fragments(pair: Pair) -> None:
    pair.ready(mtu=1500)
    assert pair.left.ping(pair.right.inner_v4, "-M", "dont", "-s", "1470")
    assert pair.left.ping(pair.right.inner_v4, "-M", "dont", "-s", "8000")
    assert pair.left.client.counters()["drop_too_big"] == 0


@pytest.mark.parametrize(
    ("df", "inner", "outer"),
    [
        ("copy", "do", "DF"),
        ("copy", "dont", "clear"),
        ("set", "dont", "DF"),
        ("clear", "do", "clear"),
    ],
)
def test_the_outer_df_bit_follows_the_policy(pair: Pair, df: str, inner: str, outer: str) -> None:
    pair.ready(df=df)
    lines = sniffed(pair, "-M", inner)
    assert lines and all(line.split()[0] == outer for line in lines)


def test_dscp_is_copied_outward(pair: Pair) -> None:
    pair.ready()
    assert f"DF {0xB8}" in sniffed(pair, "-Q", "0xb8", "-M", "do")


def test_a_path_that_became_narrower_is_learned(pair: Pair) -> None:
    pair.ready(mtu=1420)
    before = pair.left.client.query("interfaces")[0]["effective_mtu"]
    for site, _ in pair.sites:
        site.sh("ip", "link", "set", "wire", "mtu", "1300")
    pair.left.popen(
        "ping", "-M", "do", "-s", "1380", "-c", "3", "-i", "0.1", "-W", "1", pair.right.inner_v4
    ).wait(timeout=20)
    after = pair.left.client.query("interfaces")[0]["effective_mtu"]
    counters = pair.left.client.counters()
    assert after < 1300 < before
    assert counters["drop_path_mtu"] == 1 and counters["too_big_answers"] >= 1
    assert pair.left.ping(pair.right.inner_v4, "-M", "do", "-s", str(after - 28))


def test_small_ipv6_passes_a_path_too_narrow_for_it(pair: Pair) -> None:
    pair.ready(mtu=1280)
    for site, _ in pair.sites:
        site.sh("ip", "link", "set", "wire", "mtu", "1280")
    pair.tunnel()
    assert pair.left.ping(pair.right.inner_v6, "-M", "do", "-s", str(1280 - 48))


def test_the_mss_of_both_directions_is_lowered(pair: Pair) -> None:
    pair.ready(mtu=1500)
    # Only one gateway clamps, so it has to do it for both directions.
    pair.right.client.ask("set_policies", policies=[policy(pair.right, pair.left, clamp_mss=False)])
    server = pair.right.popen(
        sys.executable,
        "-c",
        "import socket, sys\n"
        "s = socket.create_server((sys.argv[1], 7000))\n"
        "print('up', flush=True)\n"
        "c, _ = s.accept()\n"
        "print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)\n"
        "n = 0\n"
        "while data := c.recv(65536): n += len(data)\n"
        "print(n, flush=True)\n",
        pair.right.inner_v4,
    )
    assert server.stdout is not None and server.stdout.readline() == "up\n"
    sent = pair.left.sh(
        sys.executable,
        "-c",
        "import socket, sys\n"
        "c = socket.create_connection((sys.argv[1], 7000))\n"
        "print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)\n"
        "c.sendall(bytes(1000000))\n",
        pair.right.inner_v4,
    )
    output, _ = server.communicate(timeout=20)
    mtu = pair.left.client.query("interfaces")[0]["effective_mtu"]
    mss, received = (int(line) for line in output.split())
    # 40 octets of headers, 12 of timestamps.
    assert mss <= mtu - 40 and int(sent) <= mtu - 40 and received == 1_000_000
    assert pair.left.client.counters()["mss_clamped"] == 2
    assert pair.left.client.counters()["drop_too_big"] == 0


def test_bypass_and_discard_do_what_they_say(pair: Pair) -> None:
    pair.ready()
    for site, peer in pair.sites:
        site.client.ask("attach_interface", interface=1, name="tun0", mtu=1400, bypass_mark=0x77)
        # Marked packets do not meet the tunnel's own route.
        site.sh("ip", "rule", "add", "fwmark", "0x77", "lookup", "77", "priority", "10")
        site.sh("ip", "route", "add", f"{peer.inner_v4}/32", "via", peer.outer_v4, "table", "77")
        site.sh("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
        site.sh("sysctl", "-qw", "net.ipv4.conf.wire.rp_filter=0")

    def with_action(action: str) -> None:
        for site, peer in pair.sites:
            site.client.ask("set_policies", policies=[policy(site, peer, action=action)])

    with_action("bypass")
    assert pair.left.ping(pair.right.inner_v4)
    assert pair.left.client.counters()["bypassed"] >= 3
    before = pair.left.client.counters()["esp_sent"]
    with_action("discard")
    assert not pair.left.ping(pair.right.inner_v4, "-W", "1", count=2)
    counters = pair.left.client.counters()
    assert counters["drop_policy_discard"] >= 2 and counters["esp_sent"] == before
    # No policy at all: the interface's mark says bypass.
    for site, _ in pair.sites:
        site.client.ask("set_policies", policies=[])
    assert pair.left.ping(pair.right.inner_v4)


def test_a_device_that_vanishes_costs_nothing_and_can_come_back(pair: Pair) -> None:
    pair.ready()
    pair.left.sh("ip", "link", "delete", "tun0")
    eventually("it is noticed", lambda: pair.left.client.counters()["descriptor_errors"] >= 1)
    cpu = pair.left.plane.pid
    with open(f"/proc/{cpu}/stat") as stat:
        before = sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:13])
    time.sleep(1.0)
    with open(f"/proc/{cpu}/stat") as stat:
        after = sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:13])
    assert after - before < 10
    pair.left.attach()
    assert pair.left.ping(pair.right.inner_v4)
