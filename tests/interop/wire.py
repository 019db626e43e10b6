"""What a capture between the gateways must not show."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from isthmus.lab.packets import Esp, Packet


def in_clear(packets: Iterable[Packet], inside: Iterable[IPv4Network | IPv6Network]) -> list[str]:
    """Packets with an inside address. (That a port is closed while a daemon is dead, a kernel may
    say: it quotes nothing but what is sealed.)"""
    networks = tuple(inside)
    return [
        packet.text
        for packet in packets
        for network in networks
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
