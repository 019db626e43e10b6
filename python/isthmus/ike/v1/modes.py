"""Parts of messages that Main Mode and Aggressive Mode have alike."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.sa import NatSeen
from isthmus.ike.v1 import methods, nat, phase1
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.transport import answered
from isthmus.policy.connection import Connection
from isthmus.values.errors import Malformed
from isthmus.wire.header import Header
from isthmus.wire.v1 import Chain, NatDetection, Payload, decode_message
from isthmus.wire.v1.rules import check

NONCE_SIZE = 32
"""Between 8 and 256 octets (RFC 2409 §5); as in IKEv2."""


def clear(header: Header, octets: bytes, place: str) -> Chain:
    """A message in clear. Raises Dropped for what does not belong there."""
    try:
        _, chain = decode_message(octets)
        check(header.exchange, place, chain.payloads)
    except Malformed as malformed:
        raise Dropped("malformed") from malformed
    return chain


def taken(ctx: Context, sa: SaV1, octets: bytes) -> None:
    """The message that was due is here; its repeats are known from now on."""
    sa.phase1.heard = digest(octets, sa.remote)
    sa.doubted = None
    ctx.agenda.disarm(sa.owner, TimerKind.GRACE)
    answered(ctx, sa, sa.phase1)


def requests(ctx: Context, sa: SaV1, connections: tuple[Connection, ...]) -> tuple[Payload, ...]:
    """Whose certificates we would like, if the peer is to sign."""
    assert sa.proving is not None
    if not methods.signs(sa.proving.method, initiator=not sa.initiator):
        return ()
    return phase1.requests(ctx, connections)


def nat_detection(ctx: Context, sa: SaV1) -> tuple[NatDetection, ...]:
    """Where both ends are, as we see it."""
    return nat.detection_payloads(
        phase1.prf_of(sa),
        sa.spi_i,
        sa.spi_r,
        sa.local,
        sa.remote,
        sa.connection.nat,
        sa.peer_can.nat_traversal,
        ctx.entropy,
    )


def nat_seen(sa: SaV1, chain: Chain) -> NatSeen:
    """Where translators stand, by what the peer sees."""
    return nat.seen(
        chain.payloads,
        phase1.prf_of(sa),
        sa.spi_i,
        sa.spi_r,
        sa.local,
        sa.remote,
        sa.connection.nat,
        sa.peer_can.nat_traversal,
    )
