"""From a configuration to the interfaces, routes and rules that lead its traffic to the plane.

Policy mode: one TUN device for all rules, a routing table of our own, and rules that send exactly
the traffic of a rule's networks there. Behind each route stands an "unreachable" one, so that
nothing leaves in clear when the device is gone. What the plane sends on itself bears `MARK` and
jumps over all of this.

Route mode: a device of its own for each tunnel, routes in the main table. A route counts only while
its device has carrier; behind each stands an "unreachable" one too. Tunnels with the same route and
metric share it (ECMP). Groups add their routes to each of their tunnels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from isthmus.backends.wishes import (
    MAIN_TABLE,
    TABLE,
    InterfaceWish,
    NetworkWish,
    RouteWish,
    RuleWish,
)
from isthmus.crypto.suite import block_size, icv_size, iv_size
from isthmus.daemon.gathering import gathered
from isthmus.daemon.plain_plan import clear_rules, discard_rules
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    Group,
    Mode,
    Prefer,
)
from isthmus.values.proposal import Proposal, Suite
from isthmus.values.registry.ikev2 import Encr, Integ, TransformType
from isthmus.values.selector import IpNetwork, Selectors

MARK = 0x4953_5448
"""SO_MARK of everything that the plane sends outside: our rules let it pass."""
POLICY_INTERFACE = "isthmus0"
SKIP_PRIORITY, KEEP_PRIORITY, MATCH_PRIORITY, GUARD_PRIORITY, LAND_PRIORITY = range(4500, 4505)
"""Marked packets jump; local networks stay local; interesting traffic goes to the plane; clear
text that should have come through a tunnel is dropped; here jumps land."""
ROUTE_METRIC = 100
FALLBACK_METRIC = 4_000_000
MAIN_FALLBACK_METRIC = 0xFF00_0000
"""Routing daemons read the highest octet as a distance: 255 never wins over what they learn."""
ORDER_STEP = 10
"""Between the metrics of a group's tunnels, the first of which is preferred."""

OUTER_MTU = 1500
INNER_MTU_DEFAULT = 1400
INNER_MTU_MIN = 1280
"""IPv6 needs 1280 (RFC 8200 §5)."""
UDP_OCTETS, ESP_OCTETS, TRAILER_OCTETS = 8, 8, 2
IP_OCTETS = {4: 20, 6: 40}


@dataclass(frozen=True, slots=True)
class AttachedInterface:
    """A device as the plane must know it. `bypass_mark` 0: what matches no rule is dropped."""

    name: str
    mtu: int
    bypass_mark: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of the kernel, and which devices the plane then opens."""

    wish: NetworkWish
    interfaces: tuple[AttachedInterface, ...]


def interface_of(connection: Connection) -> str:
    """The name of the device that a tunnel's packets go through."""
    if connection.mode is Mode.ROUTE:
        return connection.interface.name if connection.interface else connection.name
    return POLICY_INTERFACE


def plan(configuration: Configuration) -> Plan:
    """The whole plan; the same configuration always gives the same one."""
    policy_mode = [c for c in configuration.connections if c.mode is Mode.POLICY]
    route_mode = [c for c in configuration.connections if c.mode is Mode.ROUTE]
    interfaces: list[InterfaceWish] = []
    routes: list[RouteWish] = []
    rules: list[RuleWish] = []
    attached: list[AttachedInterface] = []
    if policy_mode:
        mtu = min(_inner_mtu(c) for c in policy_mode)
        interfaces.append(InterfaceWish(POLICY_INTERFACE, mtu))
        attached.append(AttachedInterface(POLICY_INTERFACE, mtu, MARK))
        for connection in policy_mode:
            for rule in connection.rules:
                routes += _policy_routes(rule)
                rules += _policy_rules(rule)
                rules += clear_rules(configuration.plain, rule, KEEP_PRIORITY)
    rules += discard_rules(configuration.plain, GUARD_PRIORITY)
    for connection in route_mode:
        name = interface_of(connection)
        mtu = _inner_mtu(connection)
        addresses = connection.interface.addresses if connection.interface else ()
        interfaces.append(InterfaceWish(name, mtu, addresses, follows_carrier=True))
        attached.append(AttachedInterface(name, mtu, 0))
    for place in _places(configuration, route_mode):
        routes.append(place.route)
        rules += place.rules
    routes += _unreachable(configuration, routes)
    wish = NetworkWish(
        tuple(interfaces),
        tuple(_shared(dict.fromkeys(routes))),
        tuple(gathered(dict.fromkeys((*_jumps(rules), *rules)), routes, POLICY_INTERFACE)),
        configuration.fail_closed,
    )
    return Plan(wish, tuple(attached))


