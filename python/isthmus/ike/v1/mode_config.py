"""What the Attributes payloads of Mode Config say (draft-ietf-ipsec-isakmp-mode-cfg-05). Pure;
both roles, IPv4.

Either the client asks (REQUEST) and is given (REPLY), or the server gives unasked (SET) and the
client confirms (ACK). Networks are told as INTERNAL_IP4_SUBNET and in the form of Unity clients,
and read in both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from struct import Struct

from isthmus.policy.assigned import Assigned
from isthmus.policy.connection import ModeConfig
from isthmus.values.errors import NoAgreement, PeerMisbehaved
from isthmus.values.identity import printable
from isthmus.values.registry.ikev1 import ConfigAttribute, ConfigType
from isthmus.values.registry.ikev2 import label
from isthmus.wire.v1.attributes import Attribute
from isthmus.wire.v1.configuration import Attributes

DNS_MAX = 8
"""Name servers that are kept of those that a server tells of."""
NETWORKS_MAX = 64
"""Networks that are kept."""
ADDRESS_SIZE = 4
_SUBNET = Struct(">4s4s")
_SPLIT = Struct(">4s4sHHH")
"""Address, mask, protocol and two ports of one network of UNITY_SPLIT_INCLUDE."""
_ASKED = (
    ConfigAttribute.INTERNAL_IP4_DNS,
    ConfigAttribute.INTERNAL_IP4_SUBNET,
    ConfigAttribute.UNITY_DEF_DOMAIN,
    ConfigAttribute.UNITY_SPLIT_INCLUDE,
)
_ONE_HOST = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants of us."""

    address: IPv4Address | None = None
    """None: any."""
    netmask: bool = False
    """Some clients wait for one."""


def request(identifier: int, address: IPv4Address | None) -> Attributes:
    """A client's REQUEST for an address, this one or any, and for what belongs to it."""
    wanted = b"" if address is None else address.packed
    return Attributes(
        ConfigType.REQUEST,
        identifier,
        (
            Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, wanted),
            *(Attribute(kind, b"") for kind in _ASKED),
        ),
    )


def read_request(asked: Attributes) -> Asked:
    """What a client's REQUEST is for; what we do not know in it is passed over. Raises
    PeerMisbehaved for one that is not for an address."""
    _expect(asked, ConfigType.REQUEST)
    kinds = {attribute.kind for attribute in asked.attributes}
    if ConfigAttribute.INTERNAL_IP4_ADDRESS not in kinds:
        raise PeerMisbehaved("the peer asks for no IPv4 address", notify=None, code="E173")
    address = next(_addresses(asked, ConfigAttribute.INTERNAL_IP4_ADDRESS), None)
    if address is not None and address.is_unspecified:
        address = None
    return Asked(address, ConfigAttribute.INTERNAL_IP4_NETMASK in kinds)


def reply(
    asked: Attributes, terms: ModeConfig, address: IPv4Address, *, netmask: bool
) -> Attributes:
    """A server's REPLY to a client's REQUEST."""
    return Attributes(ConfigType.REPLY, asked.identifier, _given(terms, address, netmask=netmask))


def unasked(identifier: int, terms: ModeConfig, address: IPv4Address) -> Attributes:
    """A server's SET."""
    return Attributes(ConfigType.SET, identifier, _given(terms, address, netmask=False))


def refusal(asked: Attributes) -> Attributes:
    """A server's REPLY that has nothing to give: no attribute has a value."""
    return Attributes(ConfigType.REPLY, asked.identifier)


def _given(terms: ModeConfig, address: IPv4Address, *, netmask: bool) -> tuple[Attribute, ...]:
    found = [Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, address.packed)]
    if netmask:
        found.append(Attribute(ConfigAttribute.INTERNAL_IP4_NETMASK, _ONE_HOST.packed))
    found += (
        Attribute(ConfigAttribute.INTERNAL_IP4_DNS, IPv4Address(text).packed) for text in terms.dns
    )
    if terms.domain:
        found.append(Attribute(ConfigAttribute.UNITY_DEF_DOMAIN, terms.domain.encode()))
    networks = [IPv4Network(text) for text in terms.networks]
    pairs = [(each.network_address.packed, each.netmask.packed) for each in networks]
    found += (Attribute(ConfigAttribute.INTERNAL_IP4_SUBNET, _SUBNET.pack(*pair)) for pair in pairs)
    if pairs:
        split = b"".join(_SPLIT.pack(*pair, 0, 0, 0) for pair in pairs)
        found.append(Attribute(ConfigAttribute.UNITY_SPLIT_INCLUDE, split))
    return tuple(found)


