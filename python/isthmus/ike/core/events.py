"""What may happen to the engine (ARCHITECTURE.md, events in)."""

from dataclasses import dataclass

from isthmus.ike.core.commands import Command
from isthmus.ike.core.proofs import Judged
from isthmus.values.address import Endpoint
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi


@dataclass(frozen=True, slots=True)
class PacketSummary:
    """The packet that asked for an SA: addresses in text form, IP protocol, ports (0: none)."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0

    def __str__(self) -> str:
        names = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
        what = names.get(self.protocol, f"proto {self.protocol}")
        if self.protocol in (6, 17):
            what += f"/{self.destination_port}"
        return f"{self.source} > {self.destination} {what}"


@dataclass(frozen=True, slots=True)
class DatagramReceived:
    """An IKE datagram, non-ESP marker already taken off."""

    local: Endpoint
    remote: Endpoint
    octets: bytes


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The host's one alarm."""


@dataclass(frozen=True, slots=True)
class CommandIssued:
    """A wish of a user; `ticket` comes back in records about it."""

    command: Command
    ticket: int


@dataclass(frozen=True, slots=True)
class PacketWanted:
    """Interesting traffic: a packet matched a rule that has no SA."""

    tunnel: str
    rule: str
    packet: PacketSummary
    held: int
    """How many packets wait."""


@dataclass(frozen=True, slots=True)
class RuleIdle:
    """No inside traffic has passed under a rule, in either direction, for its idle time."""

    tunnel: str
    rule: str


@dataclass(frozen=True, slots=True)
class LifetimeReached:
    """A data plane counted to a limit of octets, packets or sequence numbers."""

    spi: Spi
    inbound: bool
    hard: bool
    unit: str


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """Authenticated ESP for our SPI came from a new endpoint."""

    spi: Spi
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """The first authenticated packet arrived on an inbound SA."""

    spi: Spi


@dataclass(frozen=True, slots=True)
class ComputeFinished:
    """A `Compute` has ended; `result` None: the job refused its input, and `failure` says why."""

    ticket: int
    result: "tuple[Secret | bytes | Judged, ...] | None"
    failure: str = ""
    code: str = ""
    """The finding of a job that judged and refused; empty where it could not be done at all."""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class InstallFailed:
    """A data plane refused an SA."""

    spi: Spi
    inbound: bool
    reason: str


@dataclass(frozen=True, slots=True)
class OrphanFound:
    """After a restart of the IKE process: the plane still carries this SA, keys unknown to us."""

    tunnel: str
    rule: str
    spi: Spi
    inbound: bool
    remote: Endpoint


Event = (
    DatagramReceived
    | DeadlineReached
    | CommandIssued
    | PacketWanted
    | RuleIdle
    | LifetimeReached
    | PeerMoved
    | FirstPacket
    | ComputeFinished
    | InstallFailed
    | OrphanFound
)
