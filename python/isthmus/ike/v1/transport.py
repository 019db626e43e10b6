"""Messages out and in: sealed, cut, repeated, opened (RFC 2408 §5.1, RFC 2409 appendix B)."""

from collections.abc import Callable
from functools import partial

from isthmus.crypto.compare import same
from isthmus.ike.core import standing
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.retransmit import HANDSHAKE, Backoff, established
from isthmus.ike.core.telling import tell_message, tell_repeated
from isthmus.ike.v1 import fragments
from isthmus.ike.v1.authoctets import informational_hash
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.sa import USED_IDS_MAX, USED_IDS_RENEW, Exchange, SaV1, Sent
from isthmus.values.address import Endpoint
from isthmus.values.errors import IntegrityFailed, Malformed
from isthmus.values.registry.ikev1 import ExchangeType, Flag
from isthmus.values.registry.ikev2 import label
from isthmus.wire.describe import describe_payloads
from isthmus.wire.header import Header
from isthmus.wire.v1 import Chain, Hash, Payload, decode_chain, encode_chain, encode_message
from isthmus.wire.v1.message import VERSION_1

A_FEW_TIMES = Backoff(tries_max=5)
"""For a message that nobody answers as such: its loss shows by silence alone."""
A_COUPLE_OF_TIMES = Backoff(factor=3.0, tries_max=3)
"""For a message that nothing answers at all."""
FOR_A_MINUTE = Backoff(factor=3.0, pause_max_s=40.0, tries_max=6)
"""For one of those after whose loss packets would be lost."""
EXCHANGES_MAX = 64
"""Exchanges of one phase 1 that are under way or remembered; the oldest that waits for nothing is
forgotten for a new one. A peer has no more than that under way; our own are as many as rules."""
Hashing = Callable[[SaV1, bytes], bytes]
"""What a HASH payload holds, of the octets behind it."""

# --- out ------------------------------------------------------------------------------------


def send_clear(
    ctx: Context, sa: SaV1, exchange: Exchange, payloads: tuple[Payload, ...], *, repeat: bool
) -> None:
    """Send a message of phase 1 before there are keys."""
    octets = encode_message(_header(sa, exchange), payloads)
    _out(ctx, sa, exchange, payloads, octets, repeat=repeat)


def send_sealed(
    ctx: Context, sa: SaV1, exchange: Exchange, payloads: tuple[Payload, ...], *, repeat: bool
) -> None:
    """Send the next encrypted message of an exchange; its HASH payload is among the payloads."""
    assert sa.protector is not None, "keys exist"
    first, plain = encode_chain(payloads)
    octets, exchange.iv = sa.protector.seal(_header(sa, exchange), first, plain, exchange.iv)
    _out(ctx, sa, exchange, payloads, octets, repeat=repeat)


def send_hashed(
    ctx: Context,
    sa: SaV1,
    exchange: Exchange,
    payloads: tuple[Payload, ...],
    hashing: Hashing,
    *,
    repeat: bool,
) -> None:
    """Send an encrypted message whose first payload is a HASH over all the others."""
    _, rest = encode_chain(payloads)
    send_sealed(ctx, sa, exchange, (Hash(hashing(sa, rest)), *payloads), repeat=repeat)


def _header(sa: SaV1, exchange: Exchange) -> Header:
    return Header(
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        next_payload=0,
        version=VERSION_1,
        exchange=exchange.kind,
        message_id=exchange.message_id,
    )


def _out(
    ctx: Context,
    sa: SaV1,
    exchange: Exchange,
    payloads: tuple[Payload, ...],
    octets: bytes,
    *,
    repeat: bool,
) -> None:
    datagrams: tuple[bytes, ...] = (octets,)
    if sa.peer_can.fragments and sa.connection.fragmentation.enabled:
        sa.fragment_id = sa.fragment_id % 0xFFFF + 1
        size = sa.connection.fragmentation.size
        mode = ExchangeType(sa.phase1.kind)
        header = _header(sa, exchange)
        datagrams = fragments.cut(header, octets, size, sa.remote, sa.fragment_id, mode)
    exchange.reply = datagrams
    exchange.sent = None
    if repeat:
        schedule = _schedule(sa)
        due_at = ctx.later(schedule.pause(1, ctx.chance()))
        exchange.sent = Sent(datagrams, schedule, ctx.now, due_at)
    rearm(ctx, sa)
    emit(ctx, sa, datagrams)
    tell_message(
        ctx,
        sa,
        "exchange.sent",
        exchange=label(ExchangeType, exchange.kind),
        message_id=exchange.message_id,
        is_response=bool(exchange.heard),
        describe=partial(describe_payloads, payloads),
        octets=sum(map(len, datagrams)),
        pieces=len(datagrams),
        remote=sa.remote,
    )


