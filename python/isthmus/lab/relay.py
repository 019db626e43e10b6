"""A bad road through a namespace: every IP packet that it forwards is late, repeated or damaged.

Run as a program (`python -I relay.py`) in a router's namespace, where it makes a TUN device and
leads all forwarded IPv4 packets through it. What it does to them is drawn from a seed. Damaged
UDP datagrams get a checksum that fits, so that it is the protocol inside that must notice. It
prints "ready", ends when standard input closes, and then prints what it did as JSON. Standard
library only.
"""

import argparse
import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import Counter

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_DEVICE = "relay"
_TABLE = "77"
_UDP = 17
_IPV4_HEADER, _UDP_HEADER = 20, 8
_HELD_MAX = 100_000


def open_device() -> int:
    """A TUN device that takes what arrives on every other interface; returns its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    name = _DEVICE.encode().ljust(16, b"\0")
    fcntl.ioctl(device, _TUNSETIFF, name + struct.pack("H22x", _IFF_TUN | _IFF_NO_PI))
    for command in (
        f"link set {_DEVICE} up",
        f"route add default dev {_DEVICE} table {_TABLE}",
        # What it gives back goes on by the ordinary routes.
        f"rule add priority 10 iif {_DEVICE} lookup main",
        "rule add priority 11 iif lo lookup main",
        f"rule add priority 12 lookup {_TABLE}",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    with open(f"/proc/sys/net/ipv4/conf/{_DEVICE}/rp_filter", "w", encoding="ascii") as file:
        file.write("0")
    return device


def damaged(packet: bytes, chance: random.Random) -> bytes | None:
    """The packet with one bit of its UDP payload flipped; None for what has none."""
    start = (packet[0] & 15) * 4 + _UDP_HEADER
    if packet[9] != _UDP or len(packet) <= start:
        return None
    octets = bytearray(packet)
    octets[start + chance.randrange(len(octets) - start)] ^= 1 << chance.randrange(8)
    # No checksum: RFC 768 allows that in IPv4.
    octets[start - 2 : start] = b"\0\0"
    return bytes(octets)


class Road:
    """Packets on their way, by the time of their arrival."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.chance = random.Random(options.seed)
        self.counts: Counter[str] = Counter()
        self._held: list[tuple[float, int, bytes]] = []

    def take(self, packet: bytes, now_s: float) -> None:
        """A packet enters the road; its copies leave it at times of their own."""
        options, chance = self.options, self.chance
        self.counts["packets"] += 1
        for _ in range(options.copies):
            copy = packet
            if chance.random() < options.damage:
                copy = damaged(packet, chance) or packet
                self.counts["damaged"] += copy is not packet
            due_s = now_s + chance.random() * options.delay
            if len(self._held) < _HELD_MAX:
                self.counts["copies"] += 1
                heapq.heappush(self._held, (due_s, self.counts["copies"], copy))

    def due(self, now_s: float) -> list[bytes]:
        """What arrives by now, in the order of its arrival."""
        found = []
        while self._held and self._held[0][0] <= now_s:
            _, number, packet = heapq.heappop(self._held)
            self.counts["late"] += number < self.counts["newest"]
            self.counts["newest"] = max(self.counts["newest"], number)
            found.append(packet)
        return found

    def wait_s(self, now_s: float) -> float:
        """How long nothing arrives."""
        return max(0.0, self._held[0][0] - now_s) if self._held else 1.0


def main() -> None:
    """Carry packets until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0, help="at most, in seconds")
    parser.add_argument("--damage", type=float, default=0.0, help="share of copies, 0..1")
    road = Road(parser.parse_args())
    device = open_device()
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([device, sys.stdin], [], [], road.wait_s(time.monotonic()))
        if sys.stdin in readable and not os.read(sys.stdin.fileno(), 100):
            break
        now_s = time.monotonic()
        if device in readable:
            packet = os.read(device, 65535)
            if packet[0] >> 4 == 4:
                road.take(packet, now_s)
        for packet in road.due(now_s):
            try:
                os.write(device, packet)
            except OSError:
                road.counts["refused"] += 1
    print(json.dumps(road.counts), flush=True)


if __name__ == "__main__":
    main()
