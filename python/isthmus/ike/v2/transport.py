"""Messages out: sealing, cutting, sending, repeating (RFC 7296 §2.1, §2.11; RFC 7383)."""

from dataclasses import replace
from functools import partial

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.retransmit import HANDSHAKE, established, patience_left
from isthmus.ike.core.telling import tell_message, tell_repeated
from isthmus.ike.v2 import fragments
from isthmus.ike.v2.fragments import Arrival, Parcel
from isthmus.ike.v2.purposes import ForProbe, Purpose
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.window import Outstanding
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType, label
from isthmus.values.time import Seconds
from isthmus.wire.describe import describe_payloads
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload, encode_chain, encode_message
from isthmus.wire.v2.notify import Notify

REPEAT_PAUSE_S: Seconds = 0.1
"""A reply in pieces is not sent more often: one small piece, caught on the road and sent again
under a forged address, would fetch all of them each time."""


def send_request(
    ctx: Context,
    sa: SaV2,
    exchange: ExchangeType,
    payloads: tuple[Payload, ...],
    purpose: Purpose,
) -> None:
    """Send the next request of an IKE SA."""
    header = Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        next_payload=0,
        exchange=exchange,
        flags=HeaderFlag.INITIATOR if sa.initiator else HeaderFlag.NONE,
        message_id=sa.window.next_id,
    )
    parcel = _pack(sa, header, payloads, sa.remote)
    if sa.established_at is None:
        schedule = HANDSHAKE
    else:
        schedule = established(_patience_s(ctx, sa, purpose))
    sa.window.sent(Outstanding(header.message_id, exchange, parcel, purpose, schedule, ctx.now))
    _emit(ctx, parcel, sa.local, sa.remote)
    pause = schedule.pause(1, ctx.chance())
    ctx.agenda.arm(sa.owner, TimerKind.RETRANSMIT, ctx.later(pause))
    _record_sent(ctx, sa, parcel, payloads, sa.remote)


def _patience_s(ctx: Context, sa: SaV2, purpose: Purpose) -> Seconds:
    """How long a request may go unanswered."""
    timeout_s = sa.connection.liveness.timeout_s
    if not isinstance(purpose, ForProbe):
        return timeout_s
    return patience_left(timeout_s, ctx.now - sa.heard_at)


def send_reply(
    ctx: Context,
    sa: SaV2,
    request: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> tuple[bytes, ...]:
    """Answer a request where it came from, and keep the datagrams for its repeats."""
    flags = HeaderFlag.RESPONSE | (HeaderFlag.INITIATOR if sa.initiator else HeaderFlag.NONE)
    header = Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        next_payload=0,
        exchange=request.exchange,
        flags=flags,
        message_id=request.message_id,
    )
    parcel = _pack(sa, header, payloads, remote)
    sa.window.answered(parcel, ctx.now)
    _emit(ctx, parcel, local, remote)
    _record_sent(ctx, sa, parcel, payloads, remote)
    return parcel.datagrams


def repeat_request(ctx: Context, sa: SaV2) -> bool:
    """The retransmission timer fired: send again, or return False when it is time to give up."""
    out = sa.window.outstanding
    if out is None:
        return True
    waited_s = ctx.now - out.first_sent_at
    if out.schedule.is_over(out.tries, waited_s):
        return False
    parcel = _smaller(sa, out.parcel, out.tries_of_cut, sa.remote)
    again = replace(
        out,
        parcel=parcel,
        tries=out.tries + 1,
        # Smaller pieces are a new attempt: its pauses begin anew (RFC 7383 §2.5.2).
        tries_of_cut=out.tries_of_cut + 1 if parcel is out.parcel else 1,
    )
    sa.window.outstanding = again
    _emit(ctx, parcel, sa.local, sa.remote)
    pause = out.schedule.pause(again.tries_of_cut, ctx.chance(), waited_s)
    ctx.agenda.arm(sa.owner, TimerKind.RETRANSMIT, ctx.later(pause))
    tell_repeated(
        ctx,
        sa,
        exchange=label(ExchangeType, out.exchange),
        message_id=out.message_id,
        tries=again.tries,
        pieces=len(parcel.datagrams),
        cut_anew=parcel is not out.parcel,
    )
    return True


