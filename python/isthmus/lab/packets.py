"""Captured frames as values, and the one line that a person reads for each.

Decoding is total: any octets give a Packet, in the worst case one whose kind is "other".
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Final

_IPV4, _IPV6 = 0x0800, 0x86DD
_ICMP, _IPIP, _TCP, _UDP, _IPV6_IN_IP, _ESP, _ICMPV6 = 1, 4, 6, 17, 41, 50, 58
_PROTOCOL_NAMES: Final = {_ICMP: "ICMP", _TCP: "tcp", _UDP: "udp", _ICMPV6: "ICMP6"}
_EXCHANGES: Final = {
    34: "IKE_SA_INIT",
    35: "IKE_AUTH",
    36: "CREATE_CHILD_SA",
    37: "INFORMATIONAL",
    43: "IKE_INTERMEDIATE",
}
_EXCHANGES_V1: Final = {
    2: "Main Mode",
    4: "Aggressive Mode",
    5: "Informational",
    6: "Transaction",
    32: "Quick Mode",
}
_IKE_PORT, _NAT_T_PORT = 500, 4500
_IKE_RESPONSE = 0x20
_IKE_HEADER = struct.Struct("!8s8sBBBBII")
_NOTIFY, _NO_PAYLOAD, _SK = 41, 0, 46


@dataclass(frozen=True, slots=True)
class Esp:
    """The clear part of an ESP packet."""

    spi: int
    sequence: int
    octets: bytes
    """From the SPI to the end, as far as captured."""
    length: int
    """Length of the same, as sent."""
    in_udp: bool


@dataclass(frozen=True, slots=True)
class Ike:
    """The clear part of an IKE message."""

    spi_i: str
    spi_r: str
    exchange: int
    is_response: bool
    message_id: int
    length: int
    notifies: tuple[int, ...]
    """Types of the notify payloads outside the encrypted payload; none are read of IKEv1."""
    version: int = 2
    """1: messages are neither requests nor responses, and `is_response` is False."""
    first_payload: int = 0
    """Type of the first payload, as the header has it."""

    @property
    def exchange_name(self) -> str:
        """IKE_SA_INIT and so on; Main Mode and so on of IKEv1."""
        names = _EXCHANGES if self.version == 2 else _EXCHANGES_V1
        return names.get(self.exchange, f"exchange {self.exchange}")


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet of a capture."""

    at_s: float
    """Seconds since 1970."""
    interface: str
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    octets: bytes
    """From the IP header on, as far as captured."""
    payload_at: int
    """Where the payload of IP begins in `octets`."""
    length: int
    """Octets of the IP packet as sent."""
    content: Esp | Ike | None

    @property
    def text(self) -> str:
        """One line, without the time."""
        ends = f"{self.source} > {self.destination}"
        match self.content:
            case Esp(spi, sequence, _, length, in_udp):
                kind = "ESP in UDP 4500" if in_udp else "ESP"
                return f"{ends}  {kind}  spi 0x{spi:08x}  seq {sequence}  len {length}"
            case Ike(version=1) as ike:
                port = self.destination_port
                return f"{ends}  IKEv1 {ike.exchange_name} {ike.message_id:08x}  udp {port}"
            case Ike() as ike:
                way = "response" if ike.is_response else "request"
                port = self.destination_port
                return f"{ends}  IKE {ike.exchange_name} {way} {ike.message_id}  udp {port}"
            case None:
                return f"{ends}  {self.describe_clear()}"

    def describe_clear(self) -> str:
        """What a packet in clear is: protocol, ports or ICMP type."""
        body = self.octets[self.payload_at :]
        name = _PROTOCOL_NAMES.get(self.protocol, f"protocol {self.protocol}")
        if self.protocol in (_TCP, _UDP):
            return f"{name} {self.source_port} > {self.destination_port}  len {self.length}"
        if self.protocol in (_ICMP, _ICMPV6) and len(body) >= 8:
            kinds = {8: "echo request", 0: "echo reply", 128: "echo request", 129: "echo reply"}
            kind = kinds.get(body[0], f"type {body[0]} code {body[1]}")
            echo = f" id {body[4] << 8 | body[5]} seq {body[6] << 8 | body[7]}"
            return f"{name} {kind}{echo if body[0] in kinds else ''}"
        return f"{name}  len {self.length}"


def decode_frame(frame: bytes, *, at_s: float, interface: str, length: int) -> Packet | None:
    """The IP packet in an Ethernet frame; None when there is none (ARP and the like)."""
    if len(frame) < 14:
        return None
    if int.from_bytes(frame[12:14], "big") not in (_IPV4, _IPV6):
        return None
    return decode_ip(frame[14:], at_s=at_s, interface=interface, length=length - 14)


