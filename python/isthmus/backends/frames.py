"""The frames between the IKE process and the plane process, version 1.

Each frame is one packet of a Unix SOCK_SEQPACKET socket: a MessagePack map whose key `type` says
which frame it is. A command bears a ticket and is answered by exactly one reply with that ticket
(a query by several, the last of which has `more` = false); a notice and a datagram bear none.
The plane handles the frames of a connection in the order of their arrival.
"""

from typing import Literal

import msgspec

from isthmus.backends.specs import (
    Direction,
    EndpointSpec,
    InterfaceState,
    LimitsSpec,
    OnNoSa,
    PolicySpec,
    PolicyState,
    PortSpec,
    SaSpec,
    SaState,
)

PROTOCOL_VERSION = 1
FRAME_MAX = 131_072
"""Octets of one frame; larger ones are refused by both sides."""


class Frame(msgspec.Struct, frozen=True, tag_field="type"):
    """Root of all frames."""


class Hello(Frame, frozen=True, tag="hello"):
    """The first command."""

    ticket: int
    version: int = PROTOCOL_VERSION


class Listen(Frame, frozen=True, tag="listen"):
    """Open these ports and close all others."""

    ticket: int
    ports: tuple[PortSpec, ...]
    mark: int


class AttachInterface(Frame, frozen=True, tag="attach_interface"):
    """Read and write packets of a TUN device."""

    ticket: int
    interface: int
    name: str
    mtu: int
    bypass_mark: int
    offload: bool = True
    """Large packets may pass between kernel and plane where the kernel can."""


class DetachInterface(Frame, frozen=True, tag="detach_interface"):
    """Let go of a TUN device."""

    ticket: int
    interface: int


class SetCarrier(Frame, frozen=True, tag="set_carrier"):
    """Give an attached TUN device carrier, or take it, so that routes over it count or not."""

    ticket: int
    interface: int
    up: bool


class SetPolicies(Frame, frozen=True, tag="set_policies"):
    """The whole SPD, or part number `part` of it; the one without `more` puts all in force."""

    ticket: int
    policies: tuple[PolicySpec, ...]
    more: bool = False
    part: int = 0


class ArmPolicyFrame(Frame, frozen=True, tag="arm_policy"):
    """Change how one policy treats packets without an SA."""

    ticket: int
    policy: int
    on_no_sa: OnNoSa


class InstallSaFrame(Frame, frozen=True, tag="install_sa"):
    """Install one direction of a Child SA."""

    ticket: int
    sa: SaSpec


class ExpectSaFrame(Frame, frozen=True, tag="expect_sa"):
    """Keep ESP for this SPI, bounded, until its SA is installed or removed, or time ends it."""

    ticket: int
    spi: int


class UpdateSaFrame(Frame, frozen=True, tag="update_sa"):
    """Change an SA; None leaves a thing as it is."""

    ticket: int
    direction: Direction
    spi: int
    standby: bool | None = None
    local: EndpointSpec | None = None
    remote: EndpointSpec | None = None
    encap: bool | None = None
    limits: LimitsSpec | None = None
    policy: int | None = None


class RemoveSaFrame(Frame, frozen=True, tag="remove_sa"):
    """Forget an SA and wipe its key."""

    ticket: int
    direction: Direction
    spi: int
    policy: int | None = None


class Flush(Frame, frozen=True, tag="flush"):
    """Forget all SAs and held packets."""

    ticket: int


class Query(Frame, frozen=True, tag="query"):
    """Ask for a list or for the counters."""

    ticket: int
    what: Literal["sas", "policies", "interfaces", "counters"]


class ResolveLocal(Frame, frozen=True, tag="resolve_local"):
    """Which source address would the kernel use towards `remote`?"""

    ticket: int
    remote: str


class KeepaliveFrame(Frame, frozen=True, tag="keepalive"):
    """Send NAT keepalives every `every_ms` milliseconds; 0 ends it (RFC 3948 §4)."""

    ticket: int
    local: EndpointSpec
    remote: EndpointSpec
    every_ms: int


