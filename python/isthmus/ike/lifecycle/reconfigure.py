"""A new configuration takes the place of the one that runs, with as little disturbance as can be.

Unchanged tunnels keep their SAs and timers. What is live applies to SAs as they stand. New phase 2
proposals renew pairs make-before-break; other networks close a pair and make another. Where phase 1
must be redone its successor is made first, and the old one carries packets meanwhile; it ends soon
after, whether or not the successor came to be: what stood under the old terms must not stand long.
"""

from collections.abc import Collection
from dataclasses import replace

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.dialect import Dialect
from isthmus.ike.core.effects import RemoveSa
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.lifecycle import retime
from isthmus.ike.lifecycle.tunnel import RuleRun, TunnelRun, new_run
from isthmus.ike.lifecycle.tunnels import Tunnels, tunnel_owner
from isthmus.policy.changes import Fate, TunnelChange, tunnel_change
from isthmus.policy.connection import Configuration, Connection, Start
from isthmus.values.time import Seconds

BRIDGE_S: Seconds = 30.0
"""How long an IKE SA of before a restart carries packets when no successor comes to be."""
TRIGGER = "the configuration changed"


def configure(
    tunnels: Tunnels,
    dialect: Dialect,
    ctx: Context,
    configuration: Configuration,
    changed_secrets: Collection[str],
) -> None:
    """Run these tunnels. `changed_secrets`: names of secrets that are others than before."""
    old = dict(tunnels.runs)
    tunnels.runs.clear()
    changes: list[tuple[TunnelRun, Connection, TunnelChange]] = []
    for connection in configuration.connections:
        run = old.pop(connection.name, None)
        if run is None:
            tunnels.runs[connection.name] = new_run(connection, ctx.now)
            continue
        tunnels.runs[connection.name] = run
        secret_changed = not connection.secret_names.isdisjoint(changed_secrets)
        change = tunnel_change(run.connection, connection, secret_changed=secret_changed)
        changes.append((run, connection, change))
    for run in old.values():
        _remove(tunnels, ctx, run)
    for run, connection, change in changes:
        mine = tunnels.sas.of(connection.name)
        if change.fate is Fate.RESTART:
            _restart(tunnels, dialect, ctx, run, connection, change, mine)
        else:
            _carry_on(tunnels, dialect, ctx, run, connection, change, mine)
    by_name = {name: run.connection for name, run in tunnels.runs.items()}
    for sa in tunnels.sas:
        if not sa.is_authenticated:
            retime.reconsider(sa, by_name)
    for run in tunnels.runs.values():
        for rule in run.rules.values():
            tunnels.arm(ctx, run, rule)
            if _should_stand(ctx, run, rule):
                tunnels.want(ctx, run, rule, "start = always")


def _should_stand(ctx: Context, run: TunnelRun, rule: RuleRun) -> bool:
    """A rule that is always up is not, and nobody is at it."""
    if rule.policy.start is not Start.ALWAYS or rule.child is not None or run.orphans:
        return False
    return not (run.held_down or rule.held_down or rule.wanted or rule.waits(ctx.now))


def _remove(tunnels: Tunnels, ctx: Context, run: TunnelRun) -> None:
    reason = "the tunnel is no longer configured"
    for rule in run.rules.values():
        _refuse_tickets(ctx, run, rule, reason)
    tunnels.close_all(ctx, run, reason)
    ctx.agenda.forget(tunnel_owner(run))
    for ticket in run.closing_tickets:
        ctx.record("command.done", reason, connection=run.connection, ticket=ticket)


def _refuse_tickets(ctx: Context, run: TunnelRun, rule: RuleRun, reason: str) -> None:
    for ticket in rule.tickets:
        ctx.record(
            "command.failed",
            reason,
            connection=run.connection,
            rule=rule.policy.name,
            code="E105",
            ticket=ticket,
        )
    rule.tickets.clear()


