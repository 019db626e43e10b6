"""How an IKE SA ends, whatever the version, and what its Child SAs take with them."""

from collections.abc import Callable

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Keepalive
from isthmus.ike.core.sa import IkeSa


def lost(
    ctx: Context, sa: IkeSa, reason: str, failed: Failed | None, forget: Callable[[], None]
) -> None:
    """An established IKE SA ends: `forget` drops it, and its Child SAs are gone with it. The
    lifecycle is told, unless a successor stands in its place."""
    replaced = sa.is_replaced
    children = _ending(sa)
    forget()
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


def _ending(sa: IkeSa) -> tuple[ChildSa, ...]:
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


def stop_keepalive(ctx: Context, sa: IkeSa) -> None:
    """This SA no longer needs its NAT mapping; another one on the same path may."""
    if sa.nat.local and not ctx.registry.path_is_shared(sa):
        ctx.emit(Keepalive(sa.local, sa.remote, 0))


def arm_nothing(ctx: Context, sa: IkeSa) -> None:
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
