"""Acceptance 7 of issue 3: what `kill -9` costs two gateways with 200 tunnels under traffic.

Every packet between the gateways is captured; in it no inside address shows, and no SPI bears a
sequence number twice.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from isthmus.lab import capture, measure
from isthmus.lab.measure import PingResult
from isthmus.lab.packets import Esp, Packet
from isthmus.lab.topology import INSIDE, INTERNET

from .fleet import Fleet, fleet, processes
from .support import SITE_A, eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

TUNNELS = 200
PACKETS_PER_SECOND = 1000
CONTROL_WITHIN_S = 5.0
SNAP_OCTETS = 128
"""Of each packet: the headers, and those that an ICMP error quotes."""


@pytest.fixture
def two(short_directory: Path) -> Iterator[Fleet]:
    """200 tunnels, all up."""
    require_root_and()
    directory = short_directory / "fleet"
    directory.mkdir(exist_ok=True)
    with fleet(directory, TUNNELS, {}) as found:
        found.bring_up()
        yield found


@dataclass
class Seen:
    """What one run of traffic was, once it has ended."""

    pings: PingResult | None = None
    packets: list[Packet] = field(default_factory=list)

    @property
    def lost(self) -> tuple[int, ...]:
        """Numbers of the requests that nobody answered."""
        assert self.pings is not None
        return self.pings.lost


@contextmanager
def traffic(two: Fleet) -> Iterator[Seen]:
    """1,000 packets a second over all tunnels in turn, and all that passes between the gateways."""
    seen = Seen()
    wire = capture.start(two.world, INTERNET, two.directory / "wire.pcap", snap_octets=SNAP_OCTETS)
    pinging = measure.start_ping(
        two.world, SITE_A.host, *two.targets, interval_s=1 / PACKETS_PER_SECOND
    )
    try:
        yield seen
        seen.pings = pinging.finish()
        seen.packets = wire.packets()
    finally:
        pinging.abandon()
        wire.abandon()


def in_clear(packets: Iterable[Packet]) -> list[str]:
    """Packets with an inside address. (That a port is closed while a daemon is dead, a kernel may
    say: it quotes nothing but what is sealed.)"""
    return [
        packet.text
        for packet in packets
        for network in INSIDE
        if ip_address(packet.source) in network or ip_address(packet.destination) in network
    ]


def repeats(packets: Iterable[Packet]) -> dict[tuple[str, int, int], int]:
    """SPIs and sequence numbers that were sent more than once: under AES-GCM that would be a nonce
    twice under one key."""
    counts = Counter(
        (packet.destination, packet.content.spi, packet.content.sequence)
        for packet in packets
        if isinstance(packet.content, Esp)
    )
    return {key: count for key, count in counts.items() if count > 1}


def test_the_ike_process_dies_and_nobody_notices(two: Fleet) -> None:
    """No packet is lost, and within 5 s the new process has all tunnels under control."""
    with traffic(two) as seen:
        time.sleep(1.0)
        victim = processes(two.near)["ike"]
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        eventually(
            "every tunnel is under control again",
            lambda: two.controlled(two.near) == TUNNELS,
            timeout_s=4 * CONTROL_WITHIN_S,
            every_s=0.05,
        )
        took_s = time.monotonic() - killed
        time.sleep(max(0.0, killed + 8.0 - time.monotonic()))
    assert seen.pings is not None
    print(f"control of {TUNNELS} tunnels after {took_s:.2f} s; {seen.pings.sent} packets sent,")
    print(f"{len(seen.lost)} lost; {len(seen.packets)} on the wire")
    assert processes(two.near)["ike"] != victim
    assert took_s < CONTROL_WITHIN_S
    assert seen.pings.sent > 5 * PACKETS_PER_SECOND
    assert seen.lost == () and seen.pings.errors == 0
    assert in_clear(seen.packets) == []
    assert repeats(seen.packets) == {}
