"""How an IKEv1 phase 1 ends, and what becomes of its pairs."""

from isthmus.ike.core import ending, pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import UpdateSa
from isthmus.ike.core.states import Closed, Refused
from isthmus.ike.v1 import access, rivals, transport
from isthmus.ike.v1.sa import SaV1
from isthmus.values.registry.ikev1 import NotifyType, ProtocolId
from isthmus.values.spi import spi_octets
from isthmus.values.time import Seconds
from isthmus.wire.v1 import Delete, Notify

REFUSED_S = 2.0
"""How long a refused peer is counted as half-open: it also bounds how fast keys can be guessed."""
RENEW_AGAIN_S: Seconds = 10.0
"""Pause before a renewal that came to nothing is tried again."""


def give_up(ctx: Context, sa: SaV1, failed: Failed) -> None:
    """An attempt to make phase 1 has come to nothing."""
    if isinstance(sa.state, Closed):
        return
    forget(ctx, sa)
    ctx.lifecycle.phase1_failed(ctx, sa, failed)


def refuse(ctx: Context, sa: SaV1, kind: NotifyType, failed: Failed) -> None:
    """The peer's proof does not hold: say so, under the keys that we share with it."""
    if sa.keys is not None:
        cookies = bytes(sa.spi_i + sa.spi_r)
        transport.send_once(ctx, sa, (Notify(kind, protocol=ProtocolId.ISAKMP, spi=cookies),))
        if sa.initiator:
            # The responder believes in phase 1 already. strongSwan passes over a Delete that stands
            # in one message with the notify.
            transport.send_once(ctx, sa, (Delete(ProtocolId.ISAKMP, (cookies,)),))
    if sa.initiator:
        give_up(ctx, sa, failed)
        return
    hear_no_more(ctx, sa)
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(REFUSED_S))
    ctx.lifecycle.phase1_failed(ctx, sa, failed)


def hear_no_more(ctx: Context, sa: SaV1) -> None:
    """Responder: this attempt has failed; it is counted as half-open until its time is up."""
    sa.state = Refused()
    sa.proving = None
    sa.phase1.sent = None
    transport.rearm(ctx, sa)


def forget(ctx: Context, sa: SaV1) -> None:
    """Drop a phase 1 without a word: timers, cookies, pairs in the data plane."""
    for child in tuple(sa.children.values()):
        pairs.drop_child(ctx, sa, child)
    _renew_otherwise(ctx, sa)
    ending.stop_keepalive(ctx, sa)
    sa.state = Closed()
    sa.phase1.sent = None
    sa.exchanges.clear()
    sa.unsent.clear()
    sa.assembly.clear(ctx)
    sa.keys = None
    sa.protector = None
    sa.proving = None
    access.release(ctx, sa)
    ctx.registry.remove(sa)


def _renew_otherwise(ctx: Context, sa: SaV1) -> None:
    """What this phase 1 was to renew, and does not any more, is renewed by another."""
    old, sa.replaces = sa.replaces, None
    if old is not None and old.is_open:
        old.rekeying = False
        ctx.agenda.arm(old.owner, TimerKind.IKE_REKEY, ctx.later(RENEW_AGAIN_S))
    for exchange in sa.exchanges.values():
        pair = exchange.quick.replaces if exchange.quick is not None else None
        if pair is not None and pair.state is ChildState.REKEYING:
            pair.move(ChildState.INSTALLED)
            ctx.agenda.arm(pair.owner, TimerKind.CHILD_REKEY, ctx.later(RENEW_AGAIN_S))


def lost(
    ctx: Context,
    sa: SaV1,
    reason: str,
    failed: Failed | None = None,
    *,
    peer_forgot: bool = False,
) -> None:
    """An established phase 1 ends. Its pairs go to another one with the same peer, if one stands;
    else they end with it: no phase 2 lives without a phase 1 that knows of it. `peer_forgot`: the
    peer has no pairs of before."""
    if isinstance(sa.state, Closed):
        return
    heir = None if failed is not None or peer_forgot else _any_heir_of(ctx, sa)
    if heir is not None:
        inherit(ctx, sa, heir)
    ending.lost(ctx, sa, reason, failed, lambda: forget(ctx, sa))


def delete(ctx: Context, sa: SaV1, reason: str) -> None:
    """Tell the peer that phase 1 ends, and with it what nothing inherits. There is no answer to
    wait for (RFC 2408 §5.15)."""
    if sa.established_at is None:
        forget(ctx, sa)
        return
    heir = _any_heir_of(ctx, sa)
    if heir is not None:
        inherit(ctx, sa, heir)
    for child in tuple(sa.children.values()):
        if child.is_usable:
            ctx.lifecycle.phase2_closing(ctx, sa, child)
            say_child_is_gone(ctx, sa, child, carried=True)
    transport.send_once(ctx, sa, (Delete(ProtocolId.ISAKMP, (bytes(sa.spi_i + sa.spi_r),)),))
    lost(ctx, sa, reason)


def say_child_is_gone(ctx: Context, sa: SaV1, child: ChildSa, *, carried: bool) -> None:
    """A Delete names the SPI that its sender has stopped to listen on (RFC 2408 §3.15). A peer that
    does not hear of it sends into the void until its own pair ends: where the pair carried traffic
    (`carried`), the Delete outlasts a road that is cut for as long as DPD bears with it."""
    delete = Delete(ProtocolId.ESP, (spi_octets(child.spi_in),))
    transport.send_insistently(ctx, sa, (delete,), for_long=carried)


def heir_of(ctx: Context, sa: SaV1) -> SaV1 | None:
    """Another phase 1 with the same peer that stays."""
    others = [other for other in _others(ctx, sa) if not other.superseded]
    return max(others, key=lambda other: other.created_at, default=None)


def _any_heir_of(ctx: Context, sa: SaV1) -> SaV1 | None:
    """One that stays, or stays now: of two that crossed the peer may have chosen the other one,
    where a message was late."""
    heir = heir_of(ctx, sa)
    if heir is None and not sa.superseded:
        heir = max(_others(ctx, sa), key=lambda other: other.created_at, default=None)
        if heir is not None:
            heir.superseded = False
            ctx.agenda.disarm(heir.owner, TimerKind.RETIRE)
    return heir


def _others(ctx: Context, sa: SaV1) -> list[SaV1]:
    return [
        other
        for other in ctx.lifecycle.siblings(sa)
        if isinstance(other, SaV1)
        and other.is_open
        and other.is_same_peer(sa)
        and other.connection is sa.connection
    ]


def home_of(ctx: Context, sa: SaV1, child: ChildSa) -> SaV1 | None:
    """The phase 1 that has a pair now, which `sa` made."""
    homes = (sa, *ctx.lifecycle.siblings(sa))
    return next((s for s in homes if isinstance(s, SaV1) and child.spi_in in s.children), None)


def inherit(ctx: Context, old: SaV1, new: SaV1) -> None:
    """Pairs outlive the phase 1 that made them: their deletes and renewals go by the new one."""
    for spi, child in tuple(old.children.items()):
        del old.children[spi]
        new.children[spi] = child
        ctx.registry.child_added(new, child)
        if child.is_usable and not child.outbound_gone:
            ctx.emit(
                UpdateSa(
                    child.spi_out,
                    inbound=False,
                    standby=child.standby,
                    local=new.local,
                    remote=new.remote,
                )
            )
    new.unsent.update(old.unsent)
    old.unsent.clear()
    rivals.thin_out(ctx, new.children.values())
