"""Traffic selectors and their algebra (RFC 7296 §3.13.1, RFC 4301 §4.4.1).

A selector is a range of addresses, an IP protocol (0 = any) and a range of ports. For ICMP the
"ports" hold type (high octet) and code (low octet).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
    summarize_address_range,
)
from typing import Self

from isthmus.values.address import IpAddress

ANY_PROTOCOL = 0
PORT_MAX = 65535
IpNetwork = IPv4Network | IPv6Network

PROTOCOL_NAMES = {"any": 0, "icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "sctp": 132}
_PROTOCOL_WORDS = {number: name for name, number in PROTOCOL_NAMES.items()}


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """One range. `start` and `end` have the same family and `start` <= `end`.

    `port_start` = 65535 with `port_end` = 0 means OPAQUE (RFC 7296 §3.13.1).
    """

    start: IpAddress
    end: IpAddress
    protocol: int = ANY_PROTOCOL
    port_start: int = 0
    port_end: int = PORT_MAX

    def __post_init__(self) -> None:
        if self.start.version != self.end.version:
            raise ValueError("a selector's two addresses are of different families")
        if int(self.start) > int(self.end):
            raise ValueError("a selector's first address is above its last")
        if not 0 <= self.protocol <= 255:
            raise ValueError("an IP protocol is 0 to 255")
        if self.port_start > self.port_end and not self.is_opaque:
            raise ValueError("a selector's first port is above its last")

    @classmethod
    def of_network(
        cls,
        network: IpNetwork | str,
        protocol: int = ANY_PROTOCOL,
        port_start: int = 0,
        port_end: int = PORT_MAX,
    ) -> Self:
        """The selector of a whole network. Raises ValueError for text that is no network."""
        net = ip_network(network) if isinstance(network, str) else network
        return cls(net.network_address, net.broadcast_address, protocol, port_start, port_end)

    @classmethod
    def everything(cls, version: int) -> Self:
        """Any address, protocol and port of one family (4 or 6)."""
        return cls.of_network("0.0.0.0/0" if version == 4 else "::/0")

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.start.version

    @property
    def is_opaque(self) -> bool:
        """Ports are OPAQUE: only packets whose ports cannot be seen match."""
        return self.port_start == PORT_MAX and self.port_end == 0

    @property
    def any_port(self) -> bool:
        """All ports match."""
        return self.port_start == 0 and self.port_end == PORT_MAX

    def contains(self, other: "TrafficSelector") -> bool:
        """Every packet that `other` matches, this one matches."""
        return self.intersect(other) == other

    def intersect(self, other: "TrafficSelector") -> "TrafficSelector | None":
        """The selector of what both match, or None when there is nothing."""
        if self.version != other.version:
            return None
        start = _highest(self.start, other.start)
        end = _lowest(self.end, other.end)
        if int(start) > int(end):
            return None
        if self.protocol == other.protocol or other.protocol == ANY_PROTOCOL:
            protocol = self.protocol
        elif self.protocol == ANY_PROTOCOL:
            protocol = other.protocol
        else:
            return None
        if self.is_opaque or other.is_opaque:
            wide = other if self.is_opaque else self
            if not (wide.is_opaque or wide.any_port):
                return None
            return TrafficSelector(start, end, protocol, PORT_MAX, 0)
        port_start = max(self.port_start, other.port_start)
        port_end = min(self.port_end, other.port_end)
        if port_start > port_end:
            return None
        return TrafficSelector(start, end, protocol, port_start, port_end)

    def networks(self) -> tuple[IpNetwork, ...]:
        """The prefixes that make up the address range, in order."""
        if isinstance(self.start, IPv4Address) and isinstance(self.end, IPv4Address):
            return tuple(summarize_address_range(self.start, self.end))
        assert isinstance(self.start, IPv6Address) and isinstance(self.end, IPv6Address)
        return tuple(summarize_address_range(self.start, self.end))

    def _where(self) -> str:
        """`10.1.0.0/16` where the range is one prefix, else both ends."""
        first = int(self.start)
        count = int(self.end) - first + 1
        if count & (count - 1) or first & (count - 1):
            return f"{self.start}-{self.end}"
        return f"{self.start}/{self.start.max_prefixlen - count.bit_length() + 1}"

    def __str__(self) -> str:
        where = self._where()
        if self.protocol == ANY_PROTOCOL and self.any_port:
            return where
        what = _PROTOCOL_WORDS.get(self.protocol, str(self.protocol))
        if self.is_opaque:
            what += "/opaque"
        elif not self.any_port:
            what += f"/{self.port_start}"
            if self.port_end != self.port_start:
                what += f"-{self.port_end}"
        return f"{where}[{what}]"


Selectors = tuple[TrafficSelector, ...]
"""What one side of an SA covers: the union of its selectors."""


def intersect_all(ours: Iterable[TrafficSelector], theirs: Iterable[TrafficSelector]) -> Selectors:
    """Pairwise intersections in `theirs`' order, without those that another one contains."""
    ours = tuple(ours)
    found: list[TrafficSelector] = []
    for their in theirs:
        for our in ours:
            both = our.intersect(their)
            if both is None or any(seen.contains(both) for seen in found):
                continue
            found = [seen for seen in found if not both.contains(seen)]
            found.append(both)
    return tuple(found)


def covers(wide: Iterable[TrafficSelector], narrow: Iterable[TrafficSelector]) -> bool:
    """Each selector of `narrow` lies within one of `wide`."""
    wide = tuple(wide)
    return all(any(w.contains(n) for w in wide) for n in narrow)


def selectors_text(selectors: Iterable[TrafficSelector]) -> str:
    """Selectors as users read them, separated by commas."""
    return ", ".join(str(s) for s in selectors)


def _highest(a: IpAddress, b: IpAddress) -> IpAddress:
    return a if int(a) >= int(b) else b


def _lowest(a: IpAddress, b: IpAddress) -> IpAddress:
    return a if int(a) <= int(b) else b
