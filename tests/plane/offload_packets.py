"""Random packets of a host, as its network device may hand them to a gateway: whole ones, and large
ones that somebody has yet to cut (virtio 1.2 section 5.1.6).

They come in trains, the packets of one flow, in which mostly one follows from the other (so that a
gateway may join them) and sometimes something is different (so that it must not). Everything is
drawn from one source of chance: the same seed gives the same packets.
"""

import random
import struct
from dataclasses import dataclass, field, replace

MTU = 1400
"""Of the tunnel's device, octets. Some packets are longer on purpose."""

NEEDS_CHECKSUM = 1
GSO_TCP4, GSO_TCP6, GSO_UDP, GSO_ECN = 1, 4, 5, 0x80
VNET = struct.Struct("=BBHHHH")

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, NO_NEXT = 0, 43, 44, 60, 59
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

# None that the kernel itself would take, and none whose body it must understand.
OTHER_PROTOCOLS = (4, 47, 50, 89, 103, 132, 136, 253, 254)

UDP_SEGMENTS_MAX = 64
LARGE_OCTETS_MAX = 64_000

_NOISE = random.Random("noise").randbytes(1 << 18)


def checksum(octets: bytes, start: int = 0) -> int:
    """The Internet checksum (RFC 1071) of octets, `start` added to their sum."""
    if len(octets) % 2:
        octets += b"\0"
    # 2^16 is 1 modulo 2^16 - 1: the remainder is the folded sum.
    total = int.from_bytes(octets, "big") + start
    folded = total % 0xFFFF
    return ~(0xFFFF if folded == 0 and total else folded) & 0xFFFF


@dataclass
class Shape:
    """The headers of a flow's next packet."""

    v6: bool
    source: bytes
    destination: bytes
    protocol: int
    tos: int = 0
    ttl: int = 64
    number: int = 0
    """IPv4's identification, IPv6's flow label."""
    df: bool = True
    ip_options: bytes = b""
    extensions: tuple[tuple[int, bytes], ...] = ()
    """IPv6: the type of each header, and it without its first octet."""
    ports: tuple[int, int] = (0, 0)
    sequence: int = 0
    ack: int = 0
    flags: int = ACK
    window: int = 500
    urgent: int = 0
    tcp_options: bytes = b""

    def network(self, protocol: int, length: int, fragment: int = 0) -> bytes:
        """The IP header before `length` octets; `fragment` is IPv4's field without DF."""
        if self.v6:
            kinds = [kind for kind, _ in self.extensions]
            follow = [*kinds[1:], protocol] if kinds else []
            chain = b"".join(
                bytes([kind]) + rest
                for kind, (_, rest) in zip(follow, self.extensions, strict=True)
            )
            first = 6 << 28 | self.tos << 20 | self.number & 0xFFFFF
            header = struct.pack(
                "!IHBB", first, len(chain) + length, kinds[0] if kinds else protocol, self.ttl
            )
            return header + self.source + self.destination + chain
        size = 20 + len(self.ip_options)
        header = struct.pack(
            "!BBHHHBBH4s4s",
            0x40 | size // 4,
            self.tos,
            size + length,
            self.number & 0xFFFF,
            (0x4000 if self.df else 0) | fragment,
            self.ttl,
            protocol,
            0,
            self.source,
            self.destination,
        )
        header += self.ip_options
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:]

    def transport(self, payload: bytes) -> tuple[bytes, int]:
        """The upper-layer header, its checksum zero, and where that is; -1: it has none."""
        if self.protocol == TCP:
            fields = struct.pack(
                "!HHIIBBHHH",
                *self.ports,
                self.sequence & 0xFFFFFFFF,
                self.ack & 0xFFFFFFFF,
                (20 + len(self.tcp_options)) // 4 << 4,
                self.flags,
                self.window,
                0,
                self.urgent,
            )
            return fields + self.tcp_options, 16
        if self.protocol == UDP:
            return struct.pack("!HHHH", *self.ports, 8 + len(payload), 0), 6
        if self.protocol in (ICMP, ICMP6):
            return struct.pack("!BBHHH", self.ports[0] & 0xFF, 0, 0, *self.ports), 2
        # The same in all packets of the train: kernels look here for what a flow is.
        return struct.pack("!HH", 0, self.ports[0]), -1

    def pseudo(self, length: int) -> int:
        """The sum of the pseudo-header, not folded."""
        if self.protocol == ICMP:
            return 0
        return int.from_bytes(self.source + self.destination, "big") + self.protocol + length


