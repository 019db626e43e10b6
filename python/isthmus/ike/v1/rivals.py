"""Pairs of one rule between the same networks: which of them carries the traffic."""

from collections.abc import Iterable

from isthmus.ike.core import pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import UpdateSa
from isthmus.values.time import Seconds

OLD_PAIR_S: Seconds = 5.0
"""How long a renewed pair goes on listening before the one who renewed it deletes it."""
PEERS_OLD_PAIR_S: Seconds = 20.0
"""And how long before the other end does, where the one who renewed it leaves it: strongSwan keeps
old pairs to the end of their lifetime."""

LATE_S: Seconds = 60.0
"""A message that is repeated for so long is given up."""


def are_alike(one: ChildSa, other: ChildSa) -> bool:
    """Both are for the same rule and networks."""
    return (one.rule.name, one.local, one.remote) == (other.rule.name, other.local, other.remote)


def sends(child: ChildSa) -> bool:
    """Traffic leaves by it."""
    return child.is_usable and not child.outbound_gone


def crossed(one: ChildSa, other: ChildSa) -> bool:
    """Each end began one before it had made the other: both were under way at once."""
    at_once = one.asked_at <= other.created_at and other.asked_at <= one.created_at
    return one.initiated != other.initiated and at_once


def may_have_crossed(one: ChildSa, other: ChildSa) -> bool:
    """The other end may see it so."""
    near = abs(one.created_at - other.created_at) < LATE_S
    return one.initiated != other.initiated and near


def goes(child: ChildSa, rival: ChildSa) -> bool:
    """Of two pairs that crossed, the one with the lower SPI goes: both ends know both SPIs."""
    return min(child.spi_in, child.spi_out) < min(rival.spi_in, rival.spi_out)


def step_back(ctx: Context, old: ChildSa, *, ours: bool) -> None:
    """Another pair carries the traffic; this one listens for what is on the road, and stands by.

    Whoever made the successor deletes what it stands for, and of two that crossed each end its own.
    A peer may not: then it is deleted here a little later.
    """
    if not old.outbound_gone and not old.standby:
        old.standby = True
        ctx.emit(UpdateSa(old.spi_out, inbound=False, standby=True))
    old.move(ChildState.REPLACED)
    ctx.agenda.disarm(old.owner, TimerKind.CHILD_REKEY)
    delete_soon(ctx, old, OLD_PAIR_S if ours else PEERS_OLD_PAIR_S)


def take_back(ctx: Context, alike: Iterable[ChildSa], gone: ChildSa) -> ChildSa | None:
    """The peer has deleted a pair that we send by: of two that crossed it may have chosen the other
    one, where a message was late. That one carries the traffic, and no other of before does."""
    chosen: ChildSa | None = None
    for old in alike:
        if old.state is not ChildState.REPLACED:
            continue
        if chosen is None and not old.outbound_gone and may_have_crossed(old, gone):
            chosen = old
        else:
            pairs.stop_sending(ctx, old)
    if chosen is not None:
        chosen.move(ChildState.INSTALLED)
        chosen.standby = False
        ctx.emit(UpdateSa(chosen.spi_out, inbound=False, standby=False))
        ctx.agenda.arm(chosen.owner, TimerKind.CHILD_REKEY, max(chosen.rekey_at, ctx.now))
        ctx.agenda.arm(chosen.owner, TimerKind.CHILD_EXPIRE, chosen.expires_at)
    return chosen


def delete_soon(ctx: Context, old: ChildSa, pause_s: Seconds = OLD_PAIR_S) -> None:
    """It has been replaced, and will be deleted unless the peer does so first."""
    due = ctx.agenda.when(old.owner, TimerKind.CHILD_EXPIRE)
    at = ctx.later(pause_s)
    if due is None or due > at:
        ctx.agenda.arm(old.owner, TimerKind.CHILD_EXPIRE, at)


def thin_out(ctx: Context, children: Iterable[ChildSa]) -> None:
    """Two phase 1s have brought their pairs together: one of a kind goes on sending."""
    stay: list[ChildSa] = []
    for child in sorted(filter(sends, children), key=lambda c: c.created_at):
        rival = next((c for c in stay if are_alike(c, child)), None)
        if rival is None:
            stay.append(child)
        elif crossed(rival, child):
            loser, winner = (child, rival) if goes(child, rival) else (rival, child)
            step_back(ctx, loser, ours=loser.initiated)
            stay[stay.index(rival)] = winner
        else:
            step_back(ctx, rival, ours=child.initiated)
            stay[stay.index(rival)] = child
