"""What travels: packets of users, ESP as the simulated planes write it, IKE datagrams."""

from dataclasses import dataclass

from isthmus.values.address import Endpoint


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of a user: addresses as numbers, the port of its destination."""

    number: int
    flow: int
    source: int
    destination: int
    protocol: int
    port: int
    octets: int = 100


@dataclass(frozen=True, slots=True)
class Esp:
    """A protected packet. The key stands for what it was sealed with: who has another one could
    not have opened it."""

    spi: int
    sequence: int
    key: bytes
    inner: Packet


@dataclass(frozen=True, slots=True)
class Keepalive:
    """One octet that keeps a NAT's mapping alive (RFC 3948 §2.3)."""


@dataclass(frozen=True, slots=True)
class Ike:
    """An IKE datagram."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Outer:
    """What a network carries. Port 0 on both sides: ESP that is not in UDP."""

    source: Endpoint
    target: Endpoint
    content: Esp | Ike | Keepalive
