"""Readers of the values that IPsec is made of: addresses, networks, identities, proposals."""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)

from isthmus.config.fields import (
    Cell,
    Read,
    Refused,
    each,
    integer,
    members,
    nearest,
    shown,
)
from isthmus.config.suites import SUITES, SUITES_NOT_YET
from isthmus.config.syntax import Position
from isthmus.values.address import IpAddress
from isthmus.values.identity import Identity
from isthmus.values.proposal import (
    WEAK_WORDS,
    Proposal,
    UnknownKeyword,
    keywords,
    parse_proposal,
)
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import PROTOCOL_NAMES, IpNetwork

PORT_MAX = 65535
NAME_OCTETS_MAX = 253
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
METRIC_MAX = 0x00FF_FFFF
"""Routing daemons read the highest octet of a larger metric as a distance."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer's address or its name; neither: any."""

    address: IpAddress | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class PlacedNetwork:
    """A network and where it stands."""

    network: IpNetwork
    at: Position


@dataclass(frozen=True, slots=True)
class PlacedRoute:
    """A network to route to, its metric if one was given, and where it stands."""

    network: IpNetwork
    metric: int | None
    at: Position


@dataclass(frozen=True, slots=True)
class PlacedProposal:
    """A proposal, the weak words in it, and where it stands."""

    proposal: Proposal
    weak: tuple[str, ...]
    at: Position


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports."""

    first: int
    last: int


def address(cell: Cell) -> IpAddress:
    """An IPv4 or IPv6 address without a zone."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("an address", '"192.0.2.1"')
    found = _parsed_address(value)
    if found is None:
        hint = "leave the prefix length out" if "/" in value else 'write it as "192.0.2.1"'
        raise cell.refuse(
            f"is {shown(value)}, which is no address",
            "it must be one IPv4 or IPv6 address without a zone",
            hint if "/" in value else f'{hint} or "2001:db8::1"',
        )
    return found


def addresses(cell: Cell) -> tuple[IpAddress, ...]:
    """A list of addresses."""
    return each(members(cell, "an address", '"192.0.2.1"'), address)


def local_address(cell: Cell) -> IpAddress:
    """An address that a host can have as its own."""
    found = address(cell)
    if found.is_unspecified or found.is_multicast:
        raise cell.refuse(
            f"is {shown(str(found))}, which no interface can have",
            "phase 1 comes from one address of this host",
            f"write an address of this host, or leave {cell.key} out: the kernel chooses",
        )
    return found


def peer(cell: Cell) -> Peer:
    """The address of a gateway, its name, or `any`."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("an address", '"203.0.113.10"')
    if value == "any":
        return Peer(None)
    if _parsed_address(value) is None and _looks_like_name(value):
        return Peer(None, host_name(cell, value))
    found = address(cell)
    if found.is_unspecified or found.is_multicast:
        raise cell.refuse(
            f"is {shown(str(found))}, which is nobody's address",
            "phase 1 is made with one host",
            'write the peer\'s address, or "any" with start = "listen"',
        )
    return Peer(found)


def host_name(cell: Cell, value: str) -> str:
    """A name that DNS can have an address for (RFC 1123 §2.1)."""
    labels = value.removesuffix(".").split(".")
    if len(value) > NAME_OCTETS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise cell.refuse(
            f"is {shown(value)}, which is neither an address nor a name",
            "names have labels of 1 to 63 letters, digits and hyphens, with dots in between",
            'write it as "203.0.113.10" or "vpn.example.net"',
        )
    return value


def network(cell: Cell) -> PlacedNetwork:
    """A network in prefix form; an address alone is a network of one."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("a network", '"10.1.0.0/24"')
    if value == "virtual-ip":
        raise cell.not_yet("virtual addresses", "write the networks themselves")
    with suppress(ValueError):
        return PlacedNetwork(ip_network(_without_zone(value)), cell.node.at)
    try:
        meant = ip_network(_without_zone(value), strict=False)
    except ValueError:
        raise cell.refuse(
            f"has {shown(value)}, which is no network",
            "a network is an address and a prefix length",
            'write it as "10.1.0.0/24" or "2001:db8:1::/64"',
        ) from None
    raise cell.refuse(
        f"has {shown(value)}, which has address bits behind its prefix",
        "it is unclear whether one host or its whole network is meant",
        f'write "{meant}" for the network, or "{ip_interface(value).ip}" for the host alone',
    )


def networks(cell: Cell) -> tuple[PlacedNetwork, ...]:
    """A list of at least one network, each once."""
    return _networks(cell, may_be_empty=False)


