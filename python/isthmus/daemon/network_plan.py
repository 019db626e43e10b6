"""From a configuration to the interfaces, routes and rules that lead its traffic to the plane.

Policy mode: one TUN device for all rules, a routing table of our own, and rules that send exactly
the traffic of a rule's networks there. Behind each route stands an "unreachable" one, so that
nothing leaves in clear when the device is gone. What the plane sends on itself bears `MARK` and
jumps over all of this. Route mode: a device of its own for each tunnel, routes in the main table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from isthmus.backends.wishes import (
    MAIN_TABLE,
    TABLE,
    InterfaceWish,
    NetworkWish,
    RouteWish,
    RuleWish,
)
from isthmus.crypto.suite import block_size, icv_size, iv_size
from isthmus.policy.connection import ChildPolicy, Configuration, Connection, Mode
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
    for connection in route_mode:
        name = interface_of(connection)
        mtu = _inner_mtu(connection)
        addresses = connection.interface.addresses if connection.interface else ()
        interfaces.append(InterfaceWish(name, mtu, addresses))
        attached.append(AttachedInterface(name, mtu, 0))
        for text in connection.interface.routes if connection.interface else ():
            route, catching = _tunnel_route(connection, name, ip_network(text))
            routes.append(route)
            rules += catching
    wish = NetworkWish(
        tuple(interfaces),
        tuple(dict.fromkeys(routes)),
        tuple(dict.fromkeys((*_jumps(rules), *rules))),
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


def _tunnel_route(
    connection: Connection, interface: str, network: IpNetwork
) -> tuple[RouteWish, tuple[RuleWish, ...]]:
    """A route of a route-based tunnel.

    One that holds the peer itself must not catch the tunnel's own packets, so it goes into our
    table, which marked packets do not see.
    """
    if not _holds_peer(connection, network):
        return RouteWish(str(network), MAIN_TABLE, ROUTE_METRIC, interface), ()
    rule = RuleWish(
        priority=MATCH_PRIORITY,
        version=network.version,
        table=TABLE,
        destination=str(network),
    )
    return RouteWish(str(network), TABLE, ROUTE_METRIC, interface), (rule,)


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
