"""Messages out: sealing, sending, repeating (RFC 7296 §2.1, §2.11)."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Fact
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.retransmit import HANDSHAKE, established
from isthmus.ike.v2.purposes import Purpose
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.window import Outstanding
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType, label
from isthmus.wire.describe import describe_payloads
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload, encode_message
from isthmus.wire.v2.notify import Notify


def send_request(
    ctx: Context,
    sa: SaV2,
    exchange: ExchangeType,
    payloads: tuple[Payload, ...],
    purpose: Purpose,
) -> bytes:
    """Send the next request of an IKE SA; returns its octets."""
    header = Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        next_payload=0,
        exchange=exchange,
        flags=HeaderFlag.INITIATOR if sa.initiator else HeaderFlag.NONE,
        message_id=sa.window.next_id,
    )
    octets = _encode(sa, header, payloads)
    if sa.established_at is None:
        schedule = HANDSHAKE
    else:
        schedule = established(sa.connection.liveness.timeout_s)
    sa.window.sent(Outstanding(header.message_id, exchange, octets, purpose, schedule, ctx.now))
    ctx.emit(SendDatagram(sa.local, sa.remote, octets))
    pause = schedule.pause(1, ctx.chance())
    ctx.agenda.arm(sa.owner, TimerKind.RETRANSMIT, ctx.later(pause))
    _record(ctx, sa, "exchange.sent", header, payloads, len(octets), sa.remote)
    return octets


def send_reply(
    ctx: Context,
    sa: SaV2,
    request: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> bytes:
    """Answer a request where it came from, and keep the octets for its repeats."""
    flags = HeaderFlag.RESPONSE | (HeaderFlag.INITIATOR if sa.initiator else HeaderFlag.NONE)
    header = Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        next_payload=0,
        exchange=request.exchange,
        flags=flags,
        message_id=request.message_id,
    )
    octets = _encode(sa, header, payloads)
    sa.window.answered(octets, request.exchange)
    ctx.emit(SendDatagram(local, remote, octets))
    _record(ctx, sa, "exchange.sent", header, payloads, len(octets), remote)
    return octets


def repeat_request(ctx: Context, sa: SaV2) -> bool:
    """The retransmission timer fired: send again, or return False when it is time to give up."""
    out = sa.window.outstanding
    if out is None:
        return True
    waited_s = ctx.now - out.first_sent_at
    if out.schedule.is_over(out.tries, waited_s):
        return False
    again = Outstanding(
        out.message_id,
        out.exchange,
        out.octets,
        out.purpose,
        out.schedule,
        out.first_sent_at,
        out.tries + 1,
    )
    sa.window.outstanding = again
    ctx.emit(SendDatagram(sa.local, sa.remote, out.octets))
    pause = out.schedule.pause(again.tries, ctx.chance(), waited_s)
    ctx.agenda.arm(sa.owner, TimerKind.RETRANSMIT, ctx.later(pause))
    ctx.record(
        "exchange.repeated",
        f"{label(ExchangeType, out.exchange)} unanswered, sent again (try {again.tries})",
        connection=sa.connection,
        facts=(
            ("exchange", label(ExchangeType, out.exchange)),
            ("message_id", out.message_id),
            ("tries", again.tries),
            ("remote", str(sa.remote)),
        ),
    )
    return True


def settle(ctx: Context, sa: SaV2) -> Outstanding:
    """Our request is answered: stop repeating it."""
    ctx.agenda.disarm(sa.owner, TimerKind.RETRANSMIT)
    return sa.window.settled()


def notify(kind: NotifyType, data: bytes = b"") -> Notify:
    """A notify that concerns no particular SA."""
    return Notify(kind=kind, data=data)


def record_received(
    ctx: Context, sa: SaV2, header: Header, payloads: tuple[Payload, ...], size: int
) -> None:
    """Tell the trace of an authentic message."""
    _record(ctx, sa, "exchange.received", header, payloads, size, sa.remote)


def _encode(sa: SaV2, header: Header, payloads: tuple[Payload, ...]) -> bytes:
    if header.exchange == ExchangeType.IKE_SA_INIT:
        return encode_message(header, payloads)
    assert sa.protector is not None, "after IKE_SA_INIT there are keys"
    return sa.protector.seal(header, payloads)


def _record(
    ctx: Context,
    sa: SaV2,
    event: str,
    header: Header,
    payloads: tuple[Payload, ...],
    size: int,
    remote: Endpoint,
) -> None:
    direction = "response" if header.is_response else "request"
    name = label(ExchangeType, header.exchange)
    inside = describe_payloads(payloads, is_response=header.is_response)
    facts: tuple[Fact, ...] = (
        ("exchange", name),
        ("message_id", header.message_id),
        ("direction", direction),
        ("payloads", inside),
        ("octets", size),
        ("remote", str(remote)),
        ("spi_i", sa.spi_i.hex()),
        ("spi_r", sa.spi_r.hex()),
    )
    ctx.record(event, f"{name} {direction}: {inside}", connection=sa.connection, facts=facts)