def networks_or_none(cell: Cell) -> tuple[PlacedNetwork, ...]:
    """A list of networks, each once; it may be empty."""
    return _networks(cell, may_be_empty=True)


def route(cell: Cell) -> PlacedRoute:
    """A network, or a table of a network and its metric."""
    value = cell.node.value
    if not isinstance(value, dict):
        placed = network(cell)
        return PlacedRoute(placed.network, None, placed.at)
    example = '{ to = "10.20.0.0/16", metric = 200 }'
    for name, node in value.items():
        if name not in ("to", "metric"):
            cell.report.error(
                node.key_at,
                f"{shown(name)} in {cell.key} of {cell.section} is no part of a route",
                "a route has a network (to) and a metric",
                f"write it as {example}",
            )
            raise Refused
    if "to" not in value:
        raise cell.refuse(
            "has a route without its network", "it would lead nowhere", f"write it as {example}"
        )
    placed = network(Cell(value["to"], f"{cell.key}.to", cell.section, cell.report))
    metric = None
    if "metric" in value:
        inner = Cell(value["metric"], f"{cell.key}.metric", cell.section, cell.report)
        metric = integer(1, METRIC_MAX, 200)(inner)
    return PlacedRoute(placed.network, metric, placed.at)


def routes(cell: Cell) -> tuple[PlacedRoute, ...]:
    """A list of routes, each network once; it may be empty."""
    found = each(members(cell, "a network", '"10.1.0.0/24"', may_be_empty=True), route)
    _refuse_twice(cell, found)
    return found


def _networks(cell: Cell, *, may_be_empty: bool) -> tuple[PlacedNetwork, ...]:
    cells = members(cell, "a network", '"10.1.0.0/24"', may_be_empty=may_be_empty)
    found = each(cells, network)
    _refuse_twice(cell, found)
    return found


def _refuse_twice(cell: Cell, found: Iterable[PlacedNetwork | PlacedRoute]) -> None:
    seen: set[IpNetwork] = set()
    for placed in found:
        if placed.network in seen:
            cell.report.error(
                placed.at,
                f"{cell.key} in {cell.section} names {placed.network} twice",
                "the second time changes nothing; another network may have been meant",
                "take one of the two out",
            )
        seen.add(placed.network)


def inside_address(cell: Cell) -> IPv4Interface | IPv6Interface:
    """Our address on the tunnel interface, with the prefix length of its network."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("an address with its prefix length", '"169.254.10.1/30"')
    try:
        found = ip_interface(_without_zone(value))
    except ValueError:
        raise cell.refuse(
            f"has {shown(value)}, which is no address with prefix length",
            "it is our own address on the tunnel interface",
            'write it as "169.254.10.1/30"',
        ) from None
    if "/" not in value:
        raise cell.refuse(
            f"has {shown(value)} without a prefix length",
            "the kernel must know which network is reached over the interface",
            f'write "{value}/30" (or whatever the two sides agreed on)',
        )
    one_of_network = found.network.num_addresses > 2 and found.ip == found.network[0]
    if one_of_network or found.ip.is_multicast or found.ip.is_unspecified:
        raise cell.refuse(
            f"has {shown(value)}, which no interface can have",
            "it is the address of a network or a group, not of a host",
            f'write our own address, as in "{found.network[1 % found.network.num_addresses]}'
            f'/{found.network.prefixlen}"',
        )
    return found


def inside_addresses(cell: Cell) -> tuple[IPv4Interface | IPv6Interface, ...]:
    """A list of inside addresses."""
    cells = members(cell, "an address", '"169.254.10.1/30"', may_be_empty=True)
    return each(cells, inside_address)


def identity(cell: Cell) -> Identity:
    """A typed identity."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("an identity", '"fqdn:gw.example.net"')
    try:
        return Identity.parse(value)
    except ValueError as error:
        raise cell.refuse(
            "is no identity",
            str(error) if value.isprintable() and len(value) < 200 else "it cannot be printed",
            'write it with its type: "ip:192.0.2.1", "fqdn:gw.example.net",'
            ' "email:a@example.net", "dn:O=Example, CN=gw" or "keyid:text"',
        ) from None


def protocol(cell: Cell) -> int:
    """An IP protocol by name or number."""
    value = cell.node.value
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 255:
            raise cell.refuse(
                "is out of range", "IP protocols go from 0 to 255", 'write "tcp", say'
            )
        return value
    if not isinstance(value, str):
        raise cell.wrong_type("the name or number of an IP protocol", '"tcp"')
    number = PROTOCOL_NAMES.get(value.lower())
    if number is None:
        meant = nearest(value.lower(), list(PROTOCOL_NAMES))
        raise cell.refuse(
            f"is {shown(value)}, which is no protocol known by name",
            f"the names are {', '.join(PROTOCOL_NAMES)}",
            f'write {cell.key} = "{meant}"' if meant else "write the protocol's number",
        )
    return number