def _schedule(sa: SaV1) -> Backoff:
    return HANDSHAKE if sa.established_at is None else established(sa.connection.liveness.timeout_s)


def emit(ctx: Context, sa: SaV1, datagrams: tuple[bytes, ...]) -> None:
    """To where the peer is now."""
    for octets in datagrams:
        ctx.emit(SendDatagram(sa.local, sa.remote, octets))


# --- repeats --------------------------------------------------------------------------------


def answered(ctx: Context, sa: SaV1, exchange: Exchange) -> None:
    """Our last message has been answered: it is not sent again."""
    exchange.sent = None
    rearm(ctx, sa)


def rearm(ctx: Context, sa: SaV1) -> None:
    """One timer stands for all exchanges: it fires for the one that is due first."""
    due = [e.sent.due_at for e in sa.every_exchange if e.sent is not None]
    if due:
        ctx.agenda.arm(sa.owner, TimerKind.RETRANSMIT, min(due))
    else:
        ctx.agenda.disarm(sa.owner, TimerKind.RETRANSMIT)


def repeat_due(ctx: Context, sa: SaV1) -> tuple[Exchange, ...]:
    """Send again what is due; returns the exchanges whose last repeat has gone unanswered."""
    over: list[Exchange] = []
    for exchange in sa.every_exchange:
        sent = exchange.sent
        if sent is None or sent.due_at > ctx.now:
            continue
        waited_s = ctx.now - sent.first_sent_at
        if sent.schedule.is_over(sent.tries, waited_s):
            exchange.sent = None
            over.append(exchange)
            continue
        sent.tries += 1
        sent.due_at = ctx.later(sent.schedule.pause(sent.tries, ctx.chance(), waited_s))
        emit(ctx, sa, sent.datagrams)
        tell_repeated(
            ctx,
            sa,
            exchange=label(ExchangeType, exchange.kind),
            message_id=exchange.message_id,
            tries=sent.tries,
            pieces=len(sent.datagrams),
        )
    rearm(ctx, sa)
    return tuple(over)


# --- exchanges ------------------------------------------------------------------------------


def begin(ctx: Context, sa: SaV1, kind: ExchangeType, message_id: int | None = None) -> Exchange:
    """An exchange under a message ID of its own: a fresh one of ours, or the peer's."""
    assert sa.suite is not None and sa.suite.prf is not None
    number = _fresh_id(ctx, sa) if message_id is None else message_id
    if message_id is None:
        sa.own_ids.add(number)
    # A proof that does not hold is refused before phase 1 has its last block.
    base = sa.last_block or sa.phase1.iv
    exchange = Exchange(number, kind, phase2_iv(sa.suite.prf, base, number))
    idle = [e for e in sa.exchanges.values() if e.quick is None and e.sent is None]
    for oldest in idle[: max(0, len(sa.exchanges) + 1 - EXCHANGES_MAX)]:
        del sa.exchanges[oldest.message_id]
    if message_id is not None:
        theirs = sum(number in sa.used_ids for number in sa.exchanges)
        if theirs >= EXCHANGES_MAX:
            raise Dropped("exchanges_limit")
    sa.exchanges[number] = exchange
    return exchange


def _fresh_id(ctx: Context, sa: SaV1) -> int:
    """Random, and of no other exchange of this phase 1 (RFC 2408 §3.1)."""
    while True:
        number = int.from_bytes(ctx.entropy.octets(4), "big")
        if number and number not in sa.own_ids and number not in sa.used_ids:
            return number


def end(ctx: Context, sa: SaV1, exchange: Exchange) -> None:
    """Forget an exchange, and what would be sent again."""
    sa.exchanges.pop(exchange.message_id, None)
    rearm(ctx, sa)


