"""Interfaces, routes and rules of this machine, brought to a desired state.

Everything made here bears a mark (the routing protocol number `PROTOCOL`, the interface alias
`ALIAS`), so that a later run finds what an earlier one left behind, even after kill -9. Nothing
without the mark is ever changed or removed. Only this module and `rtnetlink.py` talk netlink.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import msgspec
from pyroute2 import IPRoute, NetlinkError  # type: ignore[import-untyped]  # it has no stubs

from isthmus.backends import rtnetlink, tun
from isthmus.backends.rtnetlink import FAMILY, KernelRefused, RouteBody, RouteId, RoutingSocket
from isthmus.backends.wishes import (
    MAIN_TABLE,
    TABLE,
    WISHES_MAX,
    InterfaceWish,
    NetworkWish,
    RouteWish,
    RuleWish,
)
from isthmus.values.errors import LocalFault

PROTOCOL = 145
"""Routing protocol number (RTPROT, FRA_PROTOCOL) of our routes and rules."""
ALIAS = "isthmus"
"""Interface alias of our devices."""


class Network:
    """Netlink sockets and the marks. Not safe for use by several threads."""

    def __init__(self) -> None:
        self._netlink = IPRoute(strict_check=True)
        self._routing = RoutingSocket()

    def close(self) -> None:
        """Let go of the sockets; what was set up stays."""
        self._netlink.close()
        self._routing.close()

    def apply(self, wish: NetworkWish) -> tuple[str, ...]:
        """Make the machine so, and remove what we made before and is no longer wished.

        Returns sentences about what could not be done and can be lived without. Raises LocalFault
        when the wish itself cannot be met.
        """
        _check(wish)
        warnings: list[str] = []
        try:
            for interface in wish.interfaces:
                warnings += self._interface(interface)
            own = self._own_interfaces()
            addresses = (
                *self._addresses_except(frozenset(own.values())),
                *(str(ip_interface(a).ip) for one in wish.interfaces for a in one.addresses),
            )
            self._routes(wish.routes, own, addresses)
            self._rules(wish.rules, addresses)
            wanted = {interface.name for interface in wish.interfaces}
            for name, index in own.items():
                if name not in wanted:
                    self._netlink.link("del", index=index)
        except (NetlinkError, KernelRefused) as error:
            raise LocalFault(f"the kernel refused the network's set-up: {error}") from error
        return (*warnings, *_forwarding(wish))

    def remove(self) -> None:
        """Remove everything that bears our marks."""
        self.apply(NetworkWish())

    def local_addresses(self) -> tuple[str, ...]:
        """The machine's addresses, without those of our own interfaces."""
        return self._addresses_except(frozenset(self._own_interfaces().values()))

    def _interface(self, wish: InterfaceWish) -> Iterator[str]:
        found = self._link(wish.name)
        if found is not None and found[1] != ALIAS:
            raise LocalFault(
                f"an interface {wish.name} is there already and is not ours; remove it, or give "
                "the tunnel another name"
            )
        if found is None:
            tun.create(wish.name)
            found = self._link(wish.name)
            if found is None:
                raise LocalFault(f"the interface {wish.name} vanished after it was made")
            self._netlink.link("set", index=found[0], ifalias=ALIAS)
        index = found[0]
        yield from _own_sysctls(wish)
        self._netlink.link("set", index=index, mtu=wish.mtu, state="up")
        wanted = {str(ip_interface(a)) for a in wish.addresses}
        present = set(self._addresses_of(index))
        for text in sorted(wanted - present):
            self._address("add", index, text)
        for text in sorted(present - wanted):
            if not ip_interface(text).is_link_local:
                self._address("del", index, text)

    def _address(self, verb: str, index: int, text: str) -> None:
        address = ip_interface(text)
        # No duplicate address detection: nobody else is on a TUN device.
        flags = {"flags": 0x02} if address.version == 6 and verb == "add" else {}
        self._netlink.addr(
            verb,
            index=index,
            family=FAMILY[address.version],
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            **flags,
        )

    def _link(self, name: str) -> tuple[int, str] | None:
        """Index and alias of an interface."""
        for index in self._netlink.link_lookup(ifname=name):
            for link in self._netlink.get_links(index):
                return int(link["index"]), str(link.get("ifalias") or "")
        return None

    def _own_interfaces(self) -> dict[str, int]:
        return {
            str(link.get("ifname")): int(link["index"])
            for link in self._netlink.get_links()
            if link.get("ifalias") == ALIAS
        }

    def _addresses_of(self, index: int) -> Iterator[str]:
        for message in self._netlink.get_addr(index=index):
            yield f"{_address_text(message)}/{message['prefixlen']}"

    def _addresses_except(self, indexes: frozenset[int]) -> tuple[str, ...]:
        return tuple(
            _address_text(message)
            for message in self._netlink.get_addr()
            if message["index"] not in indexes and message["scope"] != 254
        )

    def _routes(
        self, wishes: Iterable[RouteWish], own: Mapping[str, int], addresses: tuple[str, ...]
    ) -> None:
        sources: dict[tuple[str, ...], bytes] = {}
        wanted: dict[RouteId, RouteBody] = {}
        for wish in wishes:
            body = RouteBody()
            if wish.interface is not None:
                if wish.source_within not in sources:
                    source = _within(addresses, wish.source_within)
                    sources[wish.source_within] = ip_address(source).packed if source else b""
                names = (wish.interface, *wish.others)
                indexes = tuple(sorted(own[name] for name in names))
                body = RouteBody(indexes, sources[wish.source_within])
            wanted[rtnetlink.route_id(wish.destination, wish.table, wish.metric)] = body
        present: dict[RouteId, RouteBody] = {}
        for version in FAMILY:
            for table in (TABLE, MAIN_TABLE):
                present |= self._routing.routes(version, table, PROTOCOL)
        self._must(
            rtnetlink.put_route(key, body, PROTOCOL)
            for key, body in wanted.items()
            if present.get(key) != body
        )
        # What is not there any more has gone with its interface in the meantime.
        self._routing.change(
            [
                rtnetlink.drop_route(key, body, PROTOCOL)
                for key, body in present.items()
                if key not in wanted
            ]
        )

    def _rules(self, wishes: Iterable[RuleWish], addresses: tuple[str, ...]) -> None:
        places: dict[tuple[str, ...], bool] = {(): True}
        wanted: set[RuleWish] = set()
        for wish in wishes:
            networks = wish.needs_address_within
            if networks not in places:
                places[networks] = _within(addresses, networks) is not None
            if places[networks]:
                wanted.add(_as_the_kernel_tells(wish))
        present = {rule for version in FAMILY for rule in self._routing.rules(version, PROTOCOL)}
        # From the last to the first: a jump is made after the place where it lands.
        added = sorted(wanted - present, key=lambda rule: rule.priority, reverse=True)
        self._must(rtnetlink.add_rule(rule, PROTOCOL) for rule in added)
        self._must(rtnetlink.drop_rule(rule, PROTOCOL) for rule in present - wanted)

    def _must(self, messages: Iterable[rtnetlink.Message]) -> None:
        """Raises KernelRefused if any request is refused."""
        for code in self._routing.change(list(messages)).values():
            raise KernelRefused(code)


