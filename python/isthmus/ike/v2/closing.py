"""How an IKEv2 IKE SA ends."""

from isthmus.ike.core import ending, pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.states import Closed, Refused
from isthmus.ike.v2.sa import SaV2

REFUSED_S = 2.0
"""How long a refused peer is counted as half-open: it also bounds how fast keys can be guessed."""


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
        pairs.drop_child(ctx, sa, child)
    ending.stop_keepalive(ctx, sa)
    sa.state = Closed()
    sa.window.outstanding = None
    sa.wishes.clear()
    sa.assembly.clear(ctx)
    sa.keys = None
    sa.protector = None
    sa.authenticating = None
    ctx.registry.remove(sa)


def lost(ctx: Context, sa: SaV2, reason: str, failed: Failed | None = None) -> None:
    """An established IKE SA ends: its Child SAs are gone with it, and the lifecycle is told."""
    if isinstance(sa.state, Closed):
        return
    ending.lost(ctx, sa, reason, failed, lambda: forget(ctx, sa))
