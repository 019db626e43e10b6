"""Routes and routing rules over netlink, many in one go: rtnetlink(7), linux/fib_rules.h.

A gateway with thousands of tunnels has as many routes. A library that makes an object of every
attribute takes seconds for them; these few structures take a hundredth of that.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from isthmus.backends.wishes import RuleWish

FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
VERSION: Final = {family: version for version, family in FAMILY.items()}
UNICAST, UNREACHABLE = 1, 7
ACTIONS: Final = {"lookup": 1, "goto": 2, "nop": 3, "blackhole": 6}
"""FR_ACT_* of linux/fib_rules.h."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE = struct.Struct("=BBBBBBBBI")
_RULE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_U32 = struct.Struct("=I")
_ERROR = struct.Struct("=i")
_PORTS = struct.Struct("=HH")
_NEW_ROUTE, _DEL_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_RULE, _DEL_RULE, _GET_RULE = 32, 33, 34
_REQUEST, _ACK, _DUMP = 0x01, 0x04, 0x300
_DUMP_INTERRUPTED = 0x10
_REPLACE, _EXCLUSIVE, _CREATE = 0x100, 0x200, 0x400
_MESSAGE_ERROR, _MESSAGE_DONE = 2, 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_RTA_PREFSRC, _RTA_MULTIPATH, _RTA_TABLE = 7, 9, 15
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_GOTO, _FRA_PRIORITY = 1, 2, 3, 4, 6
_FRA_FWMARK, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 10, 14, 15
_FRA_PROTOCOL, _FRA_IP_PROTO, _FRA_SPORT_RANGE, _FRA_DPORT_RANGE = 21, 22, 23, 24
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 0, 253, 255
_TABLE_COMPAT = 252
"""In headers, whose field is an octet; the attribute has the whole number."""
_ONLINK = 0x04
_TYPE_MASK = 0x3FFF
_NETLINK_GET_STRICT_CHK = 12
_SOL_NETLINK = 270
_BATCH = 64
"""Requests in one datagram: their answers fit a socket's buffer."""
_RECEIVE_MAX = 1 << 16
_DUMP_TRIES = 5

_PEER_OF_TUN = ip_address("fe80::1").packed
"""IPv6 shares traffic only among routes by way of a gateway. A TUN device resolves no addresses,
so that any one will do, and the flag `_ONLINK` says that it is there."""

Message = tuple[int, int, bytes]
"""Type, flags and body of a request."""