def _as_the_kernel_tells(wish: RuleWish) -> RuleWish:
    """Everywhere is nothing that a rule tells, and when a rule is needed is not either."""
    source = None if wish.source is None or wish.source.endswith("/0") else wish.source
    to = None if wish.destination is None or wish.destination.endswith("/0") else wish.destination
    return msgspec.structs.replace(wish, source=source, destination=to, needs_address_within=())


def _check(wish: NetworkWish) -> None:
    """The wish may come from a less trusted process: only ours, and only so many."""
    if max(len(wish.interfaces), len(wish.routes), len(wish.rules)) > WISHES_MAX:
        raise LocalFault(f"more than {WISHES_MAX} interfaces, routes or rules")
    names = {interface.name for interface in wish.interfaces}
    try:
        for interface in wish.interfaces:
            tun.check_name(interface.name)
            for address in interface.addresses:
                ip_interface(address)
            if not 576 <= interface.mtu <= 65535:
                raise LocalFault(f"{interface.mtu} is no MTU for {interface.name}")
        for route in wish.routes:
            ip_network(route.destination)
            if route.table not in (TABLE, MAIN_TABLE):
                raise LocalFault(f"table {route.table} is not ours")
            for name in (route.interface, *route.others):
                if name is not None and name not in names:
                    raise LocalFault(f"a route points to {name}, which is not ours")
        for rule in wish.rules:
            if rule.action not in rtnetlink.ACTIONS or rule.version not in FAMILY:
                raise LocalFault(f"{rule.action!r} is no action of a rule")
            for network in (rule.source, rule.destination):
                if network is not None:
                    ip_network(network)
            if not 0 <= rule.protocol <= 255:
                raise LocalFault(f"{rule.protocol} is no protocol of a rule")
            for first, last in filter(None, (rule.source_ports, rule.destination_ports)):
                if not 0 <= first <= last <= 65535:
                    raise LocalFault(f"{first} to {last} are no ports of a rule")
    except ValueError as error:
        raise LocalFault(f"the desired network cannot be read: {error}") from None