def decode_ip(
    octets: bytes, *, at_s: float = 0.0, interface: str = "", length: int | None = None
) -> Packet | None:
    """An IP packet; None when these octets are not one."""
    length = len(octets) if length is None else length
    if len(octets) >= 20 and octets[0] >> 4 == 4:
        payload_at, protocol = (octets[0] & 15) * 4, octets[9]
        source, destination = octets[12:16], octets[16:20]
        first = int.from_bytes(octets[6:8], "big") & 0x1FFF == 0
    elif len(octets) >= 40 and octets[0] >> 4 == 6:
        payload_at, protocol = 40, octets[6]
        source, destination = octets[8:24], octets[24:40]
        first = True
    else:
        return None
    body = octets[payload_at:]
    ports = (0, 0)
    content: Esp | Ike | None = None
    body_length = max(0, length - payload_at)
    if first and protocol in (_TCP, _UDP) and len(body) >= 8:
        ports = (int.from_bytes(body[0:2], "big"), int.from_bytes(body[2:4], "big"))
    if first and protocol == _ESP:
        content = _esp(body, body_length, in_udp=False)
    elif first and protocol == _UDP:
        content = _in_udp(body[8:], body_length - 8, ports)
    return Packet(
        at_s=at_s,
        interface=interface,
        source=str(ip_address(source)),
        destination=str(ip_address(destination)),
        protocol=protocol,
        source_port=ports[0],
        destination_port=ports[1],
        octets=octets,
        payload_at=payload_at,
        length=length,
        content=content,
    )


def _esp(body: bytes, length: int, *, in_udp: bool) -> Esp | None:
    if len(body) < 8:
        return None
    spi, sequence = struct.unpack("!II", body[:8])
    return Esp(spi, sequence, octets=body, length=length, in_udp=in_udp)


def _in_udp(body: bytes, length: int, ports: tuple[int, int]) -> Esp | Ike | None:
    if _NAT_T_PORT in ports:
        if body[:4] == bytes(4):
            return _ike(body[4:])
        return _esp(body, length, in_udp=True)
    return _ike(body) if _IKE_PORT in ports else None


def _ike(body: bytes) -> Ike | None:
    if len(body) < _IKE_HEADER.size:
        return None
    spi_i, spi_r, following, version, exchange, flags, message_id, length = _IKE_HEADER.unpack(
        body[: _IKE_HEADER.size]
    )
    if version >> 4 not in (1, 2):
        return None
    is_v2 = version >> 4 == 2
    return Ike(
        spi_i=spi_i.hex(),
        spi_r=spi_r.hex(),
        exchange=exchange,
        is_response=is_v2 and bool(flags & _IKE_RESPONSE),
        message_id=message_id,
        length=length,
        notifies=tuple(_clear_notifies(following, body[_IKE_HEADER.size :])) if is_v2 else (),
        version=version >> 4,
        first_payload=following,
    )


def _clear_notifies(following: int, chain: bytes) -> Iterator[int]:
    while following not in (_NO_PAYLOAD, _SK) and len(chain) >= 4:
        size = int.from_bytes(chain[2:4], "big")
        if size < 4 or size > len(chain):
            return
        if following == _NOTIFY and size >= 8:
            yield int.from_bytes(chain[6:8], "big")
        following, chain = chain[0], chain[size:]


def read_pcap(path: Path) -> Iterator[Packet]:
    """The IP packets of a pcap file that sniff.py wrote."""
    with path.open("rb") as file:
        if len(file.read(24)) < 24:
            return
        while len(header := file.read(16)) == 16:
            seconds, micros, kept, length = struct.unpack("<IIII", header)
            frame = file.read(kept)
            packet = decode_frame(frame, at_s=seconds + micros / 1e6, interface="", length=length)
            if packet is not None:
                yield packet


def inside_in_clear(
    packets: Iterable[Packet], networks: Iterable[IPv4Network | IPv6Network]
) -> list[Packet]:
    """Packets that carry an address of these networks where everybody can read it.

    Looks at the IP header, at packets in packets (protocols 4 and 41), and at the packet that an
    ICMP error quotes.
    """
    inside = tuple(networks)
    return [packet for packet in packets if _shows(packet, inside, depth=2)]


def _shows(packet: Packet, inside: tuple[IPv4Network | IPv6Network, ...], depth: int) -> bool:
    ends = (ip_address(packet.source), ip_address(packet.destination))
    if any(end in network for end in ends for network in inside):
        return True
    if depth == 0:
        return False
    inner: bytes = b""
    if packet.protocol in (_IPIP, _IPV6_IN_IP):
        inner = packet.octets[packet.payload_at :]
    elif packet.protocol in (_ICMP, _ICMPV6):
        inner = packet.octets[packet.payload_at + 8 :]
    quoted = decode_ip(inner) if inner else None
    return quoted is not None and _shows(quoted, inside, depth - 1)