def whole(shape: Shape, payload: bytes, chance: random.Random) -> bytes:
    """A packet of its own, behind its header. Now and then its checksum is left to the device,
    missing, or wrong."""
    upper, at = shape.transport(payload)
    luck = chance.random()
    length = len(upper) + len(payload)
    header = bytes(VNET.size)
    if at >= 0:
        pseudo = shape.pseudo(length)
        if shape.protocol in (TCP, UDP) and luck < 0.3:
            network = shape.network(shape.protocol, length)
            header = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, len(network), at)
            total = ~checksum(b"", pseudo) & 0xFFFF
        elif shape.protocol == UDP and luck > 0.98:
            total = 0
        else:
            total = checksum(upper + payload, pseudo)
            if total == 0 and shape.protocol == UDP:
                total = 0xFFFF
            if luck > 0.97:
                total ^= 1 << chance.randrange(16)
        upper = upper[:at] + struct.pack("!H", total) + upper[at + 2 :]
    packet = shape.network(shape.protocol, length) + upper + payload
    if chance.random() < 0.005:
        # Ethernet's padding: octets behind the packet's end.
        packet += bytes(chance.randrange(1, 7))
    return header + packet


def large(shape: Shape, payload: bytes, step: int) -> bytes:
    """A packet to be cut after every `step` octets of payload."""
    upper, at = shape.transport(payload)
    length = len(upper) + len(payload)
    network = shape.network(shape.protocol, length)
    kind = GSO_UDP if shape.protocol == UDP else GSO_TCP6 if shape.v6 else GSO_TCP4
    if shape.protocol == TCP and shape.flags & CWR:
        kind |= GSO_ECN
    total = ~checksum(b"", shape.pseudo(length)) & 0xFFFF
    upper = upper[:at] + struct.pack("!H", total) + upper[at + 2 :]
    before = len(network) + len(upper)
    header = VNET.pack(NEEDS_CHECKSUM, kind, before, step, len(network), at)
    return header + network + upper + payload