def _within(addresses: tuple[str, ...], networks: tuple[str, ...]) -> str | None:
    """The first address that lies in one of the networks."""
    ranges = [ip_network(network) for network in networks]
    for address in addresses:
        if any(ip_address(address) in network for network in ranges):
            return address
    return None


def _address_text(message: Any) -> str:
    return str(ip_address(message.get("local") or message.get("address")))


def _forwarding(wish: NetworkWish) -> Iterator[str]:
    """Forwarding is the administrator's to switch on; that it is off explains silent tunnels."""
    networks = [ip_network(n) for r in wish.routes if r.interface for n in r.source_within]
    networks += [ip_network(r.destination) for r in wish.routes if r.interface and not networks]
    for version, path, setting in (
        (4, "/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        (6, "/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ):
        # A rule for this machine's own address alone needs no forwarding.
        if not any(n.version == version and n.prefixlen < n.max_prefixlen for n in networks):
            continue
        try:
            is_on = Path(path).read_text().strip() != "0"
        except OSError:
            continue  # it cannot be known, so nothing is said
        if not is_on:
            yield (
                f"forwarding of IPv{version} is off, so only this machine itself can use the "
                f"tunnels; `sysctl -w {setting}=1` lets the networks behind it in"
            )


def _own_sysctls(wish: InterfaceWish) -> Iterator[str]:
    """Settings of our own device alone.

    Reverse path filtering is loose there: what comes out of it was checked against its SA's
    selectors, by whichever tunnel of a group it came. No IPv6 link-local address: nobody would
    answer router solicitations.
    """
    ignore = "1" if wish.follows_carrier else "0"
    settings = {
        f"/proc/sys/net/ipv4/conf/{wish.name}/rp_filter": "2",
        f"/proc/sys/net/ipv4/conf/{wish.name}/ignore_routes_with_linkdown": ignore,
        f"/proc/sys/net/ipv6/conf/{wish.name}/ignore_routes_with_linkdown": ignore,
        f"/proc/sys/net/ipv6/conf/{wish.name}/addr_gen_mode": "1",
        f"/proc/sys/net/ipv6/conf/{wish.name}/accept_ra": "0",
    }
    for path, value in settings.items():
        try:
            if Path(path).read_text().strip() != value:
                Path(path).write_text(value)
        except FileNotFoundError:
            continue  # the kernel has no IPv6
        except OSError as error:
            yield f"{path} could not be set to {value}: {error.strerror}"
