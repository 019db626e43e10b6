"""TSi and TSr payloads (RFC 7296 §3.13)."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from struct import error as StructError
from typing import Self

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev2 import PayloadType, TsType
from isthmus.values.selector import TrafficSelector
from isthmus.wire.cursor import Reader, Writer

SELECTORS_MAX = 255
"""Selectors of one payload: their number is one octet. A message as a whole gets about as many, for
the budget of `cursor.py` counts each at what it takes in memory."""

_SUBSTRUCTURE = Struct(">BBH")
_PORTS = Struct(">HH")
_IPV4_SIZE = 16
_IPV6_SIZE = 40
_IPV4_MEMORY = 304
_IPV6_MEMORY = 344
_UNKNOWN_MEMORY = 96


@dataclass(frozen=True, slots=True)
class UnknownSelector:
    """A selector of a type that we do not know: its octets from the type on, length right."""

    octets: bytes

    @property
    def kind(self) -> int:
        """The TS type."""
        return self.octets[0]


@dataclass(frozen=True, slots=True)
class TrafficSelectors:
    """What one side wants to send and get. `role` is TS_I or TS_R."""

    role: PayloadType
    selectors: tuple[TrafficSelector | UnknownSelector, ...]

    @property
    def type(self) -> PayloadType:
        """The payload type: the role."""
        return self.role

    @classmethod
    def decode(cls, body: Reader, role: PayloadType) -> Self:
        """Raises Malformed for no selectors, wrong sizes, and ranges that run backwards."""
        at = body.offset
        count = body.u8()
        if not count:
            raise Malformed("no traffic selectors", at=at)
        body.skip(3)
        selectors = tuple(_decode_selector(body) for _ in range(count))
        body.finish()
        return cls(role, selectors)

    def encode(self) -> bytes:
        """The payload's body."""
        start = Writer().u8(len(self.selectors)).zeros(3).octets()
        return start + b"".join([_encode_selector(selector) for selector in self.selectors])


def _decode_selector(body: Reader) -> TrafficSelector | UnknownSelector:
    at = body.offset
    kind, protocol, length = body.unpack(_SUBSTRUCTURE)
    if length < _SUBSTRUCTURE.size:
        raise Malformed(f"traffic selector of {length} octets", at=at)
    start: IPv4Address | IPv6Address
    end: IPv4Address | IPv6Address
    if kind == TsType.IPV4_ADDR_RANGE and length == _IPV4_SIZE:
        body.charge(_IPV4_MEMORY)
        port_start, port_end = body.unpack(_PORTS)
        start, end = IPv4Address(body.take(4)), IPv4Address(body.take(4))
    elif kind == TsType.IPV6_ADDR_RANGE and length == _IPV6_SIZE:
        body.charge(_IPV6_MEMORY)
        port_start, port_end = body.unpack(_PORTS)
        start, end = IPv6Address(body.take(16)), IPv6Address(body.take(16))
    elif kind in (TsType.IPV4_ADDR_RANGE, TsType.IPV6_ADDR_RANGE):
        raise Malformed(f"traffic selector of type {kind} and {length} octets", at=at)
    else:
        body.charge(_UNKNOWN_MEMORY + length)
        octets = body.take(length - _SUBSTRUCTURE.size)
        return UnknownSelector(_SUBSTRUCTURE.pack(kind, protocol, length) + octets)
    try:
        return TrafficSelector(start, end, protocol, port_start, port_end)
    except ValueError as error:
        raise Malformed(str(error), at=at) from None


def _encode_selector(selector: TrafficSelector | UnknownSelector) -> bytes:
    if isinstance(selector, UnknownSelector):
        return selector.octets
    if selector.version == 4:
        kind, size = TsType.IPV4_ADDR_RANGE, _IPV4_SIZE
    else:
        kind, size = TsType.IPV6_ADDR_RANGE, _IPV6_SIZE
    try:
        start = _SUBSTRUCTURE.pack(kind, selector.protocol, size)
        start += _PORTS.pack(selector.port_start, selector.port_end)
    except StructError:
        raise LocalFault(f"{selector} does not fit its fields") from None
    return start + selector.start.packed + selector.end.packed
