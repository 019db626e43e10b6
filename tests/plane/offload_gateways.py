"""The same random packets through two pairs of gateways, one with offloads and one without: what
comes out of both must be the same, octet for octet.

In each pair a test writes to a TUN device of the left gateway, as the host behind it would send;
that gateway's kernel forwards into the tunnel, the right gateway's kernel forwards out of it into
another TUN device, and there the test reads what a host would receive, cut by nobody but gateways
and kernels. Nothing is normalised. Order is compared within a flow: between flows no gateway owes
any.
"""

import contextlib
import fcntl
import itertools
import os
import select
import struct
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.plane.offload_packets import FRAGMENT, MARKED, MTU, Generator
from tests.plane.support import Pair, Site, pair_of_planes

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
QUEUE_PACKETS = 20_000
PATIENCE_S = 20.0
UDP_HEADER = 8
ROUND_SEGMENTS = 800

OUTERS: dict[str, dict[str, Any]] = {
    "udp4": {},
    "udp6": {"outer_v6": True},
    "esp4": {"encap": False},
    "esp6": {"encap": False, "outer_v6": True},
}

Flow = tuple[bytes, bool]
Delivered = dict[Flow, list[bytes]]

_numbers = itertools.count()


class Different(Exception):
    """The gateways delivered different packets; says which and how to see it again."""


@contextlib.contextmanager
def host_device(site: Site, *, header: bool) -> Iterator[int]:
    """The network of a host behind the gateway: what is written comes from there, what is read
    goes there. With `header`, each packet stands behind 10 octets (virtio 1.2 section 5.1.6)."""
    name = f"iso{os.getpid()}-{next(_numbers)}"[:15]
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if header else 0)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        # It stays ours in the other namespace too.
        command = ["ip", "link", "set", name, "netns", site.namespace, "name", "host"]
        subprocess.run(command, check=True)
        site.sh("ip", "link", "set", "host", "addrgenmode", "none")
        site.sh("ip", "link", "set", "host", "mtu", "1500", "txqueuelen", str(QUEUE_PACKETS), "up")
        yield device
    finally:
        os.close(device)


def flow_of(packet: bytes) -> Flow:
    """What a packet must keep its order among: those of its addresses, fragments (whose ports
    nobody sees) by themselves."""
    if packet[0] >> 4 == 4:
        return packet[12:20], packet[6:8] not in (b"\0\0", b"\x40\0")
    follows, at, fragment = packet[6], 40, False
    while follows in (0, 43, 44, 60) and at + 8 <= len(packet):
        fragment |= follows == FRAGMENT
        length = 8 if follows == FRAGMENT else 8 + 8 * packet[at + 1]
        follows, at = packet[at], at + length
    return packet[8:40], fragment


def is_ours(packet: bytes) -> bool:
    """For the host behind the right gateway, and not its kernel's own messages."""
    if packet[0] >> 4 == 4:
        return packet[16:18] == MARKED[:2]
    return packet[24:26] == b"\xfd\x81"


