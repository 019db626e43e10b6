"""An IKE SA that stands: its timers, and where its peer is. Alike in both IKE versions."""

from isthmus.ike.core import ending
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import Keepalive, UpdateSa
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.schedule import renewal, shorter
from isthmus.values.address import Endpoint
from isthmus.values.time import Seconds


def arm(ctx: Context, sa: IkeSa, agreed_s: Seconds | None = None) -> None:
    """Arm the timers of an IKE SA that stands, fresh or after a rekey; `agreed_s` is a lifetime
    that its making agreed on."""
    lifetimes = shorter(sa.connection.phase1_lifetimes, agreed_s)
    sa.expires_at = ctx.later(lifetimes.lifetime_s)
    ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, ctx.later(renewal(lifetimes, ctx.chance())))
    ctx.agenda.arm(sa.owner, TimerKind.IKE_EXPIRE, sa.expires_at)
    ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(sa.connection.liveness.every_s))
    if sa.nat.local:
        ctx.emit(Keepalive(sa.local, sa.remote, sa.connection.keepalive_s))


def follow(ctx: Context, sa: IkeSa, local: Endpoint, remote: Endpoint) -> None:
    """An authentic request came from elsewhere: a NAT has changed its mind (RFC 7296 §2.23)."""
    if (local, remote) == (sa.local, sa.remote) or not sa.follows_peer:
        return
    ctx.record(
        "peer.moved",
        f"the peer moved from {sa.remote} to {remote}",
        connection=sa.connection,
        facts=(("from", str(sa.remote)), ("to", str(remote))),
    )
    move(ctx, sa, local, remote)


def move(ctx: Context, sa: IkeSa, local: Endpoint, remote: Endpoint) -> None:
    """Use these endpoints from now on, for IKE and for every Child SA."""
    ending.stop_keepalive(ctx, sa)
    sa.local, sa.remote = local, remote
    if sa.nat.local:
        ctx.emit(Keepalive(local, remote, sa.connection.keepalive_s))
    for child in sa.children.values():
        if not child.outbound_gone:
            ctx.emit(UpdateSa(child.spi_out, inbound=False, local=local, remote=remote))
        ctx.emit(UpdateSa(child.spi_in, inbound=True, local=local, remote=remote))
