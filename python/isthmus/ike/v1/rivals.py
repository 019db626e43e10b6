"""Pairs of one rule between the same networks: which of them carries the traffic."""

from collections.abc import Iterable

from isthmus.ike.core import pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.values.time import Seconds

OLD_PAIR_S: Seconds = 5.0
"""How long a renewed pair goes on listening before the one who renewed it deletes it."""
CROSSING_S: Seconds = 10.0
"""Two pairs of one rule, one begun by each end within this much, crossed: one of them goes."""


def are_alike(one: ChildSa, other: ChildSa) -> bool:
    """Both are for the same rule and networks."""
    return (one.rule.name, one.local, one.remote) == (other.rule.name, other.local, other.remote)


def sends(child: ChildSa) -> bool:
    """Traffic leaves by it."""
    return child.is_usable and not child.outbound_gone


def crossed(one: ChildSa, other: ChildSa) -> bool:
    """Neither end knew of the other's wish when it began."""
    near = abs(one.created_at - other.created_at) < CROSSING_S
    return one.initiated != other.initiated and near


def goes(child: ChildSa, rival: ChildSa) -> bool:
    """Of two pairs that crossed, the one with the lower SPI goes: both ends know both SPIs."""
    return min(child.spi_in, child.spi_out) < min(rival.spi_in, rival.spi_out)


def step_back(ctx: Context, old: ChildSa, *, ours: bool) -> None:
    """Another pair carries the traffic; this one listens for what is on the road.

    Whoever made the successor deletes what it stands for, and of two that crossed each end its own.
    A peer may not: then the pair ends with its lifetime.
    """
    pairs.stop_sending(ctx, old)
    old.move(ChildState.REPLACED)
    ctx.agenda.disarm(old.owner, TimerKind.CHILD_REKEY)
    if ours:
        delete_soon(ctx, old)


def delete_soon(ctx: Context, old: ChildSa) -> None:
    """It has been replaced, and it is ours to say so."""
    due = ctx.agenda.when(old.owner, TimerKind.CHILD_EXPIRE)
    at = ctx.later(OLD_PAIR_S)
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
