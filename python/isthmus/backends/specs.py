"""Values that cross the border to a data plane, shaped as the plane's protocol writes them.

Addresses are text, SPIs are numbers, times are milliseconds. Nothing here decides anything.
"""

from typing import Literal

import msgspec

Direction = Literal["in", "out"]
Action = Literal["protect", "bypass", "discard"]
OnNoSa = Literal["hold", "drop", "hold_quiet"]
DfRule = Literal["copy", "set", "clear"]


class EndpointSpec(msgspec.Struct, frozen=True):
    """An address in text form and a UDP port."""

    address: str
    port: int


class RangeSpec(msgspec.Struct, frozen=True):
    """One traffic selector (RFC 7296 §3.13.1); protocol 0 is any."""

    start: str
    end: str
    protocol: int = 0
    port_start: int = 0
    port_end: int = 65535


class SelectorsSpec(msgspec.Struct, frozen=True):
    """Both sides of a policy or an SA."""

    local: tuple[RangeSpec, ...]
    remote: tuple[RangeSpec, ...]


class LimitsSpec(msgspec.Struct, frozen=True):
    """Lifetimes that the plane counts; None: no limit."""

    soft_octets: int | None = None
    hard_octets: int | None = None
    soft_packets: int | None = None
    hard_packets: int | None = None


class NetworkMapSpec(msgspec.Struct, frozen=True):
    """A network of our side and how the peer sees it."""

    real: str
    mapped: str
    prefix: int


class PolicySpec(msgspec.Struct, frozen=True):
    """One entry of the SPD; the list's order is the order of match."""

    id: int
    name: str
    interface: int
    action: Action
    selectors: SelectorsSpec
    hold_packets_max: int = 64
    hold_octets_max: int = 131_072
    hold_age_ms: int = 10_000
    on_no_sa: OnNoSa = "hold"
    clamp_mss: bool = True
    idle_ms: int | None = None
    map: tuple[NetworkMapSpec, ...] = ()


class SaSpec(msgspec.Struct, frozen=True):
    """One direction of a Child SA, with its keys: never logged, redacted in `repr`."""

    direction: Direction
    spi: int
    policy: int
    name: str
    encr: int
    key_bits: int
    integ: int
    encr_key: bytes
    integ_key: bytes
    esn: bool
    replay_window: int
    local: EndpointSpec
    remote: EndpointSpec
    encap: bool
    selectors: SelectorsSpec
    limits: LimitsSpec = LimitsSpec()
    df: DfRule = "copy"
    standby: bool = False
    tag: bytes = b""
    count_as: int = 0
    resume: bool = False

    def __repr__(self) -> str:
        return f"SaSpec({self.direction} {self.name} spi=0x{self.spi:08x}, keys not shown)"


class PortSpec(msgspec.Struct, frozen=True):
    """A UDP port to open. `nat_t`: the non-ESP marker rules of RFC 3948 apply."""

    address: str
    port: int
    nat_t: bool


class SaState(msgspec.Struct, frozen=True):
    """What a plane says of an installed SA: counters, never keys."""

    direction: Direction
    spi: int
    policy: int
    name: str
    encr: int
    key_bits: int
    integ: int
    esn: bool
    encap: bool
    local: EndpointSpec
    remote: EndpointSpec
    standby: bool
    tag: bytes
    packets: int
    octets: int
    sequence: int
    age_ms: int
    idle_ms: int | None
    replay_window: int
    drops: dict[str, int]


class PolicyState(msgspec.Struct, frozen=True):
    """What a plane says of a policy."""

    id: int
    name: str
    interface: int
    action: Action
    held_packets: int
    held_octets: int
    matched_packets: int
    selectors: SelectorsSpec
    outbound_spis: tuple[int, ...]
    idle_for_ms: int | None = None
    """Since its last packet in either direction, or its first SA; None: it has no SA."""


class InterfaceState(msgspec.Struct, frozen=True):
    """What a plane says of an interface; packets as the kernel counts them from its side."""

    interface: int
    name: str
    mtu: int
    effective_mtu: int
    offload: str
    rx_packets: int
    tx_packets: int