class DatagramOut(Frame, frozen=True, tag="datagram"):
    """Send an IKE datagram."""

    local: EndpointSpec
    remote: EndpointSpec
    octets: bytes
    df: bool = False


Command = (
    Hello
    | Listen
    | AttachInterface
    | DetachInterface
    | SetCarrier
    | SetPolicies
    | ArmPolicyFrame
    | InstallSaFrame
    | ExpectSaFrame
    | UpdateSaFrame
    | RemoveSaFrame
    | Flush
    | Query
    | ResolveLocal
    | KeepaliveFrame
    | DatagramOut
)


class Welcome(Frame, frozen=True, tag="hello"):
    """The plane's answer to hello."""

    ticket: int
    version: int
    pid: int


class Done(Frame, frozen=True, tag="done"):
    """A command was carried out."""

    ticket: int


class Refused(Frame, frozen=True, tag="refused"):
    """A command was not carried out; ticket 0 when the plane could not read it."""

    ticket: int
    reason: str


class Sas(Frame, frozen=True, tag="sas"):
    """A part of the SAD."""

    ticket: int
    more: bool
    sas: tuple[SaState, ...]


class Policies(Frame, frozen=True, tag="policies"):
    """A part of the SPD."""

    ticket: int
    more: bool
    policies: tuple[PolicyState, ...]


class Interfaces(Frame, frozen=True, tag="interfaces"):
    """The attached interfaces."""

    ticket: int
    interfaces: tuple[InterfaceState, ...]


class Counters(Frame, frozen=True, tag="counters"):
    """Every counter by name."""

    ticket: int
    counters: dict[str, int]


class LocalAddress(Frame, frozen=True, tag="local_address"):
    """The answer to resolve_local; None: no route."""

    ticket: int
    address: str | None


Reply = Welcome | Done | Refused | Sas | Policies | Interfaces | Counters | LocalAddress


class DatagramIn(Frame, frozen=True, tag="datagram"):
    """An IKE datagram arrived; the non-ESP marker is already off."""

    local: EndpointSpec
    remote: EndpointSpec
    octets: bytes


class PacketWantedNotice(Frame, frozen=True, tag="packet_wanted"):
    """A packet matched a policy that has no outbound SA."""

    policy: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    held: int


class LifetimeNotice(Frame, frozen=True, tag="lifetime"):
    """An SA reached a limit."""

    direction: str
    spi: int
    which: str
    unit: str
    policy: int


class IdleNotice(Frame, frozen=True, tag="idle"):
    """No packet has passed by the SAs of a policy, in either direction, for its idle time."""

    policy: int
    idle_ms: int


class PeerMovedNotice(Frame, frozen=True, tag="peer_moved"):
    """Authenticated ESP in UDP came from a new endpoint."""

    spi: int
    remote: EndpointSpec


class FirstPacketNotice(Frame, frozen=True, tag="first_packet"):
    """The first authenticated packet of an inbound SA."""

    spi: int


class UnknownSpiNotice(Frame, frozen=True, tag="unknown_spi"):
    """ESP for an SPI that we do not have."""

    spi: int
    remote: EndpointSpec


class SendFailedNotice(Frame, frozen=True, tag="send_failed"):
    """The kernel did not send a datagram."""

    remote: EndpointSpec
    errno: int


class NoticesLost(Frame, frozen=True, tag="notices_lost"):
    """That many notices were dropped since the last one."""

    count: int


Notice = (
    DatagramIn
    | PacketWantedNotice
    | LifetimeNotice
    | IdleNotice
    | PeerMovedNotice
    | FirstPacketNotice
    | UnknownSpiNotice
    | SendFailedNotice
    | NoticesLost
)

encoder = msgspec.msgpack.Encoder()
from_plane: msgspec.msgpack.Decoder[Reply | Notice] = msgspec.msgpack.Decoder(Reply | Notice)
"""Decodes what the plane sends. Raises msgspec.DecodeError for anything else."""
to_plane: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
"""Decodes what the IKE process sends: for planes written in Python."""
