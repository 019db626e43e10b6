"""Two IKE SAs with one peer for one tunnel: which one stays (RFC 7296 §2.4 allows both).

Both ends must choose alike without a word about it, and no packet may be lost by it: traffic leaves
the pairs of the other one at once, while that goes on listening until it is deleted.
"""

from collections.abc import Iterable

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import UpdateSa
from isthmus.ike.core.sa import IkeSa
from isthmus.values.time import Seconds

SUPERSEDED_S: Seconds = 10.0
"""How long the other IKE SA lives on beside the one that stays."""
LATER_S: Seconds = 2.0
CROSSING_S: Seconds = 10.0
"""Two attempts that began, or succeeded, within this much of each other crossed."""


def supersede(ctx: Context, mine: Iterable[IkeSa], sa: IkeSa) -> None:
    """`sa` is authenticated: of it and each other IKE SA of its tunnel one goes a little later."""
    for other in mine:
        if other is sa or not other.is_open or other.established_at is None:
            continue
        if other.connection is not sa.connection:
            # It stands under an earlier configuration: it only bridged the gap.
            ctx.agenda.arm(other.owner, TimerKind.RETIRE, ctx.later(SUPERSEDED_S))
            continue
        if not other.is_same_peer(sa):
            continue
        # After an outage each end has called for long, but hears of the other's call only when a
        # repeat comes through: then the beginnings lie apart here and there in opposite orders,
        # while both succeed at once.
        begun, since = sa.beginning, other.beginning
        assert since.established_at is not None, "it is open"
        if sa.peer_deletes_its_own:
            near = (
                abs(begun.at - since.at) < CROSSING_S or ctx.now - since.established_at < CROSSING_S
            )
        else:
            # Renewals look like beginnings: only what was under way at once can have crossed.
            near = begun.at <= since.established_at and sa.replaces is not other
        crossed = since.initiator != begun.initiator and near
        if crossed:
            # What both ends know alike, and nobody can choose for long: the initiator's SPI. Not
            # that of a renewal, which may have come to one end and not yet to the other.
            loser = max(other, sa, key=lambda s: s.beginning.spi_i)
        else:
            # The time at which an attempt began, not at which it succeeded: its messages may have
            # been lost and repeated, so that the two ends saw two successes in different orders.
            # What began here `CROSSING_S` before the other cannot have begun there that much after.
            loser = min(other, sa, key=lambda s: s.beginning.at)
        if loser.beginning.initiator or not crossed or not sa.peer_deletes_its_own:
            # Where the ends disagree, one of them takes the two for crossed: it goes first, and the
            # other learns what it has chosen.
            later_s = 0.0 if crossed or sa.peer_deletes_its_own else LATER_S
            ctx.agenda.arm(loser.owner, TimerKind.RETIRE, ctx.later(SUPERSEDED_S + later_s))
        loser.superseded = True
        for child in loser.children.values():
            stand_back(ctx, child)


def stand_back(ctx: Context, child: ChildSa) -> None:
    """Traffic leaves by another pair of the rule if there is one."""
    if child.is_usable and not child.outbound_gone:
        ctx.emit(UpdateSa(child.spi_out, inbound=False, standby=True))


def lies_about(sa: IkeSa, child: ChildSa) -> bool:
    """Another pair has replaced it, and the peer may never delete it."""
    return child.state is ChildState.REPLACED and not sa.peer_deletes_its_own
