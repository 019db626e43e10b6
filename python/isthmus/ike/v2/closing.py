"""How an IKE SA ends, and what its Child SAs take with them."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Keepalive, RemoveSa, UpdateSa
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import Closed, Refused

REFUSED_S = 2.0
"""How long a refused peer is counted as half-open: it also bounds how fast keys can be guessed."""
LINGER_S = 5.0
"""How long a replaced inbound SA still listens for packets on the road."""


def give_up(ctx: Context, sa: SaV2, failed: Failed) -> None:
    """An attempt to make an IKE SA has come to nothing."""
    if isinstance(sa.state, Closed):
        return
    forget(ctx, sa)
    ctx.lifecycle.phase1_failed(ctx, sa, failed)


def refuse(ctx: Context, sa: SaV2) -> None:
    """The peer did not authenticate: the SA lives on a moment, only to repeat that answer."""
    sa.state = Refused()
    sa.authenticating = None
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(REFUSED_S))


def forget(ctx: Context, sa: SaV2) -> None:
    """Drop an IKE SA without a word: timers, SPIs, Child SAs in the data plane."""
    for child in tuple(sa.children.values()):
        drop_child(ctx, sa, child)
    stop_keepalive(ctx, sa)
    sa.state = Closed()
    sa.window.outstanding = None
    sa.wishes.clear()
    sa.assembly.clear(ctx)
    sa.keys = None
    sa.protector = None
    sa.authenticating = None
    ctx.registry.remove(sa)


def stop_keepalive(ctx: Context, sa: SaV2) -> None:
    """This SA no longer needs its NAT mapping; another one on the same path may."""
    if sa.nat.local and not ctx.registry.path_is_shared(sa):
        ctx.emit(Keepalive(sa.local, sa.remote, 0))


def lost(ctx: Context, sa: SaV2, reason: str, failed: Failed | None = None) -> None:
    """An established IKE SA ends: its Child SAs are gone with it, and the lifecycle is told."""
    if isinstance(sa.state, Closed):
        return
    replaced = sa.is_replaced
    children = _ending(sa)
    forget(ctx, sa)
    ctx.record(
        "phase1.down",
        f"phase 1 is closed: {reason}",
        connection=sa.connection,
        code=failed.code if failed else "",
        facts=(("reason", reason), ("spi_i", sa.spi_i.hex()), ("remote", str(sa.remote))),
    )
    if replaced:
        return
    for child in children:
        ctx.lifecycle.phase2_gone(ctx, sa, child, reason)
    ctx.lifecycle.phase1_gone(ctx, sa, reason, failed)


def _ending(sa: SaV2) -> tuple[ChildSa, ...]:
    """Pairs whose end concerns their rules: what carries traffic, and where nothing does, what was
    being deleted when the IKE SA ended."""
    usable = tuple(c for c in sa.children.values() if c.is_usable)
    carried = {c.rule.name for c in usable}
    deleting = {
        c.rule.name: c
        for c in sa.children.values()
        if c.state is ChildState.DELETING and c.rule.name not in carried
    }
    return (*usable, *deleting.values())


def drop_child(ctx: Context, sa: SaV2, child: ChildSa) -> None:
    """Take both directions out of the data plane at once."""
    if child.state is not ChildState.GONE:
        child.move(ChildState.GONE)
        stop_sending(ctx, child)
        ctx.emit(RemoveSa(child.spi_in, inbound=True))
    ctx.agenda.forget(child.owner)
    sa.children.pop(child.spi_in, None)
    ctx.registry.child_removed(child)


def stop_sending(ctx: Context, child: ChildSa) -> None:
    """Nothing more leaves by this pair: its packets would reach a peer that has forgotten it."""
    if not child.outbound_gone:
        child.outbound_gone = True
        ctx.emit(RemoveSa(child.spi_out, inbound=False))


def retire_child(ctx: Context, sa: SaV2, child: ChildSa) -> None:
    """A replaced pair: nothing leaves by it any more, packets on the road still arrive a while."""
    if child.state is ChildState.GONE:
        return
    child.move(ChildState.GONE)
    stop_sending(ctx, child)
    ctx.agenda.forget(child.owner)
    ctx.agenda.arm(child.owner, TimerKind.LINGER, ctx.later(LINGER_S))
    sa.children.pop(child.spi_in, None)


def promote(ctx: Context, child: ChildSa) -> None:
    """The peer uses the new pair: we may send on it too."""
    child.unconfirmed = False
    if child.standby and not child.outbound_gone:
        child.standby = False
        ctx.emit(UpdateSa(child.spi_out, inbound=False, standby=False))


def arm_nothing(ctx: Context, sa: SaV2) -> None:
    """Stop every timer of an IKE SA but the repeats of its last request."""
    for kind in (
        TimerKind.LIVENESS,
        TimerKind.IKE_REKEY,
        TimerKind.IKE_EXPIRE,
        TimerKind.RETIRE,
        TimerKind.CHILDLESS,
        TimerKind.PHASE1_IDLE,
    ):
        ctx.agenda.disarm(sa.owner, kind)
