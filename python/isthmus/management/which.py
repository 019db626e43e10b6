"""Which rule a packet takes, and why the others do not (`isthmus which`).

A pure function of the configuration. The most specific rule wins: fewest remote addresses, then
fewest local ones, then the one that names a protocol, then the fewest ports, then file order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from isthmus.ike.core.views import TunnelView
from isthmus.management.api import ErrorReply, Kind, OtherRule, Which, WhichReply
from isthmus.policy.connection import ChildPolicy, Configuration, Connection, Mode
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
    fitting: list[tuple[Width, Connection, ChildPolicy]] = []
    others: list[OtherRule] = []
    for order, (connection, rule) in enumerate(_rules(configuration)):
        why_not = _why_not(connection, rule, packet)
        if why_not:
            others.append(OtherRule(tunnel=connection.name, rule=rule.name, why_not=why_not))
        else:
            fitting.append(((*_key(connection, rule, packet), order), connection, rule))
    if not fitting:
        return WhichReply(
            id=id,
            packet=str(packet),
            verdict="none",
            why="No rule matches: the packet is left to the routing table, outside any tunnel.",
            others=tuple(others),
        )
    fitting.sort(key=lambda found: found[0])
    _, connection, rule = fitting[0]
    others[:0] = (
        OtherRule(
            tunnel=c.name,
            rule=r.name,
            why_not=f"it matches, but {connection.name}/{rule.name} is more specific"
            if key[:-1] != fitting[0][0][:-1]
            else f"it matches as well, but {connection.name}/{rule.name} stands before it",
        )
        for key, c, r in fitting[1:]
    )
    states = {(view.name, r.name): str(r.state) for view in views for r in view.rules}
    return WhichReply(
        id=id,
        packet=str(packet),
        verdict="rule",
        why=_why(connection, rule, packet),
        tunnel=connection.name,
        rule=rule.name,
        state=states.get((connection.name, rule.name), ""),
        others=tuple(others),
    )


def _rules(configuration: Configuration) -> Iterable[tuple[Connection, ChildPolicy]]:
    return ((c, rule) for c in configuration.connections for rule in c.rules)


def _reach(connection: Connection, rule: ChildPolicy) -> Selectors:
    """What a rule takes: in route mode, what is routed to the tunnel's interface."""
    if connection.mode is not Mode.ROUTE or connection.interface is None:
        return rule.remote
    inside = (str(ip_network(address, strict=False)) for address in connection.interface.addresses)
    return tuple(
        TrafficSelector.of_network(network)
        for network in (*(route.network for route in connection.interface.routes), *inside)
    )


def _why_not(connection: Connection, rule: ChildPolicy, packet: Packet) -> str:
    """Empty when the packet matches."""
    reach = _reach(connection, rule)
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


def _why(connection: Connection, rule: ChildPolicy, packet: Packet) -> str:
    local = tuple(s for s in rule.local if _within(s, packet.source))
    remote = tuple(s for s in _reach(connection, rule) if _within(s, packet.destination))
    how = "routed to it by" if connection.mode is Mode.ROUTE else "in"
    return (
        f"{packet.source} is in {selectors_text(local)}, and {packet.destination} is {how} "
        f"{selectors_text(remote)}."
    )


def _key(connection: Connection, rule: ChildPolicy, packet: Packet) -> Width:
    """The least wins. In route mode the route decides, whatever the rule's own networks are."""
    reach = _reach(connection, rule)
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
