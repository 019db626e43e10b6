"""Two exchanges for one Child SA that crossed: which pair stays (RFC 7296 §2.8.1)."""

from isthmus.ike.core import pairs
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.wishes import WantDeleteChild


def is_surplus(sa: SaV2, child: ChildSa) -> bool:
    """The peer made an equal pair while our wish was on its way, and ours has the lowest nonce.

    The rule of RFC 7296 §2.8.1, applied to two new Child SAs instead of two renewals.
    """
    return any(
        other is not child
        and other.is_usable
        and not other.initiated
        and _are_equal(other, child)
        and other.created_at >= child.asked_at
        and child.lowest_nonce < other.lowest_nonce
        for other in sa.children.values()
    )


def withdraw_crossed(ctx: Context, sa: SaV2, theirs: ChildSa) -> None:
    """The peer asked for this new pair before it knew of ours, and ours has the lowest nonce.

    Only one side may notice that two exchanges crossed: where ours was answered before the peer's
    request came, nobody but us can delete ours (RFC 7296 §2.8.1).
    """
    request_may_travel_s = sa.connection.liveness.timeout_s
    for ours in tuple(sa.children.values()):
        if (
            ours.initiated
            and ours.state is ChildState.INSTALLED
            and _are_equal(ours, theirs)
            and ctx.now - ours.created_at <= request_may_travel_s
            and b"" < ours.lowest_nonce < theirs.lowest_nonce
        ):
            withdraw(ctx, sa, ours)


def withdraw(ctx: Context, sa: SaV2, ours: ChildSa) -> None:
    """Our pair is the redundant one: stop using it and delete it."""
    ctx.record(
        "phase2.collision",
        "both sides asked for this rule at once; the peer's pair is kept",
        connection=sa.connection,
        rule=ours.rule.name,
    )
    ours.move(ChildState.REPLACED)
    pairs.stop_sending(ctx, ours)
    sa.wishes.append(WantDeleteChild(ours.spi_in))


def yield_to_peer(ctx: Context, sa: SaV2, old: ChildSa) -> bool:
    """Our half of a simultaneous renewal came to nothing: the peer's pair, if any, is the one.

    It stays on standby: the peer may not have agreed its keys yet, and knows the old pair until it
    deletes it.
    """
    crossing = old.rekeyed_by_peer
    if crossing is None or not crossing.successor.is_usable:
        return False
    if not crossing.announced:
        crossing.announced = True
        ctx.lifecycle.phase2_up(ctx, sa, crossing.successor)
    return True


def _are_equal(one: ChildSa, other: ChildSa) -> bool:
    """Both carry the same packets of the same rule."""
    return one.rule.name == other.rule.name and (one.local, one.remote) == (
        other.local,
        other.remote,
    )
