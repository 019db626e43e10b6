"""A changed configuration applied to SAs that stand: what they refer to, and their timers."""

from collections.abc import Mapping
from dataclasses import replace

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import Keepalive, UpdateSa
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import ChildPolicy, Connection, Lifetimes
from isthmus.policy.schedule import renewal, shorter
from isthmus.values.time import Instant, Seconds

OVERDUE_S: Seconds = 30.0
"""An SA that is older than its new lifetime is renewed at once and has this long to be."""
SPREAD_S: Seconds = 5.0
"""Renewals that a reload makes due at once are spread over so long."""


def reconfigure(ctx: Context, sa: IkeSa, connection: Connection) -> None:
    """Go on under `connection`, whose phase 1 terms are those that the SA was made under."""
    before = sa.connection
    sa.connection = connection
    for child in sa.children.values():
        rule = connection.rule(child.rule.name)
        if rule is not None:
            _child(ctx, child, rule)
    if not sa.is_open or sa.established_at is None:
        return
    if before.phase1_lifetimes != connection.phase1_lifetimes:
        phase1(ctx, sa, sa.established_at)
    if before.liveness != connection.liveness:
        due = Instant(max(ctx.now, sa.heard_at + connection.liveness.every_s))
        ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, due)
    if sa.nat.local and before.keepalive_s != connection.keepalive_s:
        ctx.emit(Keepalive(sa.local, sa.remote, connection.keepalive_s))
    if before.phase1_idle_s != connection.phase1_idle_s:
        if connection.phase1_idle_s is None:
            ctx.agenda.disarm(sa.owner, TimerKind.PHASE1_IDLE)
        elif not sa.children:
            due = ctx.later(connection.phase1_idle_s)
            ctx.agenda.arm(sa.owner, TimerKind.PHASE1_IDLE, due)


def phase1(ctx: Context, sa: IkeSa, since: Instant) -> None:
    """Set the end of an IKE SA that stands `since` then by the lifetimes that hold now."""
    lifetimes = shorter(sa.connection.phase1_lifetimes, sa.lifetime_max_s)
    rekey_at, sa.expires_at = _times(ctx, since, lifetimes)
    if not sa.rekeying:
        ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, rekey_at)
    ctx.agenda.arm(sa.owner, TimerKind.IKE_EXPIRE, sa.expires_at)


def reconsider(sa: IkeSa, connections: Mapping[str, Connection]) -> None:
    """Let a peer that is still to authenticate do so by these terms."""
    sa.candidates = tuple(connections[c.name] for c in sa.candidates if c.name in connections)
    sa.connection = connections.get(sa.connection.name, sa.connection)


def _child(ctx: Context, child: ChildSa, rule: ChildPolicy) -> None:
    before = child.rule.lifetimes
    lifetimes = shorter(rule.lifetimes, child.lifetime_max_s, child.octets_max)
    rule = replace(rule, lifetimes=lifetimes)
    child.rule = rule
    if before == rule.lifetimes or not child.is_usable:
        return
    child.rekey_at, child.expires_at = _times(ctx, child.created_at, rule.lifetimes)
    if child.state is ChildState.INSTALLED:
        ctx.agenda.arm(child.owner, TimerKind.CHILD_REKEY, child.rekey_at)
    ctx.agenda.arm(child.owner, TimerKind.CHILD_EXPIRE, child.expires_at)
    limits = (before.octets_max, before.packets_max)
    if limits != (rule.lifetimes.octets_max, rule.lifetimes.packets_max):
        ctx.emit(UpdateSa(child.spi_in, inbound=True, lifetimes=rule.lifetimes))
        if not child.outbound_gone:
            ctx.emit(UpdateSa(child.spi_out, inbound=False, lifetimes=rule.lifetimes))


def _times(ctx: Context, since: Instant, lifetimes: Lifetimes) -> tuple[Instant, Instant]:
    """When an SA of that age is renewed, and when it ends."""
    rekey_at = Instant(since + renewal(lifetimes, ctx.chance()))
    if rekey_at < ctx.now:
        rekey_at = ctx.later(SPREAD_S * ctx.chance())
    expires_at = Instant(max(since + lifetimes.lifetime_s, rekey_at + OVERDUE_S))
    return rekey_at, expires_at