def _policy_routes(rule: ChildPolicy) -> Iterator[RouteWish]:
    local = _texts(rule.local)
    for remote in _networks(rule.remote):
        inside = tuple(t for t in local if ip_network(t).version == remote.version)
        yield RouteWish(str(remote), TABLE, ROUTE_METRIC, POLICY_INTERFACE, inside)
        yield RouteWish(str(remote), TABLE, FALLBACK_METRIC)


def _policy_rules(rule: ChildPolicy) -> Iterator[RuleWish]:
    for remote in _networks(rule.remote):
        locals_ = [n for n in _networks(rule.local) if n.version == remote.version]
        for local in locals_:
            if _contains(remote, local):
                yield RuleWish(
                    priority=KEEP_PRIORITY,
                    version=local.version,
                    table=MAIN_TABLE,
                    destination=str(local),
                )
            yield RuleWish(
                priority=MATCH_PRIORITY,
                version=remote.version,
                table=TABLE,
                source=str(local),
                destination=str(remote),
            )
            if _is_whole(rule):
                yield from _guard(local, remote)
        if locals_ and remote.prefixlen:
            # Packets of this machine that have no source address yet take one of the route.
            yield RuleWish(
                priority=MATCH_PRIORITY,
                version=remote.version,
                table=TABLE,
                destination=str(remote),
                input_interface="lo",
                needs_address_within=tuple(str(n) for n in locals_),
            )


def _guard(local: IpNetwork, remote: IpNetwork) -> Iterator[RuleWish]:
    """Forwarded clear text from the far network, past the tunnel, is dropped (RFC 4301 §5.2)."""
    yield RuleWish(
        priority=KEEP_PRIORITY,
        version=local.version,
        table=MAIN_TABLE,
        source=str(remote),
        destination=str(local),
        input_interface=POLICY_INTERFACE,
    )
    yield RuleWish(
        priority=GUARD_PRIORITY,
        version=local.version,
        action="blackhole",
        source=str(remote),
        destination=str(local),
    )


def _is_whole(rule: ChildPolicy) -> bool:
    """The rule protects all traffic between its networks, not only some protocol or port."""
    return all(s.protocol == 0 and s.any_port for s in (*rule.local, *rule.remote))


@dataclass(frozen=True, slots=True)
class _Place:
    """A route of a route-based tunnel, and the rules that lead to it."""

    route: RouteWish
    rules: tuple[RuleWish, ...] = ()


def _places(configuration: Configuration, connections: Iterable[Connection]) -> Iterator[_Place]:
    for connection in connections:
        group, position = _membership(configuration, connection.name)
        step = ORDER_STEP * position if group and group.prefer is Prefer.ORDER else 0
        own = connection.interface.routes if connection.interface else ()
        for route in (*own, *(group.routes if group else ())):
            yield _place(connection, ip_network(route.network), route.metric + step)


def _membership(configuration: Configuration, tunnel: str) -> tuple[Group | None, int]:
    """The group of a tunnel and its position there."""
    for group in configuration.groups:
        if tunnel in group.tunnels:
            return group, group.tunnels.index(tunnel)
    return None, 0


def _place(connection: Connection, network: IpNetwork, metric: int) -> _Place:
    """One that holds the peer itself must not catch the tunnel's own packets, so it goes into our
    table, which marked packets do not see; networks with routes of their own stay out of it."""
    interface = interface_of(connection)
    if not _holds_peer(connection, network):
        return _Place(RouteWish(str(network), MAIN_TABLE, metric, interface))
    version = network.version
    keep = RuleWish(
        priority=KEEP_PRIORITY,
        version=version,
        table=MAIN_TABLE,
        destination=str(network),
        longer_than=network.prefixlen,
    )
    match = RuleWish(
        priority=MATCH_PRIORITY, version=version, table=TABLE, destination=str(network)
    )
    return _Place(RouteWish(str(network), TABLE, metric, interface), (keep, match))