def read_reply(given: Attributes) -> Assigned:
    """What a server gives us that we have asked. The message ID ties it to our REQUEST. Raises as
    `read_unasked` does."""
    _expect(given, ConfigType.REPLY)
    return _read(given)


def read_unasked(given: Attributes) -> Assigned:
    """What a server's SET gives us. Raises NoAgreement (E172) when no address is among it that a
    host may have; what we do not know is passed over, and so is what is too much."""
    _expect(given, ConfigType.SET)
    return _read(given)


def confirmation(told: Attributes) -> Attributes:
    """A client's ACK: what it has taken, emptied."""
    taken = frozenset({int(ConfigAttribute.INTERNAL_IP4_ADDRESS), *(int(kind) for kind in _ASKED)})
    kinds = dict.fromkeys(each.kind for each in told.attributes if each.kind in taken)
    return Attributes(
        ConfigType.ACK, told.identifier, tuple(Attribute(kind, b"") for kind in kinds)
    )


def _read(given: Attributes) -> Assigned:
    address = next(_addresses(given, ConfigAttribute.INTERNAL_IP4_ADDRESS), None)
    if address is None:
        raise NoAgreement("the peer gives us no address", notify=None, code="E172")
    if not _is_host(address):
        raise NoAgreement(
            f"the peer gives us {address}, which no host may have", notify=None, code="E172"
        )
    dns = dict.fromkeys(filter(_is_host, _addresses(given, ConfigAttribute.INTERNAL_IP4_DNS)))
    networks = dict.fromkeys(_networks(given))
    domains = (a.octets for a in given.attributes if a.kind == ConfigAttribute.UNITY_DEF_DOMAIN)
    domain = next(domains, b"").removesuffix(b"\0")
    return Assigned(
        address, tuple(dns)[:DNS_MAX], printable(domain), tuple(networks)[:NETWORKS_MAX]
    )


def _expect(payload: Attributes, kind: ConfigType) -> None:
    if payload.kind != kind:
        raise PeerMisbehaved(
            f"{label(ConfigType, payload.kind)} of Mode Config where {kind.name} is due",
            notify=None,
        )


def _addresses(payload: Attributes, kind: ConfigAttribute) -> Iterator[IPv4Address]:
    """Those of one kind; empty values are no addresses, and neither are those of another size."""
    for attribute in payload.attributes:
        if attribute.kind == kind and len(attribute.octets) == ADDRESS_SIZE:
            yield IPv4Address(attribute.octets)


def _networks(payload: Attributes) -> Iterator[IPv4Network]:
    for attribute in payload.attributes:
        octets = attribute.octets
        if attribute.kind == ConfigAttribute.INTERNAL_IP4_SUBNET and len(octets) == _SUBNET.size:
            yield from _network(*_SUBNET.unpack(octets))
        elif attribute.kind == ConfigAttribute.UNITY_SPLIT_INCLUDE:
            whole = len(octets) - len(octets) % _SPLIT.size
            for address, mask, *_ in _SPLIT.iter_unpack(octets[: min(whole, _SPLIT_OCTETS_MAX)]):
                yield from _network(address, mask)


_SPLIT_OCTETS_MAX = _SPLIT.size * NETWORKS_MAX


def _network(address: bytes, mask: bytes) -> Iterator[IPv4Network]:
    """None for a mask with holes."""
    ones = int.from_bytes(mask, "big")
    inverse = ones ^ 0xFFFF_FFFF
    if inverse & (inverse + 1) == 0:
        yield IPv4Network((address, 32 - inverse.bit_length()), strict=False)


def _is_host(address: IPv4Address) -> bool:
    """It may stand for one machine that is elsewhere too."""
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
    )
