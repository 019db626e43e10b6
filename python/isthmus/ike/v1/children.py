"""Pairs of SAs in IKEv1: keys, the moment to send by a new one, and the end of an old one.

Nothing answers a Delete in IKEv1, and the third message of a Quick Mode is not answered either:
who sends it cannot know when the peer has got it, and who waits for it hears ESP at once where it
is lost. So a new pair listens first, and sends once the other end is known or expected to listen.
"""

from isthmus.ike.core import pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.pairs import PairKeys
from isthmus.ike.v1 import closing
from isthmus.ike.v1.keys import quick_keys
from isthmus.ike.v1.phase1 import prf_of
from isthmus.ike.v1.quick import Quick
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import ChildPolicy
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev1 import ProtocolId
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi
from isthmus.values.time import Seconds

SETTLE_MIN_S: Seconds = 0.02
SETTLE_MAX_S: Seconds = 0.25
"""Between these, an initiator waits as long as the peer took to answer before it sends by a new
pair: for the third message to be there, and worked through."""
OLD_PAIR_S: Seconds = 5.0
"""How long a renewed pair goes on listening before the one who renewed it deletes it."""
CROSSING_S: Seconds = 10.0
"""Two pairs of one rule, one begun by each end within this much, crossed: one of them goes."""


def listen(
    ctx: Context,
    sa: SaV1,
    quick: Quick,
    rule: ChildPolicy,
    suite: Suite,
    spi_out: Spi,
    shared: Secret | None,
) -> ChildSa:
    """Both keys exist: the pair takes packets from now on, and does not send yet."""
    assert sa.keys is not None

    def keys_towards(spi: Spi) -> tuple[Secret, Secret]:
        assert sa.keys is not None
        return quick_keys(
            suite,
            prf_of(sa),
            sa.keys.skeyid_d,
            ProtocolId.ESP,
            spi,
            quick.nonce_i,
            quick.nonce_r,
            shared,
        )

    keys = PairKeys(*keys_towards(quick.spi_in), *keys_towards(spi_out))
    child = pairs.install(
        ctx,
        sa,
        rule,
        keys,
        suite=suite,
        spi_in=quick.spi_in,
        spi_out=spi_out,
        local=(quick.local,),
        remote=(quick.remote,),
        initiated=quick.initiated,
        asked_at=quick.asked_at,
        only_listens=True,
    )
    sa.unsent[child.spi_in] = keys
    quick.child = child
    return child


def send_soon(ctx: Context, child: ChildSa, answered_in_s: Seconds) -> None:
    """Initiator: send by the pair when the third message should be there."""
    pause = min(max(answered_in_s, SETTLE_MIN_S), SETTLE_MAX_S)
    ctx.agenda.arm(child.owner, TimerKind.CHILD_CONFIRM, ctx.later(pause))


def go_live(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """The other end listens: send by this pair, and by no other of its rule and networks."""
    keys = sa.unsent.pop(child.spi_in, None)
    ctx.agenda.disarm(child.owner, TimerKind.CHILD_CONFIRM)
    if keys is None or child.spi_in not in sa.children or child.state is ChildState.GONE:
        return
    before = [c for c in sa.children.values() if c is not child and _carries_the_same(c, child)]
    rival = next((c for c in before if _crossed(c, child)), None)
    if rival is not None and _goes(child, rival):
        _step_back(ctx, child, ours=child.initiated)
        return
    pairs.begin_sending(ctx, sa, child, keys)
    if before:
        child.predecessor = before[-1]
    for old in before:
        _step_back(ctx, old, ours=old.initiated if _crossed(old, child) else child.initiated)
    ctx.lifecycle.phase2_up(ctx, sa, child)
    child.predecessor = None


def connected(ctx: Context, sa: SaV1) -> None:
    """A responder that set the commit bit says that it listens (RFC 2408 §3.1)."""
    for child in tuple(sa.children.values()):
        if child.initiated:
            go_live(ctx, sa, child)


def _carries_the_same(other: ChildSa, child: ChildSa) -> bool:
    same = (other.rule.name, other.local, other.remote) == (
        child.rule.name,
        child.local,
        child.remote,
    )
    return same and other.is_usable and not other.outbound_gone


def _crossed(other: ChildSa, child: ChildSa) -> bool:
    near = abs(other.created_at - child.created_at) < CROSSING_S
    return other.initiated != child.initiated and near


def _goes(child: ChildSa, rival: ChildSa) -> bool:
    """Of two pairs that crossed, the one with the lower SPI goes: both ends know both SPIs."""
    return min(child.spi_in, child.spi_out) < min(rival.spi_in, rival.spi_out)


def _step_back(ctx: Context, old: ChildSa, *, ours: bool) -> None:
    """Another pair carries the traffic; this one listens for what is on the road.

    Whoever made the successor deletes what it stands for, and of two that crossed each end its own.
    A peer may not: then the pair ends with its lifetime.
    """
    pairs.stop_sending(ctx, old)
    old.move(ChildState.REPLACED)
    ctx.agenda.disarm(old.owner, TimerKind.CHILD_REKEY)
    if ours:
        ctx.agenda.arm(old.owner, TimerKind.CHILD_EXPIRE, ctx.later(OLD_PAIR_S))


def close(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """Delete a pair, and tell the peer so. Packets wait for another one."""
    if child.state is ChildState.GONE:
        return
    if child.is_usable:
        ctx.lifecycle.phase2_closing(ctx, sa, child)
    closing.say_child_is_gone(ctx, sa, child)
    ended(ctx, sa, child, "closed by us")


def ended(ctx: Context, sa: SaV1, child: ChildSa, reason: str) -> None:
    """A pair is deleted on both sides; packets on the road still arrive for a while."""
    if child.state is ChildState.GONE:
        return
    carried = child.is_usable and sa.unsent.pop(child.spi_in, None) is None
    if child.state is ChildState.REKEYING:
        child.move(ChildState.INSTALLED)
    pairs.retire_child(ctx, sa, child)
    if carried:
        ctx.lifecycle.phase2_gone(ctx, sa, child, reason)
    elif child.initiated and ctx.lifecycle.still_wanted(sa, child.rule.name):
        failed = Failed("E209", f"phase 2 was closed before it carried anything: {reason}")
        ctx.lifecycle.phase2_failed(ctx, sa, child.rule.name, failed)