def repeat_reply(ctx: Context, sa: SaV2, local: Endpoint, remote: Endpoint) -> bool:
    """The request that was answered last came again: so does the answer, in smaller pieces when
    the present ones seem not to arrive. False: it has just been sent."""
    window = sa.window
    assert window.last_reply is not None, "only an answered request is a repeat"
    assert window.reply_sent_at is not None, "it went out"
    in_pieces = len(window.last_reply.datagrams) > 1
    if in_pieces and ctx.now < window.reply_sent_at + REPEAT_PAUSE_S:
        return False
    parcel = _smaller(sa, window.last_reply, window.reply_tries_of_cut, remote)
    is_same = parcel is window.last_reply
    window.reply_tries_of_cut = window.reply_tries_of_cut + 1 if is_same else 1
    window.last_reply = parcel
    window.reply_sent_at = ctx.now
    _emit(ctx, parcel, local, remote)
    return True


def settle(ctx: Context, sa: SaV2) -> Outstanding:
    """Our request is answered: stop repeating it."""
    ctx.agenda.disarm(sa.owner, TimerKind.RETRANSMIT)
    return sa.window.settled()


def notify(kind: NotifyType, data: bytes = b"") -> Notify:
    """A notify that concerns no particular SA."""
    return Notify(kind=kind, data=data)


def record_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    arrival: Arrival,
) -> None:
    """Tell the trace of an authentic message."""
    _record(
        ctx,
        sa,
        "exchange.received",
        header,
        payloads,
        arrival.octets,
        arrival.pieces,
        sa.remote,
    )


def _pack(sa: SaV2, header: Header, payloads: tuple[Payload, ...], remote: Endpoint) -> Parcel:
    if header.exchange == ExchangeType.IKE_SA_INIT:
        return Parcel(header, (encode_message(header, payloads),))
    assert sa.protector is not None, "after IKE_SA_INIT there are keys"
    if not sa.fragments_agreed:
        return Parcel(header, (sa.protector.seal(header, payloads),))
    return fragments.pack(sa.protector, header, *encode_chain(payloads), sa.fragment_size, remote)


def _smaller(sa: SaV2, parcel: Parcel, tries: int, remote: Endpoint) -> Parcel:
    """The same message in smaller pieces, once it has been sent in vain a few times; else itself.

    Messages that follow are cut alike (RFC 7383 §2.5.2).
    """
    if not sa.fragments_agreed or sa.protector is None or tries < fragments.TRIES_PER_SIZE:
        return parcel
    smaller = fragments.pack_smaller(sa.protector, parcel, remote)
    if smaller is None:
        return parcel
    sa.fragment_size = min(sa.fragment_size, smaller.size)
    return smaller


def _emit(ctx: Context, parcel: Parcel, local: Endpoint, remote: Endpoint) -> None:
    for octets in parcel.datagrams:
        ctx.emit(SendDatagram(local, remote, octets))


def _record_sent(
    ctx: Context, sa: SaV2, parcel: Parcel, payloads: tuple[Payload, ...], remote: Endpoint
) -> None:
    pieces = len(parcel.datagrams)
    _record(ctx, sa, "exchange.sent", parcel.header, payloads, parcel.octets, pieces, remote)


def _record(
    ctx: Context,
    sa: SaV2,
    event: str,
    header: Header,
    payloads: tuple[Payload, ...],
    size: int,
    pieces: int,
    remote: Endpoint,
) -> None:
    tell_message(
        ctx,
        sa,
        event,
        exchange=label(ExchangeType, header.exchange),
        message_id=header.message_id,
        is_response=header.is_response,
        describe=partial(describe_payloads, payloads, is_response=header.is_response),
        octets=size,
        pieces=pieces,
        remote=remote,
    )
