"""Snapshots of tunnels for management: the one place where the state words are derived."""

from isthmus.ike.core.agenda import Agenda, TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.core.views import (
    ChildView,
    Failure,
    Phase1State,
    Phase1View,
    RuleState,
    RuleView,
    TunnelView,
)
from isthmus.ike.lifecycle.tunnel import PastFailure, RuleRun, TunnelRun
from isthmus.policy.connection import AccessRole, Connection, Start
from isthmus.values.proposal import WEAK_WORDS
from isthmus.values.time import Instant

HEALTHY = frozenset({RuleState.ARMED, RuleState.IDLE, RuleState.UP, RuleState.REKEYING})
CARRYING = frozenset({RuleState.UP, RuleState.REKEYING})


def tunnel_view(run: TunnelRun, sas: list[IkeSa], agenda: Agenda, now: Instant) -> TunnelView:
    """One tunnel as users see it; `sas` are its own."""
    open_sas = [s for s in sas if s.is_open]
    current = open_sas[-1] if open_sas else None
    under_way = [s for s in sas if s.is_making and s.initiator]
    rules = tuple(_rule_view(run, r, current is not None, now) for r in run.rules.values())
    state = _phase1_state(run, current, bool(under_way))
    return TunnelView(
        name=run.connection.name,
        peer=run.connection.peer or "any",
        mode=run.connection.mode.value,
        start=_start(run.connection),
        state=state,
        healthy=_healthy(run, rules, state),
        since_s=now - run.since,
        phase1=_phase1_view(current, agenda, now) if current is not None else None,
        rules=rules,
        failure=_failure(run.failure or run.rumour, now) if current is None else None,
        held_down=run.held_down,
        carrier=run.carrier,
        carrier_since_s=0.0 if run.carrier_since is None else now - run.carrier_since,
        origin=run.connection.origin,
        weak=_weak(run, current),
        version=current.spoken if current is not None else run.connection.started_as,
    )


def _start(connection: Connection) -> str:
    starts = {rule.start for rule in connection.rules}
    return next(iter(starts)).value if len(starts) == 1 else Start.TRAFFIC.value


def _phase1_state(run: TunnelRun, current: IkeSa | None, under_way: bool) -> Phase1State:
    if current is not None:
        return Phase1State.REKEYING if current.rekeying else Phase1State.UP
    if under_way:
        return Phase1State.NEGOTIATING
    return Phase1State.FAILED if run.failure is not None else Phase1State.DOWN


def _healthy(run: TunnelRun, rules: tuple[RuleView, ...], state: Phase1State) -> bool:
    """Every rule is armed, idle, up or rekeying; a rule that should always be up is up."""
    if run.held_down or state is Phase1State.FAILED:
        return False
    return all(
        view.state in (CARRYING if run.rules[view.name].policy.start is Start.ALWAYS else HEALTHY)
        for view in rules
    )


def _rule_view(run: TunnelRun, rule: RuleRun, phase1_up: bool, now: Instant) -> RuleView:
    children = tuple(_child_view(c, now) for c in rule.children if c.state is not ChildState.GONE)
    return RuleView(
        name=rule.policy.name,
        state=_rule_state(run, rule),
        local=rule.policy.local,
        remote=rule.policy.remote,
        since_s=now - rule.since,
        map_local=rule.policy.map_local,
        children=children,
        failure=_failure(rule.failure, now) if rule.child is None else None,
        trigger=rule.trigger,
    )


def _rule_state(run: TunnelRun, rule: RuleRun) -> RuleState:
    child = rule.child
    if child is not None:
        return RuleState.REKEYING if child.state is ChildState.REKEYING else RuleState.UP
    if rule.is_bridged:
        return RuleState.REKEYING
    if run.held_down or rule.held_down:
        return RuleState.OFF
    if rule.wanted:
        return RuleState.NEGOTIATING
    if rule.failure is not None:
        return RuleState.FAILED
    return RuleState.IDLE if rule.idle else RuleState.ARMED


def _child_view(child: ChildSa, now: Instant) -> ChildView:
    return ChildView(
        spi_in=child.spi_in,
        spi_out=child.spi_out,
        suite=str(child.suite),
        pfs=child.pfs,
        local=child.local,
        remote=child.remote,
        encap=child.encap,
        initiated=child.initiated,
        age_s=now - child.created_at,
        rekey_in_s=child.rekey_at - now,
        expires_in_s=child.expires_at - now,
        state=child.state.value,
    )


def _phase1_view(sa: IkeSa, agenda: Agenda, now: Instant) -> Phase1View:
    rekey_at = agenda.when(sa.owner, TimerKind.IKE_REKEY)
    terms = sa.connection.v1.mode_config
    return Phase1View(
        spi_i=sa.spi_i.hex(),
        spi_r=sa.spi_r.hex(),
        local=sa.local,
        remote=sa.remote,
        local_id=str(sa.local_id),
        remote_id=str(sa.remote_id),
        suite=str(sa.suite),
        initiated=sa.initiator,
        nat=str(sa.nat),
        age_s=now - (sa.established_at or sa.created_at),
        rekey_in_s=0.0 if rekey_at is None else rekey_at - now,
        heard_s=now - sa.heard_at,
        peer_vendor=sa.peer_vendor,
        peer_proof=sa.peer_proof,
        user=sa.user,
        assigned=sa.assigned,
        assigned_to_us=terms is not None and terms.role is AccessRole.CLIENT,
    )


def _failure(past: PastFailure | None, now: Instant) -> Failure | None:
    if past is None:
        return None
    retry_in = None if past.retry_at is None else max(past.retry_at - now, 0.0)
    failed = past.failed
    return Failure(failed.code, failed.reason, failed.fix, now - past.at, retry_in)


def _weak(run: TunnelRun, current: IkeSa | None) -> tuple[str, ...]:
    words: set[str] = set()
    suites = [str(current.suite)] if current is not None else []
    suites += [str(c.suite) for r in run.rules.values() for c in r.children]
    for suite in suites:
        words |= WEAK_WORDS & set(suite.split("-"))
    if current is not None and "aggressive" in current.spoken:
        words.add("aggressive mode")
    return tuple(sorted(words))
