"""What a message, a timer or a wish does to an IKEv1 phase 1."""

from typing import Protocol, assert_never

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped, tell_dropped
from isthmus.ike.core.fragments import NotKept
from isthmus.ike.core.retransmit import CLOCK_GRAIN_S, patience_left
from isthmus.ike.core.states import Established, Judging, Refused
from isthmus.ike.core.telling import tell_abandoned
from isthmus.ike.v1 import access, children, closing, fragments, rivals, transport
from isthmus.ike.v1.exchanges import (
    aggressive_mode,
    informational,
    main_mode,
    quick_mode,
    transaction,
)
from isthmus.ike.v1.sa import PHASE1_ID, Exchange, SaV1
from isthmus.ike.v1.states import AwaitAnswer, AwaitChoice, AwaitLogin
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.wire.header import Header

PROBE_EVERY_S = 1.0
"""While the peer is asked whether it lives: a question so often until the patience is over."""


EARLY_OCTETS_MAX = 4096
PHASE1_KINDS = (ExchangeType.MAIN_MODE, ExchangeType.AGGRESSIVE_MODE)


class Mode(Protocol):
    """A way to make phase 1."""

    def start(
        self,
        ctx: Context,
        connection: Connection,
        remote: Endpoint | None,
        replaces: SaV1 | None = None,
    ) -> SaV1:
        """Begin a new one."""

    def next_address(self, ctx: Context, sa: SaV1) -> bool:
        """Begin anew with another address of the peer's name, if there is one."""

    def reply_received(
        self,
        ctx: Context,
        sa: SaV1,
        header: Header,
        octets: bytes,
        local: Endpoint,
        remote: Endpoint,
    ) -> None:
        """A message to an initiator. Raises Dropped."""

    def request_received(
        self,
        ctx: Context,
        sa: SaV1,
        header: Header,
        octets: bytes,
        local: Endpoint,
        remote: Endpoint,
    ) -> None:
        """A message to a responder. Raises Dropped."""


