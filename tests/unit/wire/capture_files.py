"""UDP datagrams out of pcap and pcapng files: as much of the formats as our captures use."""

from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

ETHERNET = 1
ETHERNET_HEADER = 14
UDP = 17
UDP_HEADER = 8


def udp_datagrams(path: Path) -> list[tuple[int, int, bytes]]:
    """Source port, destination port and content, in the order of the file."""
    octets = path.read_bytes()
    frames = _pcapng(octets) if octets[:4] == b"\x0a\x0d\x0d\x0a" else _pcap(octets)
    return [datagram for frame in frames for datagram in _udp(frame)]


def _pcap(octets: bytes) -> Iterator[bytes]:
    assert octets[:4] == b"\xd4\xc3\xb2\xa1" and unpack_from("<I", octets, 20)[0] == ETHERNET
    at = 24
    while at < len(octets):
        (captured,) = unpack_from("<I", octets, at + 8)
        yield octets[at + 16 : at + 16 + captured]
        at += 16 + captured


def _pcapng(octets: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(octets):
        kind, length = unpack_from("<II", octets, at)
        if kind == 1:
            assert unpack_from("<H", octets, at + 8)[0] == ETHERNET
        if kind == 6:
            (captured,) = unpack_from("<I", octets, at + 20)
            yield octets[at + 28 : at + 28 + captured]
        at += length


def _udp(frame: bytes) -> Iterator[tuple[int, int, bytes]]:
    packet = frame[ETHERNET_HEADER:]
    if frame[12:14] != b"\x08\x00" or packet[9] != UDP:
        return
    udp = packet[(packet[0] & 0x0F) * 4 :]
    source, destination, length = unpack_from(">HHH", udp)
    yield source, destination, udp[UDP_HEADER:length]