def _unreachable(configuration: Configuration, routes: Iterable[RouteWish]) -> Iterator[RouteWish]:
    """What stands behind the routes of route mode, so that nothing goes out in clear when they do
    not count, and behind those that only a routing daemon knows."""
    for route in routes:
        if route.interface is not None:
            yield _behind(route.destination, route.table)
    protected = [
        network
        for connection in configuration.connections
        for network in (connection.interface.protect if connection.interface else ())
    ]
    protected += [network for group in configuration.groups for network in group.protect]
    for network in protected:
        yield _behind(network, MAIN_TABLE)


def _behind(network: str, table: int) -> RouteWish:
    return RouteWish(
        network, table, MAIN_FALLBACK_METRIC if table == MAIN_TABLE else FALLBACK_METRIC
    )


def _shared(routes: Iterable[RouteWish]) -> Iterator[RouteWish]:
    """Routes of one destination and metric become one over several interfaces."""
    found: dict[tuple[str, int, int], RouteWish] = {}
    for route in routes:
        key = (route.destination, route.table, route.metric)
        known = found.setdefault(key, route)
        if known is not route and known.interface is not None and route.interface is not None:
            found[key] = msgspec.structs.replace(known, others=(*known.others, route.interface))
    yield from found.values()


def _holds_peer(connection: Connection, network: IpNetwork) -> bool:
    try:
        return connection.peer is None or ip_address(connection.peer) in network
    except ValueError:
        # A host name: only a default route surely holds whatever it stands for.
        return network.prefixlen == 0


def _jumps(rules: Iterable[RuleWish]) -> Iterator[RuleWish]:
    for version in sorted({rule.version for rule in rules}):
        yield RuleWish(
            priority=SKIP_PRIORITY,
            version=version,
            action="goto",
            target=LAND_PRIORITY,
            mark=MARK,
        )
        yield RuleWish(priority=LAND_PRIORITY, version=version, action="nop")


def _networks(selectors: Selectors) -> Iterator[IpNetwork]:
    for selector in selectors:
        yield from selector.networks()


def _texts(selectors: Selectors) -> tuple[str, ...]:
    return tuple(str(network) for network in _networks(selectors))


def _contains(wide: IpNetwork, narrow: IpNetwork) -> bool:
    if isinstance(wide, IPv4Network) and isinstance(narrow, IPv4Network):
        return narrow.subnet_of(wide)
    if isinstance(wide, IPv6Network) and isinstance(narrow, IPv6Network):
        return narrow.subnet_of(wide)
    return False


def _inner_mtu(connection: Connection) -> int:
    """The largest inner packet that surely fits, whichever proposal is agreed on."""
    if connection.interface is not None and connection.interface.mtu is not None:
        return connection.interface.mtu
    try:
        version = ip_address(connection.peer or "").version
    except ValueError:
        version = 6  # unknown: the larger header
    sizes = [
        _inner_octets(suite, version)
        for rule in connection.rules
        for proposal in rule.proposals
        for suite in _suites(proposal)
    ]
    return max(INNER_MTU_MIN, min(sizes, default=INNER_MTU_DEFAULT))


def _inner_octets(suite: Suite, outer_version: int) -> int:
    """Outer MTU less IP, UDP, ESP, IV and ICV, cut to whole blocks, less the ESP trailer."""
    room = (
        OUTER_MTU
        - IP_OCTETS[outer_version]
        - UDP_OCTETS
        - ESP_OCTETS
        - iv_size(suite.encr)
        - icv_size(suite)
    )
    align = max(4, block_size(suite.encr))
    return room // align * align - TRAILER_OCTETS


def _suites(proposal: Proposal) -> Iterator[Suite]:
    integrity = [Integ(t.number) for t in proposal.of_kind(TransformType.INTEG)]
    for transform in proposal.of_kind(TransformType.ENCR):
        for integ in integrity or [Integ.NONE]:
            yield Suite(Encr(transform.number), transform.key_bits or 0, integ)
