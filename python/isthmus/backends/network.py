"""Interfaces, routes and rules of this machine, brought to a desired state.

Everything made here bears a mark (the routing protocol number `PROTOCOL`, the interface alias
`ALIAS`), so that a later run finds what an earlier one left behind, even after kill -9. Nothing
without the mark is ever changed or removed. This is the only module that talks netlink.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError  # type: ignore[import-untyped]  # it has no stubs

from isthmus.backends import tun
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
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_UNICAST, _UNREACHABLE = 1, 7
_TO_TABLE, _GOTO, _NOP, _BLACKHOLE = 1, 2, 3, 6
"""FR_ACT_* of linux/fib_rules.h."""
_ACTIONS = {"lookup": _TO_TABLE, "goto": _GOTO, "nop": _NOP, "blackhole": _BLACKHOLE}


_PEER_OF_TUN = {"gateway": "fe80::1", "flags": 0x04}
"""IPv6 shares traffic only among routes by way of a gateway. A TUN device resolves no addresses,
so that any one will do, and the flag (RTNH_F_ONLINK) says that it is there."""

_RouteId = tuple[int, int, str, int]
"""Family, table, destination, metric: what the kernel tells routes apart by."""
_RuleKey = tuple[object, ...]


class Network:
    """One netlink socket and the marks. Not safe for use by several threads."""

    def __init__(self) -> None:
        self._netlink = IPRoute(strict_check=True)

    def close(self) -> None:
        """Let go of the socket; what was set up stays."""
        self._netlink.close()

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
            addresses = self._addresses_except(frozenset(own.values()))
            self._routes(wish.routes, own, addresses)
            self._rules(wish.rules, addresses)
            wanted = {interface.name for interface in wish.interfaces}
            for name, index in own.items():
                if name not in wanted:
                    self._netlink.link("del", index=index)
        except NetlinkError as error:
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
            family=_FAMILY[address.version],
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
        wanted: dict[_RouteId, dict[str, Any]] = {}
        for wish in wishes:
            destination = ip_network(wish.destination)
            route: dict[str, Any] = {"type": _UNREACHABLE}
            if wish.interface is not None:
                names = (wish.interface, *wish.others)
                route = {"type": _UNICAST, "oifs": tuple(sorted(own[name] for name in names))}
                source = _within(addresses, wish.source_within)
                if source is not None:
                    route["prefsrc"] = source
            family = _FAMILY[destination.version]
            wanted[family, wish.table, str(destination), wish.metric] = route
        present = {found[0]: found[1] for found in self._own_routes()}
        for key, route in wanted.items():
            if present.get(key) != route:
                self._route("replace", key, route)
        for key, route in present.items():
            if key not in wanted:
                # It may have gone with its interface in the meantime.
                with suppress(NetlinkError):
                    self._route("del", key, {"type": route["type"]})

    def _route(self, verb: str, key: _RouteId, route: dict[str, Any]) -> None:
        family, table, destination, metric = key
        scope = {"scope": 253} if route["type"] == _UNICAST and family == socket.AF_INET else {}
        route = dict(route)
        oifs = route.pop("oifs", ())
        if len(oifs) == 1:
            route["oif"] = oifs[0]
        elif oifs:
            via = _PEER_OF_TUN if family == socket.AF_INET6 else {}
            route["multipath"] = [{"oif": oif, "hops": 0, **via} for oif in oifs]
        self._netlink.route(
            verb,
            family=family,
            table=table,
            dst=destination,
            priority=metric,
            proto=PROTOCOL,
            **scope,
            **route,
        )

    def _own_routes(self) -> Iterator[tuple[_RouteId, dict[str, Any]]]:
        for family in _FAMILY.values():
            everything = "0.0.0.0" if family == socket.AF_INET else "::"
            for table in (TABLE, MAIN_TABLE):
                for message in self._dump_routes(family, table):
                    destination = f"{message.get('dst') or everything}/{message['dst_len']}"
                    route: dict[str, Any] = {"type": message["type"]}
                    if message["type"] == _UNICAST:
                        hops = message.get("multipath") or [{"oif": message.get("oif")}]
                        route["oifs"] = tuple(sorted(int(hop["oif"] or 0) for hop in hops))
                        if message.get("prefsrc"):
                            route["prefsrc"] = str(ip_address(message.get("prefsrc")))
                    metric = int(message.get("priority") or 0)
                    key = (family, table, str(ip_network(destination)), metric)
                    yield key, route

    def _dump_routes(self, family: int, table: int) -> list[Any]:
        try:
            found = list(self._netlink.get_routes(family=family, table=table, proto=PROTOCOL))
        except NetlinkError as error:
            if error.code in (2, 95, 97):  # no such table yet, or no such family on this machine
                return []
            raise
        return [message for message in found if message["proto"] == PROTOCOL]

    def _rules(self, wishes: Iterable[RuleWish], addresses: tuple[str, ...]) -> None:
        wanted = {
            _rule_key(wish): wish
            for wish in wishes
            if not wish.needs_address_within or _within(addresses, wish.needs_address_within)
        }
        present = dict(self._own_rules())
        # From the last to the first: a jump is made after the place where it lands.
        for key in sorted(wanted.keys() - present.keys(), key=str, reverse=True):
            self._netlink.rule("add", **_rule_request(wanted[key]))
        for key in present.keys() - wanted.keys():
            self._netlink.rule("del", **present[key])

    def _own_rules(self) -> Iterator[tuple[_RuleKey, dict[str, Any]]]:
        for version, family in _FAMILY.items():
            for message in self._netlink.get_rules(family=family):
                if message.get("protocol") != PROTOCOL:
                    continue
                wish = _rule_from(version, message)
                yield _rule_key(wish), _rule_request(wish)


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
            if rule.action not in _ACTIONS or rule.version not in _FAMILY:
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


def _rule_key(wish: RuleWish) -> _RuleKey:
    return (
        wish.priority,
        wish.version,
        wish.action,
        wish.table,
        wish.target,
        wish.mark,
        wish.source or "",
        wish.destination or "",
        wish.input_interface or "",
        wish.longer_than,
        wish.protocol,
        _range_text(wish.source_ports),
        _range_text(wish.destination_ports),
    )


def _rule_request(wish: RuleWish) -> dict[str, Any]:
    request: dict[str, Any] = {
        "family": _FAMILY[wish.version],
        "priority": wish.priority,
        "action": _ACTIONS[wish.action],
        "protocol": PROTOCOL,
    }
    if wish.action == "lookup":
        request["table"] = wish.table
    if wish.action == "goto":
        request["goto"] = wish.target
    if wish.longer_than is not None:
        request["FRA_SUPPRESS_PREFIXLEN"] = wish.longer_than
    if wish.mark:
        request["fwmark"] = wish.mark
    if wish.input_interface is not None:
        request["iifname"] = wish.input_interface
    if wish.protocol:
        request["ip_proto"] = wish.protocol
    for key, ports in (("sport_range", wish.source_ports), ("dport_range", wish.destination_ports)):
        if ports is not None:
            request[key] = _range_text(ports)
    for key, network in (("src", wish.source), ("dst", wish.destination)):
        if network is not None:
            address, _, length = network.partition("/")
            request[key], request[f"{key}_len"] = address, int(length)
    return request


def _rule_from(version: int, message: Any) -> RuleWish:
    actions = {number: word for word, number in _ACTIONS.items()}
    action = actions.get(message["action"], "")

    def network(key: str) -> str | None:
        address = message.get(key)
        return None if address is None else f"{ip_address(address)}/{message[f'{key}_len']}"

    return RuleWish(
        priority=int(message.get("priority") or 0),
        version=version,
        action=action,
        table=int(message.get("table") or 0) if action == "lookup" else 0,
        target=int(message.get("goto") or 0),
        mark=int(message.get("fwmark") or 0),
        source=network("src"),
        destination=network("dst"),
        input_interface=message.get("iifname"),
        longer_than=_suppressed(message.get("FRA_SUPPRESS_PREFIXLEN")),
        protocol=int(message.get("ip_proto") or 0),
        source_ports=_range(message.get("sport_range")),
        destination_ports=_range(message.get("dport_range")),
    )


def _range_text(ports: tuple[int, int] | None) -> str:
    """As pyroute2 writes a range; empty for any."""
    return "" if ports is None else f"{ports[0]}:{ports[1]}"


def _range(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    first, _, last = text.partition(":")
    return int(first), int(last)


def _suppressed(length: int | None) -> int | None:
    """The kernel shows "none" as -1, which netlink's unsigned field turns around."""
    return None if length is None or not 0 <= length <= 128 else length


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
