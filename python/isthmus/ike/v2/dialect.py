"""What a message, a timer or a wish does to an IKEv2 IKE SA."""

from typing import assert_never

from isthmus.ike.core import standing
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.fragments import NotKept
from isthmus.ike.core.states import Closed, Established, Refused
from isthmus.ike.core.telling import tell_abandoned
from isthmus.ike.v2 import closing, fragments, look
from isthmus.ike.v2.exchanges import (
    create_child_sa,
    ike_auth,
    ike_sa_init,
    informational,
    rekey_ike,
)
from isthmus.ike.v2.fragments import Arrival, Assembled
from isthmus.ike.v2.purposes import (
    ForAuth,
    ForChild,
    ForDeleteChild,
    ForDeleteIke,
    ForIkeRekey,
    ForInit,
    ForProbe,
)
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import (
    AwaitAuthRequest,
    AwaitInitReply,
    Closing,
    Replaced,
)
from isthmus.ike.v2.transport import (
    notify,
    record_received,
    repeat_reply,
    repeat_request,
    send_reply,
    settle,
)
from isthmus.ike.v2.window import Outstanding, Verdict
from isthmus.ike.v2.wishes import (
    WantChild,
    WantDeleteChild,
    WantDeleteIke,
    WantProbe,
    WantRekeyChild,
    WantRekeyIke,
    Wish,
)
from isthmus.values.address import Endpoint
from isthmus.values.errors import IntegrityFailed, Malformed, UnsupportedCritical
from isthmus.values.registry.ikev2 import ExchangeType, NotifyType, SecurityProtocol
from isthmus.wire.cursor import Reader
from isthmus.wire.header import Header
from isthmus.wire.v2.encrypted import EncryptedFragment
from isthmus.wire.v2.message import Message, Payload, decode_chain, read_message
from isthmus.wire.v2.rules import check
from isthmus.wire.v2.security_association import SecurityAssociation


