"""Silence of a policy's SAs: measured, told once, and by packets alone ended."""

import pytest
from tests.plane.support import Pair, mirrored, outbound_sa

pytestmark = pytest.mark.root

IDLE_MS = 700


def quiet_pair(pair: Pair, idle_ms: int = IDLE_MS) -> None:
    """A tunnel whose left end wants to hear of silence, and devices that say nothing by
    themselves: the kernel's own IPv6 messages would be packets too."""
    pair.listen()
    for site, _ in pair.sites:
        site.sh("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        site.client.ask("attach_interface", interface=1, name="tun0", mtu=1400, bypass_mark=0)
        site.sh("ip", "link", "set", "tun0", "up")
        site.sh("ip", "addr", "add", f"{site.inner_v4}/16", "dev", "tun0")
    pair.policies(idle_ms=idle_ms)
    pair.tunnel()


def idle_for_ms(pair: Pair) -> int | None:
    """What the left end's policy says."""
    value: int | None = pair.left.client.query("policies")[0]["idle_for_ms"]
    return value


def told(pair: Pair, within_s: float = 3.0) -> bool:
    """Does the left end hear of silence?"""
    try:
        notice = pair.left.client.wait_notice("idle", timeout_s=within_s)
    except TimeoutError:
        return False
    assert (notice["policy"], notice["idle_ms"]) == (1, IDLE_MS)
    return True


def test_silence_is_told_once_and_again_after_packets_in_either_direction(pair: Pair) -> None:
    quiet_pair(pair)
    assert pair.left.ping(pair.right.inner_v4)
    assert told(pair)
    silent_ms = idle_for_ms(pair)
    assert silent_ms is not None and silent_ms >= IDLE_MS
    assert not told(pair, within_s=1.5)
    # Nothing but one packet from the peer, which is not answered.
    pair.left.sh("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
    assert not pair.right.ping(pair.left.inner_v4, "-W", "1", count=1)
    assert told(pair)


def test_packets_put_the_notice_off(pair: Pair) -> None:
    quiet_pair(pair)
    ping = pair.left.popen("ping", "-c", "20", "-i", "0.1", "-W", "2", pair.right.inner_v4)
    assert ping.wait(timeout=20) == 0
    assert "idle" not in [n["type"] for n in pair.left.client.drain_notices(0.05)]
    assert told(pair)


def test_keepalives_and_a_replaced_sa_are_no_traffic(pair: Pair) -> None:
    quiet_pair(pair)
    ends = {
        "local": {"address": pair.left.outer_v4, "port": 4500},
        "remote": {"address": pair.right.outer_v4, "port": 4500},
    }
    pair.left.client.ask("keepalive", every_ms=1000, **ends)
    before = idle_for_ms(pair)
    pair.tunnel()
    for sa in pair.left.client.query("sas")[:]:
        if sa["spi"] < 0x1002:
            pair.left.client.ask("remove_sa", direction=sa["direction"], spi=sa["spi"], policy=1)
    after = idle_for_ms(pair)
    assert before is not None and after is not None and after >= before
    assert told(pair)


def test_a_first_sa_starts_anew_and_none_is_no_silence(pair: Pair) -> None:
    quiet_pair(pair)
    assert told(pair)
    for sa in pair.left.client.query("sas"):
        pair.left.client.ask("remove_sa", direction=sa["direction"], spi=sa["spi"])
    assert idle_for_ms(pair) is None
    assert not told(pair, within_s=1.0)
    pair.left.client.ask("install_sa", sa=mirrored(outbound_sa(pair.right, pair.left, 0x4001)))
    silent_ms = idle_for_ms(pair)
    assert silent_ms is not None and silent_ms < IDLE_MS
    assert told(pair)


def test_a_new_client_hears_of_it_and_a_new_limit_counts(pair: Pair) -> None:
    quiet_pair(pair)
    assert told(pair)
    pair.left.client.close()
    pair.left.client = pair.left.connect()
    assert told(pair)
    pair.policies(idle_ms=None)
    assert pair.left.ping(pair.right.inner_v4)
    assert not told(pair, within_s=1.5)
    pair.policies(idle_ms=IDLE_MS)
    assert told(pair)
