"""Which rule a packet takes, and why the others do not (`isthmus which`).

A pure function of the configuration. The most specific rule wins: fewest remote addresses, then
fewest local ones, then the one that names a protocol, then the fewest ports, then file order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from isthmus.ike.core.views import TunnelView
from isthmus.management.api import ErrorReply, Kind, OtherRule, Which, WhichReply
from isthmus.policy.connection import ChildPolicy, Configuration, Connection, Mode, PlainRule
from isthmus.policy.specificity import Width, width
from isthmus.values.address import IpAddress
from isthmus.values.selector import (
    ANY_PROTOCOL,
    PROTOCOL_NAMES,
    Selectors,
    TrafficSelector,
    selectors_text,
)


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as far as rules look at it. `protocol` 0: not said; `port` is the destination's."""

    source: IpAddress
    destination: IpAddress
    protocol: int = ANY_PROTOCOL
    port: int = 0

    @classmethod
    def parse(cls, source: str, destination: str, protocol: int, port: int) -> "Packet":
        """Raises ValueError with a sentence for the user."""
        ends: list[IpAddress] = []
        for text in (source, destination):
            try:
                ends.append(ip_address(text))
            except ValueError:
                raise ValueError(f"{text} is not an IP address") from None
        if ends[0].version != ends[1].version:
            raise ValueError(f"{source} and {destination} are of different address families")
        return cls(ends[0], ends[1], protocol, port)

    def __str__(self) -> str:
        text = f"{self.source} > {self.destination}"
        if self.protocol == ANY_PROTOCOL:
            return text
        text += f" {_protocol_name(self.protocol)}"
        return f"{text}/{self.port}" if self.port else text


def answer(
    request: Which, configuration: Configuration, views: Iterable[TunnelView] = ()
) -> WhichReply | ErrorReply:
    """The reply to a request. `views` lends the state of the rule, when a daemon runs."""
    try:
        packet = Packet.parse(request.source, request.destination, request.protocol, request.port)
    except ValueError as error:
        return ErrorReply(
            id=request.id,
            kind=Kind.MALFORMED,
            what="This is no packet.",
            why=f"{error}.",
            fix="Name two addresses of one family: isthmus which 10.1.0.9 10.2.0.7 tcp/443",
        )
    return which(configuration, packet, request.id, views)


def which(
    configuration: Configuration, packet: Packet, id: int = 0, views: Iterable[TunnelView] = ()
) -> WhichReply:
    """The rule that takes the packet, and a reason for each one that does not."""
    fitting: list[tuple[Width, Taker]] = []
    others: list[OtherRule] = []
    for order, taker in enumerate(_takers(configuration)):
        why_not = _why_not(taker, packet)
        if why_not:
            others.append(OtherRule(tunnel=taker.tunnel, rule=taker.rule.name, why_not=why_not))
        else:
            fitting.append(((*_key(taker, packet), order), taker))
    if not fitting:
        return WhichReply(
            id=id,
            packet=str(packet),
            verdict="none",
            why="No rule matches: the packet is left to the routing table, outside any tunnel.",
            others=tuple(others),
        )
    fitting.sort(key=lambda found: found[0])
    first, winner = fitting[0]
    others[:0] = (
        OtherRule(
            tunnel=taker.tunnel,
            rule=taker.rule.name,
            why_not=f"it matches, but {winner} is more specific"
            if key[:-1] != first[:-1]
            else f"it matches as well, but {winner} stands before it",
        )
        for key, taker in fitting[1:]
    )
    views = tuple(views)
    versions = {view.name: view.version for view in views}
    states = {(view.name, r.name): str(r.state) for view in views for r in view.rules}
    return WhichReply(
        id=id,
        packet=str(packet),
        verdict=winner.verdict,
        why=_why(winner, packet),
        tunnel=winner.tunnel,
        rule=winner.rule.name,
        state=states.get((winner.tunnel, winner.rule.name), ""),
        others=tuple(others),
        version=versions.get(winner.tunnel, winner.version),
    )


@dataclass(frozen=True, slots=True)
class Taker:
    """What may take a packet: a tunnel's rule, or one that says that no tunnel takes it."""

    connection: Connection | None
    rule: ChildPolicy | PlainRule

    @property
    def tunnel(self) -> str:
        """Empty for what belongs to none."""
        return self.connection.name if self.connection else ""

    @property
    def verdict(self) -> str:
        """`rule`, `bypass` or `discard`."""
        return self.rule.processing.value if isinstance(self.rule, PlainRule) else "rule"

    @property
    def version(self) -> str:
        """Of IKE, as its tunnel starts it; empty for what belongs to none."""
        return self.connection.started_as if self.connection else ""

    @property
    def is_routed(self) -> bool:
        """The routing table decides what it takes."""
        return self.connection is not None and self.connection.mode is Mode.ROUTE

    def __str__(self) -> str:
        return f"{self.tunnel}/{self.rule.name}" if self.tunnel else self.rule.name