def receive(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """A datagram with this phase 1's cookies. Raises Dropped when it must not be believed."""
    if sa.established_at is None and remote.address != sa.remote.address:
        raise Dropped("other_address")
    whole = _gather(ctx, sa, header, octets)
    if whole is None:
        return
    if whole is not octets:
        header, octets = Header.decode(whole), whole
    if _is_early(sa, header, octets):
        sa.early = (octets, local, remote)
        return
    match header.exchange:
        case ExchangeType.MAIN_MODE | ExchangeType.AGGRESSIVE_MODE if (
            header.message_id == PHASE1_ID
        ):
            _phase1(ctx, sa, header, octets, local, remote)
        case ExchangeType.QUICK_MODE if header.message_id != PHASE1_ID:
            if not sa.is_open:
                raise Dropped("not_authenticated")
            quick_mode.received(ctx, sa, quick_mode.Came(header, octets, local, remote))
        case ExchangeType.TRANSACTION if header.message_id != PHASE1_ID:
            transaction.received(ctx, sa, header, octets, local, remote)
        case ExchangeType.INFORMATIONAL:
            informational.received(ctx, sa, header, octets, local, remote)
        case _:
            raise Dropped("exchange_out_of_order")


def _is_early(sa: SaV1, header: Header, octets: bytes) -> bool:
    """A worker still judges the proof that the peer takes for accepted. One message behind it is
    kept, since its repeat may be a second away."""
    if not isinstance(sa.state, Judging) or header.message_id == PHASE1_ID:
        return False
    return sa.early is None and len(octets) <= EARLY_OCTETS_MAX


def resume(ctx: Context, sa: SaV1) -> None:
    """A worker has answered: what came meanwhile is looked at."""
    if sa.early is None or isinstance(sa.state, Judging):
        return
    octets, local, remote = sa.early
    sa.early = None
    try:
        receive(ctx, sa, Header.decode(octets), octets, local, remote)
    except Dropped as dropped:
        tell_dropped(ctx, remote, dropped)


def begin(
    ctx: Context, connection: Connection, remote: Endpoint | None, replaces: SaV1 | None = None
) -> SaV1:
    """A new phase 1 in the mode that the tunnel names."""
    mode: Mode = aggressive_mode if connection.v1.aggressive else main_mode
    return mode.start(ctx, connection, remote, replaces)


def mode_of(sa: SaV1) -> Mode:
    """Where the messages of its phase 1 are taken."""
    return aggressive_mode if sa.phase1.kind == ExchangeType.AGGRESSIVE_MODE else main_mode


def _phase1(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    if digest(octets, remote) == sa.phase1.heard:
        # The initiator's last message of Aggressive Mode is answered by nobody: that the message
        # before it comes again tells that it was lost.
        if not sa.initiator or mode_of(sa) is aggressive_mode:
            transport.emit(ctx, sa, sa.phase1.reply)
        raise Dropped("repeat")
    if not sa.is_making:
        raise Dropped("not_asked")
    if header.exchange != sa.phase1.kind:
        raise Dropped("exchange_out_of_order")
    if sa.initiator:
        mode_of(sa).reply_received(ctx, sa, header, octets, local, remote)
    else:
        mode_of(sa).request_received(ctx, sa, header, octets, local, remote)


def _gather(ctx: Context, sa: SaV1, header: Header, octets: bytes) -> bytes | None:
    """The message itself, or of a piece the whole one; None while others are missing."""
    try:
        piece = fragments.piece_in(header, octets)
        if piece is None:
            return octets
        if not sa.connection.fragmentation.enabled:
            raise Dropped("fragments_not_agreed")
        authenticated = sa.established_at is not None
        return sa.assembly.keep(ctx, header, piece, is_authenticated=authenticated)
    except NotKept as why:
        raise Dropped(str(why)) from why
    except Malformed as malformed:
        raise Dropped("malformed") from malformed


# --- timers ---------------------------------------------------------------------------------


def timer(ctx: Context, sa: SaV1, kind: TimerKind) -> None:
    """A timer of the phase 1 fired."""
    match kind:
        case TimerKind.RETRANSMIT:
            if not mode_of(sa).next_address(ctx, sa):
                for exchange in transport.repeat_due(ctx, sa):
                    _unanswered(ctx, sa, exchange)
        case TimerKind.GRACE:
            informational.grace_over(ctx, sa)
        case TimerKind.HALF_OPEN:
            _never_authenticated(ctx, sa)
        case TimerKind.LIVENESS:
            _liveness(ctx, sa)
        case TimerKind.IKE_REKEY:
            replace(ctx, sa)
        case TimerKind.IKE_EXPIRE:
            closing.delete(ctx, sa, "phase 1 reached its lifetime")
        case TimerKind.RETIRE:
            closing.delete(ctx, sa, "another phase 1 with this peer took its place")
        case TimerKind.CHILDLESS:
            if not sa.children:
                closing.delete(ctx, sa, "phase 2 was refused")
        case TimerKind.PHASE1_IDLE:
            if not sa.children:
                closing.delete(ctx, sa, "phase 1 was idle")
        case TimerKind.FRAGMENTS:
            if missing := sa.assembly.expire(ctx):
                ctx.record(
                    "datagram.dropped",
                    f"{sa.remote}: only {missing} pieces of a message came",
                    connection=sa.connection,
                    facts=(("reason", "fragments_missing"), ("remote", str(sa.remote))),
                )
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


def child_timer(ctx: Context, sa: SaV1, child: ChildSa, kind: TimerKind) -> None:
    """A timer of a pair fired."""
    if kind is TimerKind.CHILD_REKEY and child.state is ChildState.INSTALLED:
        rekey_child(ctx, sa, child)
    elif kind is TimerKind.CHILD_CONFIRM:
        children.go_live(ctx, sa, child)
    elif kind is TimerKind.CHILD_EXPIRE:
        children.close(ctx, sa, child)


def rekey_child(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """A fresh Quick Mode for the same rule: there is no other way to renew a pair."""
    rule = sa.connection.rule(child.rule.name)
    if rule is not None and sa.is_open and rivals.sends(child):
        quick_mode.start(ctx, sa, rule, child)


def replace(ctx: Context, sa: SaV1) -> None:
    """A fresh phase 1 beside this one, which inherits the pairs: there is no other way."""
    if not sa.is_open or sa.superseded or sa.rekeying:
        return
    if access.peer_renews(sa):
        access.tell_peer_renews(ctx, sa)
        return
    sa.rekeying = True
    begin(ctx, sa.connection, sa.remote, sa)


def _never_authenticated(ctx: Context, sa: SaV1) -> None:
    if sa.established_at is not None:
        return
    if isinstance(sa.state, AwaitLogin):
        transaction.too_late(ctx, sa)
        return
    if not isinstance(sa.state, Refused):
        tell_abandoned(ctx, sa)
    closing.forget(ctx, sa)


def _liveness(ctx: Context, sa: SaV1) -> None:
    """Silence for a while: ask, if the peer has said that it answers (RFC 3706)."""
    if not sa.is_open or not sa.peer_can.dpd:
        return
    terms = sa.connection.liveness
    if sa.probe_since is not None:
        silence_s = ctx.now - sa.heard_at
        asked_s = ctx.now - sa.probe_since
        patience_s = patience_left(terms.timeout_s, sa.probe_since - sa.heard_at)
        if asked_s >= patience_s - CLOCK_GRAIN_S:
            _dead(ctx, sa, f"the peer has not answered for {silence_s:.0f} s")
            return
        informational.probe(ctx, sa)
        pause = min(PROBE_EVERY_S, terms.timeout_s / 6, patience_s - asked_s)
        ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(max(pause, 0.05)))
        return
    due = sa.heard_at + terms.every_s
    if ctx.now < due:
        ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(due - ctx.now))
        return
    informational.probe(ctx, sa)
    pause = min(PROBE_EVERY_S, terms.timeout_s / 6)
    ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(pause))


def _dead(ctx: Context, sa: SaV1, reason: str) -> None:
    ctx.record("peer.dead", reason, connection=sa.connection, code="E602")
    closing.lost(ctx, sa, reason, Failed("E602", reason, "is the peer up and reachable?"))


def _unanswered(ctx: Context, sa: SaV1, exchange: Exchange) -> None:
    """The last repeat of a message has gone unanswered."""
    if exchange.kind == ExchangeType.TRANSACTION:
        transaction.unanswered(ctx, sa, exchange)
        return
    if exchange.kind == ExchangeType.QUICK_MODE:
        if not quick_mode.unanswered(ctx, sa, exchange):
            _dead(ctx, sa, "the peer has not answered Quick Mode for too long")
        return
    if exchange is not sa.phase1:
        transport.end(ctx, sa, exchange)  # A Delete, which nothing answers.
        return
    if isinstance(sa.state, Established | AwaitLogin):
        return  # The last message of Aggressive Mode, which is answered by what follows.
    if sa.doubted is not None:
        failed = sa.doubted
    elif isinstance(sa.state, AwaitChoice | AwaitAnswer):
        failed = Failed(
            "E101",
            f"{sa.remote} does not answer",
            "check the address, that UDP 500 passes, and that the peer speaks IKEv1 and expects us",
        )
    else:
        failed = Failed(
            "E102",
            f"{sa.remote} answered the first message but not a later one of Main Mode",
            "check that UDP 4500 and fragments pass; another pre-shared key also looks so",
        )
    closing.give_up(ctx, sa, failed)
