"""Lines of a trace: the same world gives the same octets. Nothing secret is in them."""

import hashlib
from typing import assert_never

from isthmus.ike.core.events import (
    CommandIssued,
    ComputeFinished,
    DatagramReceived,
    DeadlineReached,
    Event,
    FirstPacket,
    InstallFailed,
    LifetimeReached,
    OrphanFound,
    PacketWanted,
    PeerMoved,
    RuleIdle,
)
from isthmus.simulator.packets import Ike, Outer
from isthmus.simulator.plan import describe
from isthmus.values.errors import Malformed
from isthmus.values.registry import ikev1
from isthmus.values.registry.ikev2 import ExchangeType, label
from isthmus.values.spi import spi_text
from isthmus.wire.header import Header
from isthmus.wire.v1 import VERSION_1


def datagram_text(outer: Outer) -> str:
    """An IKE datagram: who to whom, which message, and a digest of its octets."""
    assert isinstance(outer.content, Ike)
    octets = outer.content.octets
    digest = hashlib.sha256(octets).hexdigest()[:8]
    try:
        header = Header.decode(octets)
    except Malformed:
        return f"{outer.source} > {outer.target} unreadable {len(octets)} octets {digest}"
    if header.version == VERSION_1:
        what = label(ikev1.ExchangeType, header.exchange)
    else:
        what = label(ExchangeType, header.exchange)
        what += " response" if header.is_response else " request"
    return (
        f"{outer.source} > {outer.target} {what} {header.message_id} "
        f"{header.spi_i.hex()[:8]}.{header.spi_r.hex()[:8]} {len(octets)} octets {digest}"
    )


def event_text(event: Event) -> str:
    """An event in few words. The result of a computation is secret and not shown."""
    name = type(event).__name__
    match event:
        case CommandIssued(command, ticket):
            return f"{name} {describe(command)} [ticket {ticket}]"
        case ComputeFinished(ticket, _, failure):
            return f"{name} job {ticket} {failure or 'done'}"
        case PacketWanted(tunnel, rule, packet, held):
            return f"{name} {tunnel}/{rule} {packet} held {held}"
        case LifetimeReached(spi, inbound, hard, unit):
            limit = "hard" if hard else "soft"
            return f"{name} {spi_text(spi)} {'in' if inbound else 'out'} {limit} {unit}"
        case PeerMoved(spi, endpoint):
            return f"{name} {spi_text(spi)} {endpoint}"
        case RuleIdle(tunnel, rule):
            return f"{name} {tunnel}/{rule}"
        case FirstPacket(spi):
            return f"{name} {spi_text(spi)}"
        case InstallFailed(spi, inbound, reason):
            return f"{name} {spi_text(spi)} {'in' if inbound else 'out'} {reason}"
        case OrphanFound(tunnel, rule, spi, inbound):
            return f"{name} {tunnel}/{rule} {spi_text(spi)} {'in' if inbound else 'out'}"
        case DatagramReceived() | DeadlineReached():
            return name
        case _:
            assert_never(event)