@dataclass
class Through:
    """One pair of gateways and the two hosts' devices."""

    name: str
    pair: Pair
    sender: int
    receiver: int
    refused: int = 0
    """Packets that the kernel did not take from the host."""
    delivered: int = 0

    @property
    def networks(self) -> dict[str, int]:
        """The second octet of the hosts' IPv4 network behind each gateway."""
        return {self.pair.left.namespace: 80, self.pair.right.namespace: 81}

    def configure(self, *, offload: bool, outer: str, like: str) -> None:
        """Tunnel and routes. Without offload neither TUN device has any, and ESP goes by raw
        sockets, which have none either."""
        for site, _ in self.pair.sites:
            for setting in (
                "net.ipv4.ip_forward=1",
                "net.ipv6.conf.all.forwarding=1",
                "net.ipv4.conf.all.rp_filter=0",
                "net.ipv4.conf.default.rp_filter=0",
                "net.ipv4.conf.host.rp_filter=0",
            ):
                site.sh("sysctl", "-qw", setting)
            # One processor takes what comes by the wire: with several, packets overtake there.
            site.sh("sh", "-c", "echo 1 > /sys/class/net/wire/queues/rx-0/rps_cpus")
            site.client.ask(
                "attach_interface",
                interface=1,
                name="tun0",
                mtu=MTU,
                bypass_mark=0,
                offload=offload,
            )
            # The same room inside, whatever is around it: the MSS of SYNs follows from it.
            less = like.startswith("udp") and outer.startswith("esp")
            wire_mtu = 1500 - UDP_HEADER if less else 1500
            site.sh("ip", "link", "set", "wire", "mtu", str(wire_mtu))
            own = self.networks[site.namespace]
            site.sh("ip", "addr", "add", f"10.{own}.0.1/16", "dev", "host")
            site.sh("ip", "-6", "addr", "add", f"fd{own}::1/16", "dev", "host", "nodad")
        self.pair.ready(mtu=MTU, **OUTERS[outer])
        for site, peer in self.pair.sites:
            far = self.networks[peer.namespace]
            site.sh("ip", "link", "set", "tun0", "txqueuelen", str(QUEUE_PACKETS))
            for route in (f"10.{far}.0.0/16", f"fd{far}::/16"):
                site.sh("ip", "route", "add", route, "dev", "tun0")

    def offload(self) -> str:
        """What the devices' packets may look like."""
        (interface,) = self.pair.left.client.query("interfaces")
        return str(interface["offload"])

    def send(self, packets: list[bytes]) -> None:
        """The left host sends."""
        for packet in packets:
            try:
                os.write(self.sender, packet)
            except OSError:
                self.refused += 1

    def receive(self, enough: Callable[[int, bool], bool]) -> Delivered:
        """What the right host receives until it is enough: so many packets, or the marker seen.

        Raises Different when it does not come."""
        found: Delivered = defaultdict(list)
        count, marked = 0, False
        deadline = time.monotonic() + PATIENCE_S
        while not enough(count, marked):
            try:
                packet = os.read(self.receiver, 65_535)
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise Different(f"{self.name}: {count} packets, then no more came") from None
                select.select([self.receiver], [], [], left_s)
                continue
            if is_ours(packet):
                count += 1
                marked |= packet[16:20] == MARKED and packet[0] >> 4 == 4
                found[flow_of(packet)].append(packet)
        self.delivered += count
        return found

    def more(self) -> int:
        """How many packets wait that nobody has asked for."""
        count = 0
        while select.select([self.receiver], [], [], 0.3)[0]:
            count += is_ours(os.read(self.receiver, 65_535))
        return count

    def crossings(self) -> dict[str, tuple[int, int]]:
        """For what left the kernel on the left and came back on the right: times that the device
        was crossed, and packets that crossed it."""
        found = {}
        for way, site, ours, kernels in (
            ("out", self.pair.left, "rx_packets", "tx_packets"),
            ("in", self.pair.right, "tx_packets", "rx_packets"),
        ):
            (interface,) = site.client.query("interfaces")
            path = f"/sys/class/net/tun0/statistics/{kernels}"
            found[way] = int(site.sh("cat", path)), int(interface[ours])
        return found

    def lost(self) -> dict[str, int]:
        """What both planes lost, by reason."""
        found: dict[str, int] = defaultdict(int)
        for site, _ in self.pair.sites:
            for name, value in site.client.counters().items():
                # On a new device the kernel speaks IPv6 before there are policies.
                ours = name.startswith(("drop_", "worker_")) and name != "drop_no_policy"
                if ours and value:
                    found[name] += value
        return dict(found)


@contextlib.contextmanager
def through(
    directory: Path, name: str, offload: bool, outer: str, like: str, *, workers: int
) -> Iterator[Through]:
    """A pair of gateways with a host at each end, ready for packets; with room in the tunnel as if
    the outer header were that of `like`."""
    directory.mkdir(exist_ok=True)
    with (
        pair_of_planes(directory, workers=workers) as pair,
        host_device(pair.left, header=True) as sender,
        host_device(pair.right, header=False) as receiver,
    ):
        gateways = Through(name, pair, sender, receiver)
        gateways.configure(offload=offload, outer=outer, like=like)
        yield gateways