def send_once(ctx: Context, sa: SaV1, payloads: tuple[Payload, ...]) -> tuple[bytes, ...]:
    """An Informational: protected by a HASH, and neither answered nor repeated (RFC 2409 §5.7).
    Returns the datagrams."""
    exchange = begin(ctx, sa, ExchangeType.INFORMATIONAL)
    send_hashed(ctx, sa, exchange, payloads, hash_over(exchange.message_id), repeat=False)
    end(ctx, sa, exchange)
    return exchange.reply


def send_insistently(
    ctx: Context, sa: SaV1, payloads: tuple[Payload, ...], *, for_long: bool
) -> None:
    """An Informational whose loss would do harm: a few times, since nothing tells of its coming.
    The peer takes the first that comes, and knows the others as its repeats."""
    exchange = begin(ctx, sa, ExchangeType.INFORMATIONAL)
    send_hashed(ctx, sa, exchange, payloads, hash_over(exchange.message_id), repeat=True)
    assert exchange.sent is not None, "it is to be repeated"
    exchange.sent.schedule = FOR_A_MINUTE if for_long else A_COUPLE_OF_TIMES


def hash_over(message_id: int) -> Hashing:
    """HASH(1): of a Quick Mode's first message, an Informational, a Transaction."""

    def hashing(sa: SaV1, rest: bytes) -> bytes:
        assert sa.suite is not None and sa.suite.prf is not None and sa.keys is not None
        return informational_hash(sa.suite.prf, sa.keys.skeyid_a, message_id, rest)

    return hashing


# --- in -------------------------------------------------------------------------------------


def open_sealed(sa: SaV1, header: Header, octets: bytes, iv: bytes) -> tuple[Chain, bytes]:
    """The payloads of an encrypted message and the next IV, which is to be taken only once the
    message has proved to be the peer's. Raises Dropped for what cannot be read."""
    if not header.flags & Flag.ENCRYPTION:
        raise Dropped("not_encrypted")
    if sa.protector is None:
        raise Dropped("no_keys_yet")
    try:
        plain, next_iv = sa.protector.open(octets, iv)
        return decode_chain(header.next_payload, plain, padded=True), next_iv
    except (IntegrityFailed, Malformed) as failure:
        raise Dropped("unreadable") from failure


def verify(sa: SaV1, chain: Chain, hashing: Hashing) -> None:
    """The first payload is a HASH over the others. Raises Dropped unless it is right."""
    head = chain.payloads[0] if chain.payloads else None
    if not isinstance(head, Hash) or not same(head.data, hashing(sa, chain.after(0))):
        raise Dropped("integrity")


def heard(ctx: Context, sa: SaV1, local: Endpoint, remote: Endpoint) -> None:
    """An authentic and new message of the peer has come: it lives, is where that came from, and
    phase 1 stands at its end too."""
    standing.follow(ctx, sa, local, remote)
    sa.heard_at = ctx.now
    sa.probe_since = None
    if sa.phase1.sent is not None:
        answered(ctx, sa, sa.phase1)


def must_be_new(sa: SaV1, message_id: int) -> None:
    """For the first message of an exchange of the peer. Raises Dropped for an ID that had one
    already: an old message of the peer, or one of ours that somebody sends back."""
    if message_id in sa.used_ids:
        raise Dropped("message_id")
    if message_id in sa.own_ids:
        raise Dropped("reflected")


def note_used(ctx: Context, sa: SaV1, message_id: int) -> None:
    """The peer has begun an exchange under this ID: another one may not have it."""
    sa.used_ids[message_id] = None
    if len(sa.used_ids) == USED_IDS_RENEW and sa.is_open:
        ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, ctx.now)
    while len(sa.used_ids) > USED_IDS_MAX:
        sa.used_ids.popitem(last=False)


def tell_received(
    ctx: Context, sa: SaV1, header: Header, chain: Chain, octets: int, *, is_response: bool
) -> None:
    """Tell the trace of a message of the peer."""
    tell_message(
        ctx,
        sa,
        "exchange.received",
        exchange=label(ExchangeType, header.exchange),
        message_id=header.message_id,
        is_response=is_response,
        describe=partial(describe_payloads, chain.payloads),
        octets=octets,
        pieces=1,
        remote=sa.remote,
    )


def is_from_same_place(sa: SaV1, remote: Endpoint) -> bool:
    """Before authentication, a phase 1 stays between the addresses that it began at."""
    return sa.remote.address == remote.address
