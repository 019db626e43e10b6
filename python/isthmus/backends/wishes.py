"""The desired state of the machine's network, as values: what `network.py` brings about."""

import msgspec

TABLE = 4500
"""Routing table of policy-based tunnels."""
MAIN_TABLE = 254
WISHES_MAX = 32_768
"""Interfaces, routes or rules in one desired state."""


class InterfaceWish(msgspec.Struct, frozen=True):
    """A persistent TUN device that is up. `addresses` have a prefix length.

    `follows_carrier`: routes over it do not count while it has no carrier.
    """

    name: str
    mtu: int
    addresses: tuple[str, ...] = ()
    follows_carrier: bool = False


class RouteWish(msgspec.Struct, frozen=True):
    """A route; without an interface it answers "unreachable".

    `others`: further interfaces that share the traffic with the first one (ECMP).
    `source_within`: prefer a source address of this machine that lies in one of these networks.
    """

    destination: str
    table: int
    metric: int
    interface: str | None = None
    source_within: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class RuleWish(msgspec.Struct, frozen=True, kw_only=True):
    """A routing rule. `action` is "lookup" (with `table`), "goto" (with `target`), "nop" or
    "blackhole"; `mark` 0 matches every packet.

    `longer_than`: a lookup whose answer has no longer prefix than this does not count.
    `needs_address_within`: leave the rule out unless this machine has an address in one of them.
    """

    priority: int
    version: int
    action: str = "lookup"
    table: int = 0
    target: int = 0
    mark: int = 0
    source: str | None = None
    destination: str | None = None
    input_interface: str | None = None
    protocol: int = 0
    source_ports: tuple[int, int] | None = None
    """First and last; None: any."""
    destination_ports: tuple[int, int] | None = None
    needs_address_within: tuple[str, ...] = ()
    longer_than: int | None = None


class NetworkWish(msgspec.Struct, frozen=True):
    """The whole desired state."""

    interfaces: tuple[InterfaceWish, ...] = ()
    routes: tuple[RouteWish, ...] = ()
    rules: tuple[RuleWish, ...] = ()
    stays_closed: bool = False
    """When nobody is left to carry packets, what the rules catch stays unreachable."""


def closed(wish: NetworkWish) -> NetworkWish:
    """What of it stays when nobody carries packets: all that is caught finds "unreachable" behind
    the routes that go, and what a bypass lets out goes on."""
    names = {interface.name for interface in wish.interfaces}
    return NetworkWish(
        routes=tuple(route for route in wish.routes if route.interface is None),
        rules=tuple(rule for rule in wish.rules if rule.input_interface not in names),
        stays_closed=True,
    )