def _takers(configuration: Configuration) -> Iterable[Taker]:
    for connection in configuration.connections:
        for rule in connection.rules:
            yield Taker(connection, rule)
    for plain in configuration.plain:
        yield Taker(None, plain)


def _reach(taker: Taker) -> Selectors:
    """What a rule takes: in route mode, what is routed to the tunnel's interface."""
    connection = taker.connection
    if connection is None or not taker.is_routed or connection.interface is None:
        return taker.rule.remote
    inside = (str(ip_network(address, strict=False)) for address in connection.interface.addresses)
    return tuple(
        TrafficSelector.of_network(network)
        for network in (*(route.network for route in connection.interface.routes), *inside)
    )


def _why_not(taker: Taker, packet: Packet) -> str:
    """Empty when the packet matches."""
    rule, reach = taker.rule, _reach(taker)
    if reach is not rule.remote and not _holds(reach, packet.destination):
        return f"{packet.destination} is not routed to it (routes: {selectors_text(reach)})"
    if not _holds(rule.local, packet.source):
        return f"source {packet.source} is not in {selectors_text(rule.local)}"
    if not _holds(rule.remote, packet.destination):
        return f"destination {packet.destination} is not in {selectors_text(rule.remote)}"
    local = [s for s in rule.local if _within(s, packet.source)]
    remote = [s for s in rule.remote if _within(s, packet.destination)]
    if not any(
        _takes_protocol(a, packet) and _takes_protocol(b, packet) for a in local for b in remote
    ):
        wanted = sorted({_protocol_name(s.protocol) for s in (*local, *remote) if s.protocol})
        if packet.protocol == ANY_PROTOCOL:
            return f"it takes {' or '.join(wanted)} only; name the protocol, such as tcp/443"
        return f"it takes {' or '.join(wanted)}, not {_protocol_name(packet.protocol)}"
    if not any(_takes_protocol(s, packet) and _takes_port(s, packet) for s in remote):
        ranges = ", ".join(_ports(s) for s in remote if not s.any_port)
        if not packet.port:
            return f"it takes destination port {ranges} only; name the port, such as tcp/443"
        return f"destination port {packet.port} is not {ranges}"
    return ""


_ENDS = {"rule": "", "bypass": " It leaves in clear.", "discard": " It is dropped."}


def _why(taker: Taker, packet: Packet) -> str:
    local = tuple(s for s in taker.rule.local if _within(s, packet.source))
    remote = tuple(s for s in _reach(taker) if _within(s, packet.destination))
    how = "routed to it by" if taker.is_routed else "in"
    return (
        f"{packet.source} is in {selectors_text(local)}, and {packet.destination} is {how} "
        f"{selectors_text(remote)}.{_ENDS[taker.verdict]}{_mapped(taker.rule, packet)}"
        f"{_paired(taker)}"
    )


def _paired(taker: Taker) -> str:
    """Where IKEv1 may be spoken each pair of networks has a phase 2 of its own."""
    connection = taker.connection
    if connection is None or taker.is_routed or not connection.speaks_v1:
        return ""
    pair = f"{selectors_text(taker.rule.local)} and {selectors_text(taker.rule.remote)}"
    return f" The pair of {pair} has a phase 2 of its own, as IKEv1 wants it."


def _mapped(rule: ChildPolicy | PlainRule, packet: Packet) -> str:
    """What the peer sees instead of the source, if that is another address."""
    maps = () if isinstance(rule, PlainRule) else rule.map_local
    seen = next((s for m in maps if (s := m.outward(packet.source)) is not None), None)
    return "" if seen is None else f" The peer sees it come from {seen} (map_local)."


def _key(taker: Taker, packet: Packet) -> Width:
    """The least wins. In route mode the route decides, whatever the rule's own networks are."""
    rule, reach = taker.rule, _reach(taker)
    if reach is rule.remote:
        return width(rule.local, rule.remote)
    routed = min(_size(s) for s in reach if _within(s, packet.destination))
    return (routed, *width(rule.local, rule.remote)[1:])


def _size(selector: TrafficSelector) -> int:
    return int(selector.end) - int(selector.start) + 1


def _holds(selectors: Selectors, address: IpAddress) -> bool:
    return any(_within(selector, address) for selector in selectors)


def _within(selector: TrafficSelector, address: IpAddress) -> bool:
    if selector.version != address.version:
        return False
    return int(selector.start) <= int(address) <= int(selector.end)


def _takes_protocol(selector: TrafficSelector, packet: Packet) -> bool:
    return selector.protocol in (ANY_PROTOCOL, packet.protocol)


def _takes_port(selector: TrafficSelector, packet: Packet) -> bool:
    return selector.any_port or selector.port_start <= packet.port <= selector.port_end


def _ports(selector: TrafficSelector) -> str:
    if selector.port_start == selector.port_end:
        return str(selector.port_start)
    return f"{selector.port_start}-{selector.port_end}"


def _protocol_name(number: int) -> str:
    names = {n: name for name, n in PROTOCOL_NAMES.items()}
    return names.get(number, f"protocol {number}")
