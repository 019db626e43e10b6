"""One-to-one mapping of inside networks (1:1 NAT): how the peer sees what is on our side."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from isthmus.values.address import IpAddress
from isthmus.values.selector import IpNetwork, Selectors, TrafficSelector


@dataclass(frozen=True, slots=True)
class NetworkMap:
    """A network of ours and how the peer sees it; both have the same prefix length."""

    real: IpNetwork
    mapped: IpNetwork

    def __str__(self) -> str:
        return f"{self.real} as {self.mapped}"

    def outward(self, address: IpAddress) -> IpAddress | None:
        """How the peer sees an address of this network; None: it is not in it."""
        if address.version != self.real.version or address not in self.real:
            return None
        host = int(address) - int(self.real.network_address)
        return self.mapped[host]


def seen(selectors: Selectors, maps: Iterable[NetworkMap]) -> Selectors:
    """Selectors of our side as the peer sees them; what no mapped network holds stays."""
    maps = tuple(maps)
    return tuple(_seen(selector, maps) for selector in selectors) if maps else selectors


def _seen(selector: TrafficSelector, maps: tuple[NetworkMap, ...]) -> TrafficSelector:
    for each in maps:
        start, end = each.outward(selector.start), each.outward(selector.end)
        if start is not None and end is not None:
            return replace(selector, start=start, end=end)
    return selector
