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
from isthmus.ike.v1 import closing, rivals
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
UNCONFIRMED_S: Seconds = 20.0
"""How much longer than a phase 1 waits for an answer a pair listens that nobody confirms."""
COMMIT_S: Seconds = 1.0
"""How long a responder that set the commit bit is waited for."""

CHILDREN_SPARE = 64
"""Pairs that a peer may have over one phase 1 beside two for each rule. More than in IKEv2: it asks
for parts of a rule one by one, and need not delete what it has renewed."""


def make_room(ctx: Context, sa: SaV1) -> bool:
    """Before the peer gets another pair: where it has all that it may have, the oldest one that
    another has replaced is closed. False: there is none."""
    if len(sa.children) < CHILDREN_SPARE + 2 * len(sa.connection.rules):
        return True
    old = next((c for c in sa.children.values() if c.state is ChildState.REPLACED), None)
    if old is None:
        return False
    close(ctx, sa, old)
    return True


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
    home = (closing.heir_of(ctx, sa) if sa.superseded else None) or sa
    child = pairs.install(
        ctx,
        home,
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
    child.lifetime_max_s, child.octets_max = quick.said.seconds, quick.said.octets
    home.unsent[child.spi_in] = keys
    if not quick.initiated:
        # The phase 1 that waits for the third message may end before; then nothing else ends it.
        rivals.delete_soon(ctx, child, sa.connection.liveness.timeout_s + UNCONFIRMED_S)
    quick.child = child
    return child


def send_soon(ctx: Context, child: ChildSa, answered_in_s: Seconds | None) -> None:
    """Initiator: send by the pair when the third message should be there. None: the peer will say
    that it is."""
    pause = COMMIT_S
    if answered_in_s is not None:
        pause = min(max(answered_in_s, SETTLE_MIN_S), SETTLE_MAX_S)
    ctx.agenda.arm(child.owner, TimerKind.CHILD_CONFIRM, ctx.later(pause))


def go_live(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """The other end listens: send by this pair, and by no other of its rule and networks.

    `sa` is the phase 1 that made it; by now another one may have it.
    """
    ctx.agenda.disarm(child.owner, TimerKind.CHILD_CONFIRM)
    home = closing.home_of(ctx, sa, child)
    keys = home.unsent.pop(child.spi_in, None) if home is not None else None
    if home is None or keys is None or child.state is ChildState.GONE:
        return
    ctx.agenda.arm(child.owner, TimerKind.CHILD_EXPIRE, max(child.expires_at, ctx.now))
    alike = _alike(home, child)
    before = [c for c in alike if rivals.sends(c)]
    rival = next((c for c in before if rivals.crossed(c, child)), None)
    if rival is not None and rivals.goes(child, rival):
        child.standby = True
        pairs.begin_sending(ctx, home, child, keys)
        rivals.step_back(ctx, child, ours=child.initiated)
        if child.initiated and rival.state is ChildState.REKEYING:
            # What we began in its place has come to nothing.
            rival.move(ChildState.INSTALLED)
            ctx.agenda.arm(rival.owner, TimerKind.CHILD_REKEY, ctx.later(closing.RENEW_AGAIN_S))
    else:
        pairs.begin_sending(ctx, home, child, keys)
        for old in before:
            crossed = rivals.crossed(old, child)
            rivals.step_back(ctx, old, ours=old.initiated if crossed else child.initiated)
        child.predecessor = before[0] if before else None
        ctx.lifecycle.phase2_up(ctx, home, child)
        child.predecessor = None
    for old in alike if child.initiated else ():
        # The peer's pair may have been quicker to replace what ours was for.
        if old.state is ChildState.REPLACED and not rivals.crossed(old, child):
            rivals.delete_soon(ctx, old)


def connected(ctx: Context, sa: SaV1) -> None:
    """A responder that set the commit bit says that it listens (RFC 2408 §3.1)."""
    for child in tuple(sa.children.values()):
        if child.initiated:
            go_live(ctx, sa, child)


def never_confirmed(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """Responder: the third message has not come, and no packet either."""
    home = closing.home_of(ctx, sa, child)
    if home is not None and home.unsent.pop(child.spi_in, None) is not None:
        pairs.drop_child(ctx, home, child)


def close(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """Delete a pair, and tell the peer so. Packets wait for another one."""
    if child.state is ChildState.GONE:
        return
    carries = rivals.sends(child)
    if carries:
        ctx.lifecycle.phase2_closing(ctx, sa, child)
        for old in _alike(sa, child):
            if old.state is ChildState.REPLACED:
                close(ctx, sa, old)
    closing.say_child_is_gone(ctx, sa, child, carried=carries)
    ended(ctx, sa, child, "closed by us")


def deleted_by_peer(ctx: Context, sa: SaV1, child: ChildSa) -> None:
    """The peer listens no more. Where it has chosen another pair of the same kind, that one goes on
    sending."""
    if rivals.sends(child):
        instead = rivals.take_back(ctx, _alike(sa, child), child)
        if instead is not None:
            instead.predecessor = child
            ctx.lifecycle.phase2_up(ctx, sa, instead)
            instead.predecessor = None
    ended(ctx, sa, child, "closed by the peer")


def _alike(sa: SaV1, child: ChildSa) -> list[ChildSa]:
    """Other pairs for the same, the newest first."""
    others = [c for c in sa.children.values() if c is not child and rivals.are_alike(c, child)]
    return sorted(others, key=lambda c: c.created_at, reverse=True)


def ended(ctx: Context, sa: SaV1, child: ChildSa, reason: str) -> None:
    """A pair is deleted on both sides; packets on the road still arrive for a while."""
    if child.state is ChildState.GONE:
        return
    only_listened = sa.unsent.pop(child.spi_in, None) is not None
    carried = child.is_usable and not only_listened
    if child.state is ChildState.REKEYING:
        child.move(ChildState.INSTALLED)
    pairs.retire_child(ctx, sa, child)
    if carried:
        ctx.lifecycle.phase2_gone(ctx, sa, child, reason)
    elif child.initiated and ctx.lifecycle.still_wanted(sa, child.rule.name):
        failed = Failed("E209", f"phase 2 was closed before it carried anything: {reason}")
        ctx.lifecycle.phase2_failed(ctx, sa, child.rule.name, failed)
