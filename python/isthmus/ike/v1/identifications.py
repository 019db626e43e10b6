"""ID payloads: who one side is in phase 1, which traffic it means in phase 2 (RFC 2407 §4.6.2)."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from isthmus.values.address import IKE_PORT, NAT_T_PORT
from isthmus.values.errors import Malformed
from isthmus.values.identity import Identity
from isthmus.values.registry import ikev2
from isthmus.values.registry.ikev1 import IdType
from isthmus.values.registry.ikev2 import known, label
from isthmus.values.selector import ANY_PROTOCOL, PORT_MAX, TrafficSelector
from isthmus.wire.v1 import Identification
from isthmus.wire.v1.identification import SIZES

_UDP = 17
_PHASE1_PORTS = frozenset({0, IKE_PORT, NAT_T_PORT})
"""RFC 2407 §4.6.2 allows 0 and 500; behind a NAT some peers say 4500."""
_WHO = frozenset(
    {
        IdType.IPV4_ADDR,
        IdType.FQDN,
        IdType.USER_FQDN,
        IdType.IPV6_ADDR,
        IdType.DER_ASN1_DN,
        IdType.DER_ASN1_GN,
        IdType.KEY_ID,
    }
)
"""Types that name somebody; IKEv2 took the numbers over."""
_ADDRESSES = {4: IdType.IPV4_ADDR, 6: IdType.IPV6_ADDR}
_SUBNETS = {4: IdType.IPV4_ADDR_SUBNET, 6: IdType.IPV6_ADDR_SUBNET}
_RANGES = {4: IdType.IPV4_ADDR_RANGE, 6: IdType.IPV6_ADDR_RANGE}

# --- phase 1: who -------------------------------------------------------------------------------


def identity_of(payload: Identification) -> Identity:
    """Who the peer says it is.

    Raises Malformed for a type that names nobody, for a name of no octets, and for a protocol and
    port other than 0 or those of IKE.
    """
    if payload.kind not in _WHO or not payload.data:
        raise Malformed(f"{label(IdType, payload.kind)} of {len(payload.data)} octets names nobody")
    if payload.protocol not in (ANY_PROTOCOL, _UDP) or payload.port not in _PHASE1_PORTS:
        raise Malformed(
            f"an identity for protocol {payload.protocol} and port {payload.port}, not for IKE"
        )
    return Identity(known(ikev2.IdType, payload.kind), payload.data)


def identification_for(identity: Identity) -> Identification:
    """Who we say we are. Raises ValueError for an identity that IKEv1 has no type for."""
    if identity.kind not in _WHO:
        raise ValueError(f"IKEv1 has no identity of the type of {identity}")
    return Identification(int(identity.kind), ANY_PROTOCOL, 0, identity.octets)


# --- phase 2: which traffic ---------------------------------------------------------------------


def selector_of(payload: Identification) -> TrafficSelector:
    """The traffic that one ID payload of Quick Mode means; port 0 means all.

    Host bits below a subnet's mask mean nothing. Raises Malformed for what is no address, subnet
    or range, for a mask with holes, a range that runs backwards, and a port without a protocol.
    """
    start, end = _ends(payload)
    if payload.port and payload.protocol == ANY_PROTOCOL:
        raise Malformed(f"an ID payload with port {payload.port} of no protocol")
    ports = (payload.port, payload.port) if payload.port else (0, PORT_MAX)
    try:
        return TrafficSelector(start, end, payload.protocol, *ports)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _ends(payload: Identification) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """The first and the last address."""
    kind, data = payload.kind, payload.data
    if len(data) != SIZES.get(kind):
        raise Malformed(f"{label(IdType, kind)} of {len(data)} octets is no network")
    if kind in _ADDRESSES.values():
        return ip_address(data), ip_address(data)
    first, second = ip_address(data[: len(data) // 2]), ip_address(data[len(data) // 2 :])
    if kind in _RANGES.values():
        return first, second
    bits, mask = first.max_prefixlen, int(second)
    prefix = mask.bit_count()
    if mask != ((1 << prefix) - 1) << (bits - prefix):
        raise Malformed(f"the mask {second} has holes")
    network = ip_network(f"{first}/{prefix}", strict=False)
    return network.network_address, network.broadcast_address


def identification_of(selector: TrafficSelector) -> Identification:
    """The ID payload that means this traffic: an address, a subnet if it is one, else a range.

    Raises ValueError for ports that are neither all nor one (the configuration refuses them).
    """
    if selector.any_port:
        port = 0
    elif 0 < selector.port_start == selector.port_end:
        port = selector.port_start
    else:
        raise ValueError(f"IKEv1 cannot say the ports of {selector}")
    if selector.start == selector.end:
        kind, data = _ADDRESSES[selector.version], selector.start.packed
    elif len(networks := selector.networks()) == 1:
        kind = _SUBNETS[selector.version]
        data = networks[0].network_address.packed + networks[0].netmask.packed
    else:
        kind = _RANGES[selector.version]
        data = selector.start.packed + selector.end.packed
    return Identification(kind, selector.protocol, port, data)