def receive(
    ctx: Context, sa: SaV2, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """A datagram with this SA's SPI. Raises Dropped when it must not be believed."""
    if header.exchange == ExchangeType.IKE_SA_INIT:
        if sa.has_moved_on and remote.address != sa.remote.address:
            raise Dropped("other_address")
        _receive_init(ctx, sa, header, octets)
        return
    if sa.protector is None:
        raise Dropped("no_keys_yet")
    if header.from_initiator == sa.initiator:
        raise Dropped("reflected")
    if header.spi_i != sa.spi_i or header.spi_r != sa.spi_r:
        raise Dropped("other_spi")
    try:
        message = read_message(Reader(octets), header)
    except UnsupportedCritical as unsupported:
        # The outside is nobody's word: only what SK holds is answered.
        raise Dropped("unsupported_critical") from unsupported
    except Malformed as malformed:
        raise Dropped("malformed") from malformed
    arrival, assembled = Arrival(len(octets)), None
    if message.payloads and isinstance(message.payloads[-1], EncryptedFragment):
        assembled = _gather(ctx, sa, message, message.payloads[-1], octets, local, remote)
        if assembled is None:
            return
        arrival = assembled.arrival
    try:
        if assembled is not None:
            payloads = decode_chain(assembled.first, assembled.plain)
        else:
            payloads = sa.protector.open(octets, message)
    except IntegrityFailed as failure:
        raise Dropped("integrity") from failure
    except UnsupportedCritical as unsupported:
        _unsupported(ctx, sa, header, unsupported, local, remote)
        return
    except Malformed as malformed:
        _syntax_error(ctx, sa, header, malformed, local, remote)
        return
    if header.is_response:
        _response(ctx, sa, header, payloads, arrival)
    else:
        _request(ctx, sa, header, payloads, arrival, local, remote)
    pump(ctx, sa)


def _gather(
    ctx: Context,
    sa: SaV2,
    message: Message,
    piece: EncryptedFragment,
    octets: bytes,
    local: Endpoint,
    remote: Endpoint,
) -> Assembled | None:
    """A piece of a message (RFC 7383 §2.6): the message, when this was the last one missing.

    Nothing is kept that is not authentic, nor anything that no exchange waits for.
    """
    header = message.header
    if not sa.fragments_agreed:
        raise Dropped("fragments_not_agreed")
    is_repeat = _is_due(sa, header) is Verdict.REPEAT
    if is_repeat and piece.number != 1:
        raise Dropped("repeat")
    try:
        if not is_repeat:
            sa.assembly.judge(header, piece)
        assert sa.protector is not None, "the caller has looked"
        plain = sa.protector.open_fragment(octets, message)
        if is_repeat:
            # One piece of them asks for the answer again, not each (RFC 7383 §2.6.1).
            raise Dropped("repeat" if repeat_reply(ctx, sa, local, remote) else "repeat_at_once")
        return sa.assembly.keep(
            ctx, header, piece, plain, is_authenticated=sa.established_at is not None
        )
    except NotKept as why:
        raise Dropped(str(why)) from why
    except IntegrityFailed as failure:
        raise Dropped("integrity") from failure
    except Malformed as malformed:
        raise Dropped("malformed") from malformed


def _is_due(sa: SaV2, header: Header) -> Verdict:
    """Does the window wait for this message, or for repeats of it? Raises Dropped if neither."""
    if header.is_response:
        if not sa.window.matches(header.message_id, header.exchange):
            raise Dropped("not_asked")
        return Verdict.NEW
    verdict = sa.window.verdict(header.message_id, header.exchange)
    match verdict:
        case Verdict.OUTSIDE:
            raise Dropped("message_id")
        case Verdict.BUSY:
            raise Dropped("busy")
        case Verdict.NEW if not _in_order(sa, header.exchange):
            raise Dropped("exchange_out_of_order")
        case _:
            return verdict


def _receive_init(ctx: Context, sa: SaV2, header: Header, octets: bytes) -> None:
    """Only a reply to our own first message gets here; repeats of requests are the engine's."""
    if not header.is_response or not sa.initiator or header.from_initiator:
        raise Dropped("unexpected_init")
    if not sa.window.matches(header.message_id, header.exchange):
        raise Dropped("not_asked")
    try:
        message = read_message(Reader(octets), header)
        check(header.exchange, True, message.payloads)
        ike_sa_init.reply_received(ctx, sa, header, message.payloads, octets)
    except Malformed as malformed:
        # Anybody could have sent it: wait for a better one (RFC 7296 §2.21.1).
        raise Dropped("malformed") from malformed


def _response(
    ctx: Context, sa: SaV2, header: Header, payloads: tuple[Payload, ...], arrival: Arrival
) -> None:
    if not sa.window.matches(header.message_id, header.exchange):
        raise Dropped("not_asked")
    sa.assembly.discard(ctx, is_response=True)
    out = sa.window.outstanding
    assert out is not None, "it matched"
    sa.heard_at = ctx.now
    record_received(ctx, sa, header, payloads, arrival)
    try:
        check(header.exchange, True, payloads)
        match out.purpose:
            case ForInit():
                raise Dropped("not_asked")
            case ForAuth():
                ike_auth.reply_received(ctx, sa, header, payloads)
            case ForChild() as purpose:
                create_child_sa.reply_received(ctx, sa, purpose, payloads)
            case ForIkeRekey() as purpose:
                rekey_ike.reply_received(ctx, sa, purpose, payloads)
            case ForDeleteChild() | ForDeleteIke() | ForProbe() as purpose:
                informational.reply_received(ctx, sa, purpose, payloads)
            case _:
                assert_never(out.purpose)
    except Malformed as malformed:
        # The peer is authentic and writes nonsense: both sides no longer agree on what stands.
        if sa.window.outstanding is out:
            settle(ctx, sa)
        _abandon(ctx, sa, f"the peer's answer cannot be read: {malformed}")


def _abandon(ctx: Context, sa: SaV2, reason: str) -> None:
    failed = Failed("E115", reason, "")
    if sa.established_at is None:
        closing.give_up(ctx, sa, failed)
    else:
        closing.lost(ctx, sa, reason, failed)


def _request(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    arrival: Arrival,
    local: Endpoint,
    remote: Endpoint,
) -> None:
    match sa.window.verdict(header.message_id, header.exchange):
        case Verdict.OUTSIDE:
            raise Dropped("message_id")
        case Verdict.BUSY:
            raise Dropped("busy")
        case Verdict.REPEAT:
            raise Dropped("repeat" if repeat_reply(ctx, sa, local, remote) else "repeat_at_once")
        case Verdict.NEW:
            sa.heard_at = ctx.now
            for child in sa.children.values():
                child.unconfirmed = False  # Who asks anew has had our answer (RFC 7296 §2.3).
            sa.assembly.discard(ctx, is_response=False)
            sa.window.request = arrival
            if arrival.largest is not None:
                sa.fragment_size = fragments.follow(sa.fragment_size, arrival.largest, remote)
    if not _in_order(sa, header.exchange):
        # Before authentication nothing but IKE_AUTH is heard, and nothing else is answered.
        raise Dropped("exchange_out_of_order")
    if sa.established_at is not None:
        standing.follow(ctx, sa, local, remote)
    try:
        check(header.exchange, False, payloads)
        if header.exchange != ExchangeType.IKE_AUTH:
            record_received(ctx, sa, header, payloads, arrival)
        if sa.undecided_for is not None and not look.closes_ike(payloads):
            rekey_ike.peer_has_decided(ctx, sa)
        _dispatch(ctx, sa, header, payloads, local, remote)
    except Malformed as malformed:
        _syntax_error(ctx, sa, header, malformed, local, remote)


def _dispatch(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    match header.exchange:
        case ExchangeType.IKE_AUTH:
            ike_auth.request_received(ctx, sa, header, payloads, local, remote)
        case ExchangeType.CREATE_CHILD_SA:
            if _is_ike_rekey(payloads):
                rekey_ike.request_received(ctx, sa, header, payloads, local, remote)
            else:
                create_child_sa.request_received(ctx, sa, header, payloads, local, remote)
        case _:
            informational.request_received(ctx, sa, header, payloads, local, remote)


def _in_order(sa: SaV2, exchange: int) -> bool:
    """May this exchange be asked for in the SA's state?"""
    if exchange == ExchangeType.IKE_AUTH:
        return isinstance(sa.state, AwaitAuthRequest)
    known = exchange in (ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL)
    return known and sa.is_authenticated


def _is_ike_rekey(payloads: tuple[Payload, ...]) -> bool:
    offer = look.first(payloads, SecurityAssociation)
    return (
        offer is not None
        and bool(offer.proposals)
        and all(p.protocol == SecurityProtocol.IKE for p in offer.proposals)
    )


def _syntax_error(
    ctx: Context,
    sa: SaV2,
    header: Header,
    malformed: Malformed,
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """An authentic peer wrote nonsense: say so; it is fatal for the SA (RFC 7296 §2.21.3)."""
    if header.is_response:
        if sa.window.matches(header.message_id, header.exchange):
            settle(ctx, sa)
            _abandon(ctx, sa, f"the peer's answer cannot be read: {malformed}")
        return
    if not _in_order(sa, header.exchange):
        raise Dropped("exchange_out_of_order")
    if sa.window.verdict(header.message_id, header.exchange) is not Verdict.NEW:
        raise Dropped("message_id")
    send_reply(ctx, sa, header, (notify(NotifyType.INVALID_SYNTAX),), local, remote)
    reason = f"the peer's request cannot be read: {malformed}"
    if sa.established_at is None:
        closing.refuse(ctx, sa)
        ctx.lifecycle.phase1_failed(ctx, sa, Failed("E115", reason))
    else:
        closing.lost(ctx, sa, reason, Failed("E115", reason))


def _unsupported(
    ctx: Context,
    sa: SaV2,
    header: Header,
    unsupported: UnsupportedCritical,
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """RFC 7296 §2.5: the request is refused whole, the SA lives on."""
    if (
        header.is_response
        or sa.window.verdict(header.message_id, header.exchange) is not Verdict.NEW
    ):
        raise Dropped("unsupported_critical")
    if not _in_order(sa, header.exchange):
        raise Dropped("exchange_out_of_order")
    kind = bytes((unsupported.payload_type,))
    reply = notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, kind)
    send_reply(ctx, sa, header, (reply,), local, remote)
    if sa.established_at is None:
        # There is one IKE_AUTH to authenticate with (no EAP), and it is refused.
        closing.refuse(ctx, sa)
        failed = Failed("E115", f"the peer wants payload {unsupported.payload_type} understood")
        ctx.lifecycle.phase1_failed(ctx, sa, failed)


# --- wishes and timers ----------------------------------------------------------------------


def wish(ctx: Context, sa: SaV2, wanted: Wish) -> None:
    """Ask for something when its turn comes; the same wish is not queued twice."""
    if isinstance(sa.state, Closed):
        return
    if wanted not in sa.wishes:
        if isinstance(wanted, WantDeleteIke):
            sa.wishes.clear()
        sa.wishes.append(wanted)
    pump(ctx, sa)


def pump(ctx: Context, sa: SaV2) -> None:
    """Send the next request if none is under way."""
    if sa.answering_ike_rekey:
        return  # What we asked now could end on an SA that is about to be replaced.
    while sa.wishes and sa.window.outstanding is None and not sa.preparing_request:
        if sa.established_at is None and not isinstance(sa.state, Refused):
            return
        wanted = sa.wishes.popleft()
        if _begin(ctx, sa, wanted):
            return


def _begin(ctx: Context, sa: SaV2, wanted: Wish) -> bool:
    """True when a request went out or is being prepared."""
    match wanted:
        case WantDeleteIke():
            if isinstance(sa.state, Closing | Closed):
                return False
            return informational.delete_ike(ctx, sa, wanted)
        case WantDeleteChild():
            return sa.is_authenticated and informational.delete_child(ctx, sa, wanted)
        case WantProbe():
            return sa.is_open and informational.probe(ctx, sa)
        case WantChild() | WantRekeyChild():
            return sa.is_open and create_child_sa.start(ctx, sa, wanted)
        case WantRekeyIke():
            return sa.is_open and rekey_ike.start(ctx, sa)
        case _:
            assert_never(wanted)


def timer(ctx: Context, sa: SaV2, kind: TimerKind) -> None:
    """A timer of the IKE SA fired."""
    match kind:
        case TimerKind.RETRANSMIT:
            if not ike_sa_init.next_address(ctx, sa) and not repeat_request(ctx, sa):
                _unanswered(ctx, sa)
        case TimerKind.GRACE:
            ike_sa_init.grace_over(ctx, sa)
        case TimerKind.HALF_OPEN:
            _never_authenticated(ctx, sa)
        case TimerKind.LIVENESS:
            _liveness(ctx, sa)
        case TimerKind.IKE_REKEY:
            wish(ctx, sa, WantRekeyIke())
        case TimerKind.IKE_EXPIRE:
            wish(ctx, sa, WantDeleteIke("phase 1 reached its lifetime", outlived=True))
        case TimerKind.RETIRE:
            if isinstance(sa.state, Replaced):
                closing.forget(ctx, sa)
            else:
                wish(ctx, sa, WantDeleteIke("another phase 1 with this peer took its place"))
        case TimerKind.CHILDLESS:
            if not sa.children:
                wish(ctx, sa, WantDeleteIke("phase 2 was refused"))
        case TimerKind.FRAGMENTS:
            _pieces_too_old(ctx, sa)
        case TimerKind.PHASE1_IDLE:
            if not sa.children:
                wish(ctx, sa, WantDeleteIke("phase 1 was idle"))
        case (
            TimerKind.CHILD_REKEY
            | TimerKind.CHILD_EXPIRE
            | TimerKind.CHILD_CONFIRM
            | TimerKind.LINGER
            | TimerKind.RETRY
            | TimerKind.ADOPT
        ):
            raise AssertionError(f"{kind} is no timer of an IKE SA")
        case _:
            assert_never(kind)


def child_timer(ctx: Context, sa: SaV2, child: ChildSa, kind: TimerKind) -> None:
    """A timer of a Child SA fired."""
    if kind is TimerKind.CHILD_REKEY and child.state is ChildState.INSTALLED:
        wish(ctx, sa, WantRekeyChild(child.spi_in))
    elif kind is TimerKind.CHILD_CONFIRM and child.standby:
        # The peer neither uses the pair that it asked for nor deletes the old one. If it has lost
        # the pair, its answer says so while the old one still carries the traffic.
        wish(ctx, sa, WantRekeyChild(child.spi_in))
    elif kind is TimerKind.CHILD_EXPIRE:
        wish(ctx, sa, WantDeleteChild(child.spi_in))


def _never_authenticated(ctx: Context, sa: SaV2) -> None:
    if sa.established_at is not None:
        return
    if isinstance(sa.state, Refused):
        closing.forget(ctx, sa)
        return
    tell_abandoned(ctx, sa)
    closing.forget(ctx, sa)


def _pieces_too_old(ctx: Context, sa: SaV2) -> None:
    """The rest of a message has not come in time: its sender may begin again."""
    for came, total in sa.assembly.expire(ctx):
        ctx.record(
            "datagram.dropped",
            f"{sa.remote}: only {came} of {total} pieces of a message came",
            connection=sa.connection,
            facts=(("reason", "fragments_missing"), ("remote", str(sa.remote))),
        )


def _liveness(ctx: Context, sa: SaV2) -> None:
    """Silence for a while: ask (RFC 7296 §2.4). An exchange under way asks already."""
    if not sa.is_open:
        return
    every = sa.connection.liveness.every_s
    due = sa.heard_at + every
    if ctx.now >= due:
        if sa.window.outstanding is None and not sa.wishes:
            wish(ctx, sa, WantProbe())
        ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(every))
    else:
        ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(due - ctx.now))


def _is_large(sa: SaV2, out: Outstanding) -> bool:
    """IP has to cut this message, and its pieces are lost on many roads."""
    large = out.parcel.octets > fragments.SIZES[0]
    return large and not sa.fragments_agreed and not isinstance(sa.state, Refused)


def _unanswered(ctx: Context, sa: SaV2) -> None:
    """The last repeat of our request has gone unanswered."""
    out = sa.window.outstanding
    assert out is not None, "the timer belongs to a request"
    purpose = out.purpose
    if isinstance(sa.state, AwaitInitReply):
        failed = Failed(
            "E101",
            f"{sa.remote} does not answer ({out.tries} messages sent)",
            "check the address, that UDP 500 passes, and that the peer expects us",
        )
        closing.give_up(ctx, sa, failed)
    elif sa.established_at is None and _is_large(sa, out):
        octets = out.parcel.octets
        failed = Failed(
            "E104",
            f"{sa.remote} answered the first message but not IKE_AUTH of {octets} octets,"
            " and it does not read messages in pieces",
            "let IP fragments pass, have the peer read IKE fragments (RFC 7383), or use a shorter"
            " chain of certificates",
        )
        closing.give_up(ctx, sa, failed)
    elif sa.established_at is None and not isinstance(sa.state, Refused):
        failed = Failed(
            "E102",
            f"{sa.remote} answered the first message but not IKE_AUTH",
            "check that UDP 4500 and fragments pass; another pre-shared key also looks so",
        )
        closing.give_up(ctx, sa, failed)
    elif isinstance(purpose, ForDeleteIke):
        informational.finish_delete(ctx, sa)
    elif isinstance(sa.state, Established | Closing):
        seconds = ctx.now - out.first_sent_at
        reason = f"the peer has not answered for {seconds:.0f} s"
        ctx.record("peer.dead", reason, connection=sa.connection, code="E602")
        closing.lost(ctx, sa, reason, Failed("E602", reason, "is the peer up and reachable?"))
    else:
        closing.forget(ctx, sa)