def _restart(
    tunnels: Tunnels,
    dialect: Dialect,
    ctx: Context,
    run: TunnelRun,
    connection: Connection,
    change: TunnelChange,
    sas: list[IkeSa],
) -> None:
    """Phase 1 must be redone, by us if anything stood and the peer can be called."""
    before = run.rules
    replaced = {rule.name for rule in change.rules if rule.fate is Fate.RESTART}
    # A value of its own even if only a secret changed: it tells the SAs of before from the new.
    run.connection = connection = replace(connection)
    run.failure = None
    run.tries = 0
    run.since = ctx.now
    run.rules = {}
    for policy in connection.rules:
        fresh = RuleRun(policy, ctx.now)
        was = before.pop(policy.name, None)
        if was is not None:
            fresh.held_down = was.held_down
            fresh.tickets = was.tickets
            stood = was.wanted or was.child is not None
            fresh.wanted = stood and policy.start is not Start.LISTEN
            fresh.trigger = TRIGGER
            if policy.name not in replaced:
                fresh.bridging = [c for c in (*was.bridging, *was.children) if c.is_usable]
        run.rules[policy.name] = fresh
    for gone in before.values():
        _refuse_tickets(ctx, run, gone, "the rule is no longer configured")
    wanted = [rule for rule in run.rules.values() if rule.wanted and not run.held_down]
    calls = connection.remote_endpoint is not None and bool(wanted)
    for sa in sas:
        if not sa.is_authenticated:
            # A peer that is still to prove who it is does so by the new terms.
            if sa.initiator:
                dialect.forget(ctx, sa)
        elif not calls:
            dialect.delete(ctx, sa, TRIGGER)
        else:
            for child in tuple(sa.children.values()):
                if child.rule.name in replaced and child.is_usable:
                    dialect.delete_child(ctx, sa, child)
            ctx.agenda.arm(sa.owner, TimerKind.RETIRE, ctx.later(BRIDGE_S))
    for rule in run.rules.values():
        rule.wanted = False
        if calls and rule in wanted:
            tunnels.want(ctx, run, rule, TRIGGER)


def _carry_on(
    tunnels: Tunnels,
    dialect: Dialect,
    ctx: Context,
    run: TunnelRun,
    connection: Connection,
    change: TunnelChange,
    sas: list[IkeSa],
) -> None:
    """Phase 1 stays. `connection` is put in place even when it says the same: it knows where it
    was written."""
    outdated = run.connection
    before = run.rules
    run.connection = connection
    run.rules = {}
    for policy in connection.rules:
        kept = before.pop(policy.name, None) or RuleRun(policy, ctx.now)
        kept.policy = policy
        run.rules[policy.name] = kept
    for sa in sas:
        if sa.connection is outdated:
            retime.reconfigure(ctx, sa, connection)
    for gone in before.values():
        _refuse_tickets(ctx, run, gone, "the rule is no longer configured")
        _close_rule(tunnels, dialect, ctx, run, gone)
        for orphan in run.orphans:
            if orphan.rule == gone.policy.name:
                ctx.emit(RemoveSa(orphan.spi, orphan.inbound))
        run.orphans = [o for o in run.orphans if o.rule != gone.policy.name]
    for each in change.rules:
        rule = run.rules.get(each.name)
        if rule is None or each.fate not in (Fate.REKEY, Fate.RESTART):
            continue
        # Another offer deserves another try at once.
        rule.failure = None
        rule.tries = 0
        child = rule.child
        home = tunnels.sa_of(run, child) if child is not None else None
        if child is None or home is None:
            continue
        if each.fate is Fate.REKEY:
            dialect.rekey_child(ctx, home, child)
        else:
            rule.wanted = not (run.held_down or rule.held_down)
            rule.trigger = TRIGGER
            dialect.delete_child(ctx, home, child)


def _close_rule(
    tunnels: Tunnels, dialect: Dialect, ctx: Context, run: TunnelRun, rule: RuleRun
) -> None:
    for child in (*rule.children, *rule.bridging):
        home = tunnels.sa_of(run, child)
        if home is not None and child.is_usable:
            dialect.delete_child(ctx, home, child)
