"""Reading captured packets, and finding what should not be there."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from isthmus.lab.packets import Esp, Ike, decode_frame, decode_ip, inside_in_clear

INSIDE = [ip_network("10.1.0.0/24"), ip_network("fd00:1::/64")]


def ipv4(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
    return head + IPv4Address(source).packed + IPv4Address(destination).packed + body


def ipv6(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
    return head + IPv6Address(source).packed + IPv6Address(destination).packed + body


def udp(source: int, destination: int, body: bytes) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(body), 0) + body


def outer(protocol: int, body: bytes) -> bytes:
    return ipv4("192.0.2.1", "198.51.100.1", protocol, body)


def test_native_esp() -> None:
    """Protocol 50: SPI and sequence are all that is clear."""
    packet = decode_ip(outer(50, bytes.fromhex("c0ffee01 00000007") + bytes(32)))
    assert packet is not None and isinstance(packet.content, Esp)
    assert (packet.content.spi, packet.content.sequence) == (0xC0FFEE01, 7)
    assert packet.text == "192.0.2.1 > 198.51.100.1  ESP  spi 0xc0ffee01  seq 7  len 40"


def test_esp_in_udp_and_ike_on_4500_are_told_apart() -> None:
    """RFC 3948 §2: four zero octets mark IKE."""
    esp = decode_ip(outer(17, udp(4500, 4500, bytes.fromhex("c0ffee01 00000007"))))
    header = struct.pack("!8s8sBBBBII", b"i" * 8, b"r" * 8, 46, 0x20, 35, 0x20, 1, 28)
    ike = decode_ip(outer(17, udp(4500, 4500, bytes(4) + header)))
    assert esp is not None and isinstance(esp.content, Esp) and esp.content.in_udp
    assert ike is not None and isinstance(ike.content, Ike)
    assert (ike.content.exchange_name, ike.content.is_response) == ("IKE_AUTH", True)


def test_ikev1_is_told_by_its_version() -> None:
    """RFC 2408 §3.1: flags say other things than in IKEv2, and payload types are others."""
    header = struct.pack("!8s8sBBBBII", b"i" * 8, b"r" * 8, 41, 0x10, 32, 0x21, 0xC0FFEE01, 36)
    packet = decode_ip(outer(17, udp(500, 500, header + bytes(8))))
    assert packet is not None and isinstance(packet.content, Ike)
    assert (packet.content.version, packet.content.first_payload) == (1, 41)
    assert (packet.content.is_response, packet.content.notifies) == (False, ())
    assert packet.text == "192.0.2.1 > 198.51.100.1  IKEv1 Quick Mode c0ffee01  udp 500"


def test_notifies_in_clear_are_listed() -> None:
    """RFC 7296 §2.7: NO_PROPOSAL_CHOSEN (14) in an IKE_SA_INIT response."""
    notify = struct.pack("!BBHBBH", 0, 0, 8, 0, 0, 14)
    header = struct.pack("!8s8sBBBBII", b"i" * 8, b"r" * 8, 41, 0x20, 34, 0x20, 0, 36)
    packet = decode_ip(outer(17, udp(500, 500, header + notify)))
    assert packet is not None and isinstance(packet.content, Ike)
    assert packet.content.notifies == (14,)


def test_inside_addresses_are_found_wherever_they_show() -> None:
    """As an address, in a packet within a packet, and in what an ICMP error quotes."""
    inner = ipv4("10.1.0.10", "10.2.0.10", 1, bytes(8))
    showing = [
        inner,
        ipv6("fd00:1::10", "2001:db8::1", 58, bytes(8)),
        outer(4, inner),
        outer(1, bytes.fromhex("0304 0000 0000 0000") + inner),
    ]
    hiding = [outer(50, bytes(40)), outer(17, udp(4500, 4500, b"\1" * 40)), outer(1, bytes(8))]
    packets = [decode_ip(octets) for octets in showing + hiding]
    assert None not in packets
    found = inside_in_clear([packet for packet in packets if packet is not None], INSIDE)
    assert [packet.octets for packet in found] == showing


@given(st.binary(max_size=200))
def test_any_octets_give_a_packet_or_none(octets: bytes) -> None:
    """A capture holds what strangers sent."""
    for packet in (
        decode_ip(octets),
        decode_frame(octets, at_s=0, interface="x", length=len(octets)),
        decode_ip(b"\x45" + octets),
        decode_ip(b"\x60" + octets),
    ):
        if packet is not None:
            assert packet.text
            inside_in_clear([packet], INSIDE)
