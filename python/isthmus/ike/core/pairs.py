"""A pair of ESP SAs in the data plane: put in, replaced, taken out. Alike in both IKE versions."""

from dataclasses import dataclass

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import InstallSa, RemoveSa, UpdateSa
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import ChildPolicy
from isthmus.policy.schedule import renewal
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.selector import Selectors
from isthmus.values.spi import Spi
from isthmus.values.time import Instant

LINGER_S = 5.0
"""How long a replaced inbound SA still listens for packets on the road."""


@dataclass(frozen=True, slots=True)
class PairKeys:
    """The keys of a pair, as this end uses them: to open what comes in and seal what goes out."""

    encryption_in: Secret
    integrity_in: Secret
    encryption_out: Secret
    integrity_out: Secret


def install(
    ctx: Context,
    sa: IkeSa,
    rule: ChildPolicy,
    keys: PairKeys,
    *,
    suite: Suite,
    spi_in: Spi,
    spi_out: Spi,
    local: Selectors,
    remote: Selectors,
    initiated: bool,
    asked_at: Instant,
    predecessor: ChildSa | None = None,
    only_listens: bool = False,
) -> ChildSa:
    """Hand both directions to the data plane, the inbound one first; only that one where the peer
    has closed the pair already."""
    rekey_s = renewal(rule.lifetimes, ctx.chance())
    child = ChildSa(
        rule=rule,
        spi_in=spi_in,
        spi_out=spi_out,
        suite=suite,
        local=local,
        remote=remote,
        encap=sa.nat.encap,
        initiated=initiated,
        asked_at=asked_at,
        created_at=ctx.now,
        rekey_at=ctx.later(rekey_s),
        expires_at=ctx.later(rule.lifetimes.lifetime_s),
        pfs=suite.ke.name if suite.ke is not KeMethod.NONE else "",
        # The one who answers a rekey keeps sending on the old SA until the peer is seen to use
        # the new one: the peer may not have installed it yet (RFC 7296 §2.8).
        standby=predecessor is not None and not initiated,
        predecessor=predecessor,
        outbound_gone=only_listens,
    )
    sa.children[spi_in] = child
    ctx.registry.child_added(sa, child)
    _emit(ctx, sa, child, keys, inbound=True)
    if not only_listens:
        _emit(ctx, sa, child, keys, inbound=False)
    ctx.agenda.arm(child.owner, TimerKind.CHILD_REKEY, child.rekey_at)
    ctx.agenda.arm(child.owner, TimerKind.CHILD_EXPIRE, child.expires_at)
    return child


def _emit(ctx: Context, sa: IkeSa, child: ChildSa, keys: PairKeys, *, inbound: bool) -> None:
    ctx.emit(
        InstallSa(
            tunnel=sa.connection.name,
            rule=child.rule.name,
            inbound=inbound,
            spi=child.spi_in if inbound else child.spi_out,
            suite=child.suite,
            encryption_key=keys.encryption_in if inbound else keys.encryption_out,
            integrity_key=keys.integrity_in if inbound else keys.integrity_out,
            local=sa.local,
            remote=sa.remote,
            encap=child.encap,
            local_selectors=child.local,
            remote_selectors=child.remote,
            lifetimes=child.rule.lifetimes,
            replay_window=child.rule.replay_window,
            df=child.rule.df,
            standby=child.standby and not inbound,
        )
    )


def begin_sending(ctx: Context, sa: IkeSa, child: ChildSa, keys: PairKeys) -> None:
    """Packets leave by a pair that only listened until now."""
    child.outbound_gone = False
    _emit(ctx, sa, child, keys, inbound=False)


def drop_child(ctx: Context, sa: IkeSa, child: ChildSa) -> None:
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


def retire_child(ctx: Context, sa: IkeSa, child: ChildSa) -> None:
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