def differences(plain: Delivered, offloaded: Delivered) -> list[str]:
    """The first differences between what the two pairs delivered, for people."""
    lines: list[str] = []
    for flow in plain | offloaded:
        expected, found = plain.get(flow, []), offloaded.get(flow, [])
        if expected == found:
            continue
        lines.append(f"flow {flow[0].hex()}: {len(expected)} packets expected, {len(found)} came")
        if sorted(expected) == sorted(found):
            lines.append("  the same packets in another order")
        for index, (one, other) in enumerate(itertools.zip_longest(expected, found, fillvalue=b"")):
            if one != other:
                octets = [n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b]
                lines.append(f"  packet {index} of {len(one)} and {len(other)} octets")
                lines.append(f"  expected {one[:100].hex()}")
                lines.append(f"  came     {other[:100].hex()}")
                lines.append(f"  octets {octets[:20]}")
                break
        if len(lines) > 40:
            break
    return lines


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run: counts of both pairs of gateways."""

    outer: str
    offload: str
    """What the kernel let the devices do."""
    seconds: float
    sent: Generator
    refused: int
    delivered: int
    crossings: dict[str, tuple[int, int]]
    plain_crossings: dict[str, tuple[int, int]]
    lost: dict[str, int]
    plain_lost: dict[str, int]

    def lines(self) -> list[str]:
        """The account, for people."""
        made = self.sent
        lines = [
            f"{self.outer}, seed {made.seed}: {self.delivered} packets delivered by both, the same "
            f"octets, in {self.seconds:.0f} s",
            f"  the host sent {made.packets}, {made.large_packets} of them large, for "
            f"{made.segments} segments; its gateways' kernels refused {self.refused} at once",
        ]
        for way, (times, packets) in self.crossings.items():
            lines.append(
                f"  offload {self.offload}, {way} of the kernel: {packets} packets as {times}"
            )
        return lines

    def complaints(self) -> list[str]:
        """What makes the run worthless although everything was equal."""
        found = []
        # Kernels let segments pass now and then that are longer than the device takes.
        if self.lost != self.plain_lost or self.lost.keys() - {"drop_too_big"}:
            found.append(f"lost without offloads {self.plain_lost}, with {self.lost}")
        for way, (times, packets) in self.plain_crossings.items():
            if packets > times * 1.01:
                found.append(f"without offloads, {way}: {packets} packets as {times}")
        for way, (times, packets) in self.crossings.items():
            if self.offload != "none" and packets < times * 1.5:
                found.append(f"with offloads, {way}: {packets} packets as {times}")
        return found


def run(
    directory: Path,
    count: int,
    seed: int,
    *,
    outer: str = "udp4",
    workers: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Send random packets until `count` are delivered. Raises Different, which says the seed."""
    begin = time.monotonic()
    plain_outer = "esp6" if outer.endswith("6") else "esp4"
    with (
        through(directory / "p", "plain", False, plain_outer, outer, workers=1) as plain,
        through(directory / "o", "offloaded", True, outer, outer, workers=workers) as offloaded,
    ):
        sent = Generator(seed)
        number, told = 0, 0
        while plain.delivered < count:
            number += 1
            if found := one_round(plain, offloaded, sent, number):
                head = f"{outer}, seed {seed}, round {number}, {plain.delivered} packets so far:"
                lost = f"lost: plain {plain.lost()}, offloaded {offloaded.lost()}"
                raise Different("\n".join([head, *found, lost]))
            if plain.delivered // 50_000 > told:
                told = plain.delivered // 50_000
                say(f"{plain.delivered} packets equal, {time.monotonic() - begin:.0f} s")
        if any(left_over := (plain.more(), offloaded.more())):
            raise Different(f"{outer}, seed {seed}: {left_over} packets too many at the end")
        return Report(
            outer=outer,
            offload=offloaded.offload(),
            seconds=time.monotonic() - begin,
            sent=sent,
            refused=plain.refused,
            delivered=plain.delivered,
            crossings=offloaded.crossings(),
            plain_crossings=plain.crossings(),
            lost=offloaded.lost(),
            plain_lost=plain.lost(),
        )


def one_round(plain: Through, offloaded: Through, sent: Generator, number: int) -> list[str]:
    """Send some batches by both ways; gives the differences between what came."""
    packets: list[bytes] = []
    segments = sent.segments
    while len(packets) + sent.segments - segments < ROUND_SEGMENTS:
        packets += sent.batch()
    packets.append(sent.marker(number))
    plain.send(packets)
    offloaded.send(packets)
    before = plain.delivered
    try:
        # One worker keeps the order of everything, so the marker comes last.
        expected = plain.receive(lambda _, marked: marked)
        total = plain.delivered - before
        found = offloaded.receive(lambda count, _: count >= total)
    except Different as error:
        return [str(error)]
    if plain.refused != offloaded.refused:
        return [f"refused at once: {plain.refused} and {offloaded.refused}"]
    return differences(expected, found)