def port_range(cell: Cell) -> Ports:
    """A port, or a range as text."""
    value = cell.node.value
    first: int | None = None
    last: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        first = last = value
    elif isinstance(value, str):
        low, dash, high = (part.strip() for part in value.partition("-"))
        if _is_port_text(low) and (not dash or _is_port_text(high)):
            first = int(low)
            last = int(high) if dash else first
    if first is None or last is None:
        raise cell.refuse(
            "has something that is no port",
            "a port is a whole number, a range is text",
            f'write {cell.key} = [443, "8000-8080"]',
        )
    if not 0 <= first <= last <= PORT_MAX:
        raise cell.refuse(
            "has a port out of range",
            f"ports go from 0 to {PORT_MAX}, and a range starts with the lower one",
            f'write {cell.key} = [443, "8000-8080"], say',
        )
    return Ports(first, last)


def port_ranges(cell: Cell) -> tuple[Ports, ...]:
    """A list of ports and ranges; one alone counts as a list of one."""
    if isinstance(cell.node.value, int) and not isinstance(cell.node.value, bool):
        return (port_range(cell),)
    return each(members(cell, "a port", "443"), port_range)


def suite(cell: Cell) -> str:
    """The name of a suite."""
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("the name of a suite", '"modern"')
    if value in SUITES_NOT_YET:
        raise cell.not_yet(
            f"the suite {value} ({SUITES_NOT_YET[value]})",
            f"use one of {', '.join(SUITES)}, or write proposals",
        )
    if value not in SUITES:
        meant = nearest(value.lower(), list(SUITES))
        raise cell.refuse(
            f"is {shown(value)}, which is no suite",
            f"the suites are {', '.join(SUITES)}",
            f'write {cell.key} = "{meant or "modern"}"',
        )
    return value


def proposals(kind: SecurityProtocol) -> Read[tuple[PlacedProposal, ...]]:
    """Proposal strings of phase 1 (IKE) or phase 2 (ESP), best first."""
    example = (
        '"aes256gcm16-prfsha384-ecp256"' if kind is SecurityProtocol.IKE else '"aes256gcm16-ecp256"'
    )

    def read(cell: Cell) -> tuple[PlacedProposal, ...]:
        return each(members(cell, "a proposal", example), _proposal(kind, example))

    return read


def _proposal(kind: SecurityProtocol, example: str) -> Read[PlacedProposal]:
    def read(cell: Cell) -> PlacedProposal:
        value = cell.node.value
        if not isinstance(value, str):
            raise cell.wrong_type("a proposal", f"[{example}]")
        try:
            proposal = parse_proposal(value, kind)
        except UnknownKeyword as error:
            meant = nearest(error.word, sorted(keywords()))
            raise cell.refuse(
                f"has {shown(error.word)}, which names no algorithm",
                f"it stands in the proposal {shown(value)}",
                f'write "{meant}"' if meant else f"write it as in {example}",
            ) from None
        except ValueError as error:
            raise cell.refuse(
                "has a proposal that cannot be used",
                str(error) if len(value) < 200 else "it is far too long",
                f"write it as in {example}",
            ) from None
        twice = {str(t) for t in proposal.transforms if proposal.transforms.count(t) > 1}
        if twice:
            raise cell.refuse(
                f"names {', '.join(sorted(twice))} twice in one proposal",
                "the second time changes nothing; another algorithm may have been meant",
                "take one of the two out",
            )
        weak = tuple(str(t) for t in proposal.transforms if str(t) in WEAK_WORDS)
        return PlacedProposal(proposal, weak, cell.node.at)

    return read


def _parsed_address(value: str) -> IpAddress | None:
    with suppress(ValueError):
        found = ip_address(value)
        if found.version == 4 or found.scope_id is None:
            return found
    return None


def _without_zone(value: str) -> str:
    """The text itself. Raises ValueError for an IPv6 zone, which no packet carries."""
    if "%" in value:
        raise ValueError("zones are local to one host")
    return value


def _is_port_text(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 5


def _looks_like_name(value: str) -> bool:
    letters = value.replace(".", "").replace("-", "")
    return letters.isascii() and letters.isalnum() and any(c.isalpha() for c in letters)