class KernelRefused(Exception):
    """A request was answered with an error; `code` is its errno."""

    def __init__(self, code: int) -> None:
        super().__init__(os.strerror(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class RouteId:
    """What the kernel tells routes apart by."""

    version: int
    table: int
    destination: bytes
    prefix: int
    metric: int


@dataclass(frozen=True, slots=True)
class RouteBody:
    """What a route does: "unreachable" without interfaces."""

    interfaces: tuple[int, ...] = ()
    """Indexes, sorted; more than one share the traffic."""
    source: bytes = b""
    """Preferred source address; empty: none."""


def route_id(destination: str, table: int, metric: int) -> RouteId:
    """Raises ValueError for what is no network."""
    network = ip_network(destination)
    octets = network.network_address.packed
    return RouteId(network.version, table, octets, network.prefixlen, metric)


def put_route(key: RouteId, body: RouteBody, protocol: int) -> Message:
    """Make a route, or change the one that is there."""
    scope = _SCOPE_LINK if body.interfaces and key.version == 4 else _SCOPE_UNIVERSE
    return (_NEW_ROUTE, _CREATE | _REPLACE, _route(key, body, protocol, scope))


def drop_route(key: RouteId, body: RouteBody, protocol: int) -> Message:
    """Remove a route."""
    scope = _SCOPE_NOWHERE if key.version == 4 else _SCOPE_UNIVERSE
    only_kind = _route(key, RouteBody(), protocol, scope, unicast=bool(body.interfaces))
    return (_DEL_ROUTE, 0, only_kind)


def _route(
    key: RouteId, body: RouteBody, protocol: int, scope: int, *, unicast: bool = False
) -> bytes:
    kind = UNICAST if body.interfaces or unicast else UNREACHABLE
    table = key.table if key.table < 256 else _TABLE_COMPAT
    parts = [
        _ROUTE.pack(FAMILY[key.version], key.prefix, 0, 0, table, protocol, scope, kind, 0),
        _attribute(_RTA_TABLE, _U32.pack(key.table)),
        _attribute(_RTA_PRIORITY, _U32.pack(key.metric)),
    ]
    if key.prefix:
        parts.append(_attribute(_RTA_DST, key.destination))
    if body.source:
        parts.append(_attribute(_RTA_PREFSRC, body.source))
    if len(body.interfaces) == 1:
        parts.append(_attribute(_RTA_OIF, _U32.pack(body.interfaces[0])))
    elif body.interfaces:
        hops = b"".join(_hop(index, key.version) for index in body.interfaces)
        parts.append(_attribute(_RTA_MULTIPATH, hops))
    return b"".join(parts)


def _hop(index: int, version: int) -> bytes:
    gateway = _attribute(_RTA_GATEWAY, _PEER_OF_TUN) if version == 6 else b""
    return _HOP.pack(_HOP.size + len(gateway), _ONLINK if gateway else 0, 0, index) + gateway


def add_rule(wish: RuleWish, protocol: int) -> Message:
    """Make a routing rule."""
    return (_NEW_RULE, _CREATE | _EXCLUSIVE, _rule(wish, protocol))


def drop_rule(wish: RuleWish, protocol: int) -> Message:
    """Remove a routing rule."""
    return (_DEL_RULE, 0, _rule(wish, protocol))


def _rule(wish: RuleWish, protocol: int) -> bytes:
    lengths = {_FRA_SRC: 0, _FRA_DST: 0}
    parts = [
        _attribute(_FRA_PRIORITY, _U32.pack(wish.priority)),
        _attribute(_FRA_PROTOCOL, bytes((protocol,))),
    ]
    for kind, text in ((_FRA_SRC, wish.source), (_FRA_DST, wish.destination)):
        if text is not None:
            network = ip_network(text)
            lengths[kind] = network.prefixlen
            if network.prefixlen:
                parts.append(_attribute(kind, network.network_address.packed))
    for kind, number in (
        (_FRA_TABLE, wish.table if wish.action == "lookup" else 0),
        (_FRA_GOTO, wish.target if wish.action == "goto" else 0),
        (_FRA_FWMARK, wish.mark),
    ):
        if number:
            parts.append(_attribute(kind, _U32.pack(number)))
    if wish.longer_than is not None:
        parts.append(_attribute(_FRA_SUPPRESS_PREFIXLEN, _U32.pack(wish.longer_than)))
    if wish.input_interface is not None:
        parts.append(_attribute(_FRA_IIFNAME, wish.input_interface.encode() + b"\0"))
    if wish.protocol:
        parts.append(_attribute(_FRA_IP_PROTO, bytes((wish.protocol,))))
    for kind, ports in (
        (_FRA_SPORT_RANGE, wish.source_ports),
        (_FRA_DPORT_RANGE, wish.destination_ports),
    ):
        if ports is not None:
            parts.append(_attribute(kind, _PORTS.pack(*ports)))
    table = wish.table if 0 < wish.table < 256 else _TABLE_COMPAT if wish.table else 0
    head = _RULE.pack(
        FAMILY[wish.version],
        lengths[_FRA_DST],
        lengths[_FRA_SRC],
        0,
        table,
        0,
        0,
        ACTIONS[wish.action],
        0,
    )
    return head + b"".join(parts)


class RoutingSocket:
    """One netlink socket for routes and rules. Not safe for use by several threads."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def change(self, messages: Sequence[Message]) -> dict[int, int]:
        """Carry requests out in their order, each by itself; errno of those that were refused,
        by position."""
        refused: dict[int, int] = {}
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            first = self._sequence + 1
            self._sequence += len(batch)
            self._socket.send(
                b"".join(
                    _message(kind, flags | _REQUEST | _ACK, first + n, body)
                    for n, (kind, flags, body) in enumerate(batch)
                )
            )
            waiting = len(batch)
            while waiting:
                for kind, _, sequence, body in _messages(self._socket.recv(_RECEIVE_MAX)):
                    if kind == _MESSAGE_ERROR and first <= sequence < first + len(batch):
                        waiting -= 1
                        (code,) = _ERROR.unpack_from(body)
                        if code:
                            refused[start + sequence - first] = -code
        return refused

    def routes(self, version: int, table: int, protocol: int) -> dict[RouteId, RouteBody]:
        """The routes of a table that bear a protocol's number."""
        head = _ROUTE.pack(FAMILY[version], 0, 0, 0, 0, protocol, 0, 0, 0)
        request = head + _attribute(_RTA_TABLE, _U32.pack(table))
        try:
            found = self._dump(_GET_ROUTE, request)
        except KernelRefused as error:
            # No such table yet, or no such family on this machine.
            if error.code in (errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                return {}
            raise
        return dict(
            route for body in found if body[5] == protocol for route in _read_route(version, body)
        )

    def rules(self, version: int, protocol: int) -> list[RuleWish]:
        """The routing rules that bear a protocol's number."""
        found = self._dump(_GET_RULE, _RULE.pack(FAMILY[version], 0, 0, 0, 0, 0, 0, 0, 0))
        return [rule for body in found for rule in _read_rule(version, body, protocol)]

    def _dump(self, kind: int, request: bytes) -> list[bytes]:
        """All messages of an answer. Raises KernelRefused."""
        for _ in range(_DUMP_TRIES):
            self._sequence += 1
            self._socket.send(_message(kind, _REQUEST | _DUMP, self._sequence, request))
            whole, found = self._answer()
            if whole:
                return found
        raise KernelRefused(errno.EINTR)

    def _answer(self) -> tuple[bool, list[bytes]]:
        """False: what is listed changed meanwhile, so that something may be missing."""
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, sequence, body in _messages(self._socket.recv(_RECEIVE_MAX)):
                if sequence != self._sequence:
                    continue
                whole &= not flags & _DUMP_INTERRUPTED
                if kind in (_MESSAGE_ERROR, _MESSAGE_DONE):
                    (code,) = _ERROR.unpack_from(body)
                    if code:
                        raise KernelRefused(-code)
                    return whole, found
                found.append(body)


def _read_route(version: int, body: bytes) -> Iterator[tuple[RouteId, RouteBody]]:
    _, prefix, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    found = dict(_attributes(body, _ROUTE.size))
    if _RTA_TABLE in found:
        (table,) = _U32.unpack(found[_RTA_TABLE])
    (metric,) = _U32.unpack(found.get(_RTA_PRIORITY, bytes(4)))
    nowhere = bytes(4 if version == 4 else 16)
    key = RouteId(version, table, found.get(_RTA_DST, nowhere), prefix, metric)
    if kind == UNREACHABLE:
        yield key, RouteBody()
    elif kind == UNICAST:
        if _RTA_MULTIPATH in found:
            indexes = tuple(sorted(_hops(found[_RTA_MULTIPATH])))
        else:
            indexes = _U32.unpack(found.get(_RTA_OIF, bytes(4)))
        yield key, RouteBody(indexes, found.get(_RTA_PREFSRC, b""))


def _hops(octets: bytes) -> Iterator[int]:
    at = 0
    while at + _HOP.size <= len(octets):
        length, _, _, index = _HOP.unpack_from(octets, at)
        yield index
        at += max(_HOP.size, _aligned(length))


def _read_rule(version: int, body: bytes, protocol: int) -> Iterator[RuleWish]:
    found = dict(_attributes(body, _RULE.size))
    if found.get(_FRA_PROTOCOL) != bytes((protocol,)):
        return
    _, to_prefix, from_prefix, _, table, _, _, number, _ = _RULE.unpack_from(body)
    action = next((word for word, known in ACTIONS.items() if known == number), "")

    def value(kind: int) -> int:
        return int.from_bytes(found.get(kind, b""), "little" if _IS_LITTLE else "big")

    def network(kind: int, prefix: int) -> str | None:
        octets = found.get(kind)
        return None if octets is None else f"{ip_address(octets)}/{prefix}"

    def ports(kind: int) -> tuple[int, int] | None:
        if kind not in found:
            return None
        first, last = _PORTS.unpack(found[kind])
        return first, last

    name = found.get(_FRA_IIFNAME)
    # The kernel shows "none" as -1.
    longer_than = value(_FRA_SUPPRESS_PREFIXLEN) if _FRA_SUPPRESS_PREFIXLEN in found else 256
    yield RuleWish(
        priority=value(_FRA_PRIORITY),
        version=version,
        action=action,
        table=(value(_FRA_TABLE) or table) if action == "lookup" else 0,
        target=value(_FRA_GOTO),
        mark=value(_FRA_FWMARK),
        source=network(_FRA_SRC, from_prefix),
        destination=network(_FRA_DST, to_prefix),
        input_interface=None if name is None else name.rstrip(b"\0").decode(),
        protocol=value(_FRA_IP_PROTO),
        source_ports=ports(_FRA_SPORT_RANGE),
        destination_ports=ports(_FRA_DPORT_RANGE),
        longer_than=longer_than if longer_than <= 128 else None,
    )


_IS_LITTLE = struct.pack("=H", 1) == b"\x01\x00"


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _attribute(kind: int, octets: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(octets)
    return _ATTRIBUTE.pack(length, kind) + octets + bytes(_aligned(length) - length)


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _messages(octets: bytes) -> Iterable[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message of a datagram."""
    at = 0
    while at + _HEADER.size <= len(octets):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(octets, at)
        yield kind, flags, sequence, octets[at + _HEADER.size : at + length]
        at += max(_HEADER.size, _aligned(length))


def _attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        yield kind & _TYPE_MASK, body[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, _aligned(length))