@dataclass
class Generator:
    """Batches of packets; counts what it made."""

    seed: int
    packets: int = 0
    large_packets: int = 0
    segments: int = 0
    """Of the large ones."""
    _chance: random.Random = field(init=False, repr=False)
    _pairs: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def batch(self) -> list[bytes]:
        """What some hosts send at a time: trains that go side by side, each in its order."""
        chance = self._chance
        trains = [self._train() for _ in range(chance.randint(3, 12))]
        sent: list[bytes] = []
        while trains:
            train = chance.choice(trains)
            burst = chance.choice((1, 1, 2, 5, 20))
            sent += train[:burst]
            del train[:burst]
            trains = [left for left in trains if left]
        self.packets += len(sent)
        return sent

    def marker(self, number: int) -> bytes:
        """A datagram that comes after everything else."""
        shape = Shape(False, bytes([10, 80, 254, 254]), MARKED, UDP, ports=(9, 9))
        return whole(shape, number.to_bytes(8, "big"), random.Random(1))

    def _train(self) -> list[bytes]:
        chance = self._chance
        # No two trains of a batch have the same addresses.
        self._pairs = self._pairs % 60_000 + 1
        pair = (self._pairs + 100).to_bytes(2, "big")
        v6 = chance.random() < 0.5
        protocol = chance.choices((TCP, UDP, ICMP, 0), (10, 6, 1, 1))[0]
        if protocol == ICMP and v6:
            protocol = ICMP6
        if protocol == 0:
            protocol = chance.choice(OTHER_PROTOCOLS)
        shape = Shape(
            v6=v6,
            source=b"\xfd\x80" + bytes(12) + pair if v6 else bytes([10, 80]) + pair,
            destination=b"\xfd\x81" + bytes(12) + pair if v6 else bytes([10, 81]) + pair,
            protocol=protocol,
            tos=chance.choice((0, 0, 1, 2, 3, chance.randrange(256))),
            ttl=chance.randint(4, 255),
            number=chance.choice((0, 0xFFF0, chance.randrange(1 << 16))),
            df=chance.random() < 0.7,
            ports=(chance.randrange(1 << 16), chance.randrange(1 << 16)),
            sequence=chance.choice((0xFFFFF000, chance.randrange(1 << 32))),
            ack=chance.randrange(1 << 32),
            window=chance.randrange(1 << 16),
            tcp_options=self._tcp_options(False),
        )
        if protocol in (ICMP, ICMP6):
            # Echo and its answer: errors quote packets, which is another matter.
            kinds = (128, 129) if v6 else (0, 8)
            shape.ports = (chance.choice(kinds), shape.ports[1])
        if chance.random() < 0.15:
            shape.ip_options = b"" if v6 else self._ip_options()
            shape.extensions = self._extensions() if v6 else ()
        if chance.random() < 0.1:
            return self._fragments(shape)
        return self._packets(shape)

    def _packets(self, shape: Shape) -> list[bytes]:
        chance = self._chance
        headers = len(shape.network(shape.protocol, 0)) + len(shape.transport(b"")[0])
        room = MTU - headers
        step = chance.choice((room, room, room - 1, 536, 100, chance.randint(1, room)))
        if chance.random() < 0.02:
            step = chance.randint(1, 2500)
        can_be_large = shape.protocol in (TCP, UDP)
        train: list[bytes] = []
        segments = 0
        enough = chance.choice((1, 3, 20, 70, 100))
        while segments < enough:
            now = replace(shape)
            count = 1
            if can_be_large and chance.random() < 0.1:
                most = min(UDP_SEGMENTS_MAX, LARGE_OCTETS_MAX // step)
                if chance.random() < 0.1:
                    now, _ = self._changed(now, step)
                count = chance.randint(1, max(1, most))
                size = (count - 1) * step + chance.choice((step, chance.randint(1, step)))
                payload = self._payload(size)
                train.append(large(now, payload, step))
                self.large_packets += 1
                self.segments += count
            else:
                size = step
                if chance.random() < 0.08:
                    now, size = self._changed(now, step)
                elif chance.random() < 0.05:
                    size = chance.randint(0, step)
                payload = self._payload(size)
                train.append(whole(now, payload, chance))
            segments += count
            # IPv6's flow label says that packets belong together.
            shape.number += 0 if shape.v6 else count
            shape.sequence += len(payload)
        return train

    def _changed(self, shape: Shape, step: int) -> tuple[Shape, int]:
        """The shape with something in it that does not follow from the packet before."""
        chance = self._chance
        changes = (
            {"flags": shape.flags | PSH},
            {"flags": shape.flags | PSH},
            {"flags": shape.flags | chance.choice((FIN, SYN, RST, URG, ECE, CWR))},
            {"flags": chance.randrange(256), "urgent": chance.randrange(3)},
            {"flags": chance.choice((SYN, SYN | ACK)), "tcp_options": self._tcp_options(True)},
            {"tcp_options": self._tcp_options(False)},
            {"window": chance.randrange(1 << 16)},
            {"ack": shape.ack + chance.randint(1, 5000)},
            {"sequence": shape.sequence + chance.choice((-step, -1, 1, step))},
            {"number": shape.number + chance.choice((-1, 1, 77))},
            {"tos": shape.tos ^ chance.choice((1, 2, 3, 4, 0x80))},
            {"ttl": chance.randint(4, 255)},
            {"df": not shape.df},
        )
        change: dict[str, object] = dict(chance.choice(changes))
        changed = replace(shape, **change)  # type: ignore[arg-type]
        return changed, chance.choice((step, step, step + 1, 0, chance.randint(0, step)))

    def _fragments(self, shape: Shape) -> list[bytes]:
        """A packet in fragments (RFC 791 section 3.2, RFC 8200 section 4.5): in order or not,
        some missing, some twice, some overlapping."""
        chance = self._chance
        shape.df = shape.df and chance.random() < 0.1
        payload = self._payload(chance.randint(0, 6000))
        upper, at = shape.transport(payload)
        if at >= 0:
            total = checksum(upper + payload, shape.pseudo(len(upper) + len(payload)))
            upper = upper[:at] + struct.pack("!H", total) + upper[at + 2 :]
        octets = upper + payload
        most = (MTU - len(shape.network(shape.protocol, 0)) - 8) // 8
        pieces: list[bytes] = []
        start = 0
        while start < len(octets) or not pieces:
            end = start + 8 * chance.randint(1, most)
            more = end < len(octets)
            pieces.append(self._fragment(shape, octets[start:end], start, more))
            start = end - (8 if chance.random() < 0.03 and end - start > 8 else 0)
        luck = chance.random()
        if luck < 0.15:
            chance.shuffle(pieces)
        elif luck < 0.25 and len(pieces) > 1:
            del pieces[chance.randrange(len(pieces))]
        elif luck < 0.3:
            pieces.append(pieces[0])
        return [bytes(VNET.size) + piece for piece in pieces]

    def _fragment(self, shape: Shape, octets: bytes, start: int, more: bool) -> bytes:
        if not shape.v6:
            field_ = start // 8 | (0x2000 if more else 0)
            return shape.network(shape.protocol, len(octets), field_) + octets
        rest = struct.pack("!BHI", 0, start | more, 0x10000 + shape.number)
        fragmented = replace(shape, extensions=(*shape.extensions, (FRAGMENT, rest)))
        return fragmented.network(shape.protocol, len(octets)) + octets

    def _payload(self, size: int) -> bytes:
        start = self._chance.randrange(len(_NOISE) - LARGE_OCTETS_MAX - 5000)
        return _NOISE[start : start + size]

    def _tcp_options(self, syn: bool) -> bytes:
        chance = self._chance
        if syn:
            return b"\x02\x04" + struct.pack("!H", chance.randint(500, 9000)) + b"\x01\x03\x03\x07"
        stamps = b"\x01\x01\x08\x0a" + chance.randbytes(8)
        sack = b"\x01\x01\x05" + bytes([10]) + chance.randbytes(8)
        unknown = b"\xfd\x08" + chance.randbytes(6)
        return chance.choice((b"", stamps, stamps, sack, stamps + sack, unknown, b"\x01" * 40))

    def _ip_options(self) -> bytes:
        """IPv4 options (RFC 791 section 3.1) without a clock: that of Linux would differ."""
        chance = self._chance
        route = b"\x07\x0b\x04" + bytes(8) + b"\x00"
        unknown = bytes([chance.choice((0x1E, 0x9E)), 4]) + chance.randbytes(2)
        return chance.choice((b"\x01\x01\x01\x00", b"\x94\x04\x00\x00", route, unknown, route * 3))

    def _extensions(self) -> tuple[tuple[int, bytes], ...]:
        """Headers of IPv6 (RFC 8200 section 4): options to be skipped, and a route come to its
        end."""
        chance = self._chance
        chain: list[tuple[int, bytes]] = []
        if chance.random() < 0.4:
            chain.append((HOP_BY_HOP, b"\x00\x1e\x04" + chance.randbytes(4)))
        if chance.random() < 0.4:
            chain.append((ROUTING, b"\x00\xfd\x00" + chance.randbytes(4)))
        if chance.random() < 0.6 or not chain:
            units = chance.randint(0, 3)
            padding = bytes([1, 4 + 8 * units]) + bytes(4 + 8 * units)
            chain.append((DESTINATION, bytes([units]) + padding))
        return tuple(chain)


MARKED = bytes([10, 81, 254, 254])
"""Where the markers go, and nothing else."""
