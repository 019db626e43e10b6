"""Addresses that peers lend this machine (Mode Config), and where they go.

Each is put on the interface that its tunnel's packets go through: there it goes away with the
interface when the daemon stops, and the next start takes away what kill -9 left, as with all that
stands on our interfaces. Routes to what the tunnel protects prefer it as their source, so that
this machine itself can use the tunnel; it is the one source that its SAs carry.
"""

import asyncio
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from msgspec.structs import replace

from isthmus.backends.wishes import NetworkWish
from isthmus.daemon.network_plan import interface_of
from isthmus.policy.assigned import as_local
from isthmus.policy.connection import Configuration, Connection, Mode


class Assigned:
    """Which tunnel has which address now."""

    def __init__(self) -> None:
        self.addresses: dict[str, IPv4Address] = {}
        """By tunnel."""
        self.changed = asyncio.Event()
        """Set when the network has to follow."""

    def wish(self, tunnel: str, address: IPv4Address, up: bool) -> None:
        """A tunnel has one address at most: another one takes its place."""
        now = self.addresses.get(tunnel)
        if up and now != address:
            self.addresses[tunnel] = address
            self.changed.set()
        elif not up and now == address:
            del self.addresses[tunnel]
            self.changed.set()


def with_addresses(
    wish: NetworkWish, configuration: Configuration, addresses: Mapping[str, IPv4Address]
) -> NetworkWish:
    """The network of a configuration with the addresses that its tunnels have."""
    on_interface: dict[str, tuple[str, ...]] = {}
    sources: dict[tuple[str, str], str] = {}
    for connection in configuration.connections:
        address = addresses.get(connection.name)
        if address is not None:
            name, host = interface_of(connection), f"{address}/32"
            on_interface[name] = (*on_interface.get(name, ()), host)
            for destination in _destinations(connection, wish, address):
                sources.setdefault((name, destination), host)
    if not on_interface:
        return wish
    interfaces = (
        replace(one, addresses=_distinct(one.addresses, on_interface.get(one.name, ())))
        for one in wish.interfaces
    )
    routes = (
        replace(route, source_within=(source,))
        if (source := sources.get((route.interface or "", route.destination))) is not None
        else route
        for route in wish.routes
    )
    return replace(wish, interfaces=tuple(interfaces), routes=tuple(routes))


def _destinations(connection: Connection, wish: NetworkWish, address: IPv4Address) -> Iterator[str]:
    """Where routes lead that are this tunnel's alone."""
    if connection.mode is Mode.ROUTE:
        name = interface_of(connection)
        yield from (
            route.destination
            for route in wish.routes
            if route.interface == name and not route.others and ":" not in route.destination
        )
        return
    for rule in connection.rules:
        if as_local(rule, address) is not None:
            for selector in rule.remote:
                yield from (str(n) for n in selector.networks() if n.version == address.version)


def _distinct(*several: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for one in several for text in one))
