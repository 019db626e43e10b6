"""The engine's views and the data plane's counters as the replies that clients get."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address

from isthmus.ike.core.views import ChildView, Failure, Phase1View, RuleView, TunnelView
from isthmus.management.api import (
    AssignedStatus,
    CertificateStatus,
    ChildState,
    FailureState,
    GroupStatus,
    Phase1Entry,
    Phase1Status,
    PolicyEntry,
    RuleStatus,
    SaEntry,
    Selectors,
    TunnelStatus,
)
from isthmus.management.control import HeldCertificate, PlanePolicy, PlaneRange, PlaneSa
from isthmus.policy.connection import Configuration, Group
from isthmus.values.address import Endpoint
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi, spi_text

Advice = Callable[[str], str]
"""From a finding code to what to do about it; empty when nothing is known."""

TEXTS_KEPT = 16_384
"""Writing the networks of thousands of tunnels is most of the work of a status."""

ByDirection = Mapping[tuple[str, int], PlaneSa]


def tunnel_status(
    view: TunnelView,
    sas: Mapping[str, ByDirection],
    idle_in_s: Mapping[str, float],
    advice: Advice,
    certificates: Iterable[HeldCertificate] = (),
) -> TunnelStatus:
    """One tunnel. `sas` holds the plane's SAs under their name, `tunnel/rule`, and `idle_in_s`
    when each rule goes idle (see `countdowns`)."""
    return TunnelStatus(
        name=view.name,
        peer=view.peer,
        mode=view.mode,
        start=view.start,
        healthy=view.healthy,
        held_down=view.held_down,
        phase1=phase1_status(view),
        rules=tuple(
            rule_status(
                rule,
                sas.get(f"{view.name}/{rule.name}", {}),
                idle_in_s.get(f"{view.name}/{rule.name}"),
                advice,
            )
            for rule in view.rules
        ),
        failure=failure_state(view.failure, advice),
        weak=view.weak,
        origin=view.origin,
        version=view.version,
        carrier=view.carrier,
        certificates=tuple(
            CertificateStatus(
                role=one.role,
                subject=one.subject,
                not_after=one.not_after,
                days_left=one.days_left,
            )
            for one in certificates
        ),
    )


def group_status(group: Group, views: Mapping[str, TunnelView]) -> GroupStatus:
    """A group; tunnels whose interface has carrier count as up."""
    members = [views[name] for name in group.tunnels if name in views]
    up = tuple(view.name for view in members if view.carrier)
    down_s = [view.carrier_since_s for view in members if not view.carrier]
    # Redundancy went with the first of them, the site with the last.
    lost_s = None if not down_s else max(down_s) if up else min(down_s)
    return GroupStatus(
        name=group.name,
        prefer=group.prefer.value,
        tunnels=group.tunnels,
        up=up,
        redundant=not down_s,
        since_s=lost_s,
    )


def phase1_status(view: TunnelView) -> Phase1Status:
    """Phase 1 with the facts of its SA, if there is one."""
    sa = view.phase1
    if sa is None:
        return Phase1Status(state=str(view.state), since_s=view.since_s)
    return Phase1Status(
        state=str(view.state),
        since_s=view.since_s,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        local=str(sa.local),
        remote=str(sa.remote),
        local_id=sa.local_id,
        remote_id=sa.remote_id,
        suite=sa.suite,
        initiated=sa.initiated,
        nat=sa.nat,
        age_s=sa.age_s,
        rekey_in_s=sa.rekey_in_s,
        heard_s=sa.heard_s,
        peer_vendor=sa.peer_vendor,
        user=sa.user,
        assigned=_assigned_status(sa),
    )


def _assigned_status(sa: Phase1View) -> AssignedStatus | None:
    given = sa.assigned
    if given is None:
        return None
    return AssignedStatus(
        ours=sa.assigned_to_us,
        address=str(given.address),
        dns=tuple(map(str, given.dns)),
        domain=given.domain,
        networks=tuple(map(str, given.networks)),
    )


def countdowns(configuration: Configuration, policies: Iterable[PlanePolicy]) -> dict[str, float]:
    """In how many seconds each rule goes idle, by `tunnel/rule`; without those that never do or
    have no SA."""
    silent_ms = {policy.name: policy.idle_for_ms for policy in policies}
    found: dict[str, float] = {}
    for connection in configuration.connections:
        for rule in connection.rules:
            name = f"{connection.name}/{rule.name}"
            silent = silent_ms.get(name)
            if rule.idle_s is not None and silent is not None:
                found[name] = max(0.0, rule.idle_s - silent / 1000)
    return found


def rule_status(
    rule: RuleView, sas: ByDirection, idle_in_s: float | None, advice: Advice
) -> RuleStatus:
    """One rule with its pairs of SAs."""
    return RuleStatus(
        name=rule.name,
        state=str(rule.state),
        since_s=rule.since_s,
        selectors=Selectors(local=texts(rule.local), remote=texts(rule.remote)),
        map_local={str(m.real): str(m.mapped) for m in rule.map_local},
        trigger=rule.trigger,
        idle_in_s=idle_in_s if rule.children else None,
        children=tuple(child_state(child, sas) for child in rule.children),
        failure=failure_state(rule.failure, advice),
    )


def child_state(child: ChildView, sas: ByDirection) -> ChildState:
    """One pair of SAs; counters stay 0 when the plane does not have them (any more)."""
    inbound = sas.get(("in", child.spi_in))
    outbound = sas.get(("out", child.spi_out))
    drops: dict[str, int] = {}
    for sa in (inbound, outbound):
        for reason, count in sa.drops.items() if sa else ():
            drops[reason] = drops.get(reason, 0) + count
    return ChildState(
        spi_in=spi_text(child.spi_in),
        spi_out=spi_text(child.spi_out),
        suite=child.suite,
        pfs=child.pfs,
        state=child.state,
        encap=child.encap,
        initiated=child.initiated,
        local=texts(child.local),
        remote=texts(child.remote),
        age_s=child.age_s,
        rekey_in_s=child.rekey_in_s,
        expires_in_s=child.expires_in_s,
        packets_in=inbound.packets if inbound else 0,
        packets_out=outbound.packets if outbound else 0,
        octets_in=inbound.octets if inbound else 0,
        octets_out=outbound.octets if outbound else 0,
        last_in_s=_idle_s(inbound),
        last_out_s=_idle_s(outbound),
        drops=drops,
    )


def failure_state(failure: Failure | None, advice: Advice) -> FailureState | None:
    """A failure; where the engine has no remedy of its own, the catalogue's."""
    if failure is None:
        return None
    return FailureState(
        code=failure.code,
        reason=failure.reason,
        fix=failure.fix or advice(failure.code),
        ago_s=failure.ago_s,
        retry_in_s=failure.retry_in_s,
    )


def sas_by_name(sas: Iterable[PlaneSa]) -> dict[str, ByDirection]:
    """The plane's SAs under their name and then direction and SPI: two peers may choose the same
    SPI for what we send, so a number alone does not tell outbound SAs apart."""
    named: dict[str, list[PlaneSa]] = {}
    for sa in sas:
        named.setdefault(sa.name, []).append(sa)
    return {name: {(sa.direction, sa.spi): sa for sa in group} for name, group in named.items()}


def phase1_entries(views: Iterable[TunnelView]) -> tuple[Phase1Entry, ...]:
    """The IKE SAs of all tunnels."""
    return tuple(
        Phase1Entry(
            tunnel=view.name,
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            local=str(sa.local),
            remote=str(sa.remote),
            suite=sa.suite,
            initiated=sa.initiated,
            age_s=sa.age_s,
            rekey_in_s=sa.rekey_in_s,
        )
        for view in views
        if (sa := view.phase1) is not None
    )


def sa_entry(sa: PlaneSa, suites: Mapping[tuple[str, str, int], str]) -> SaEntry:
    """One direction; `suites` names the suite by name, direction and SPI, as far as the
    engine knows."""
    tunnel, _, rule = sa.name.partition("/")
    return SaEntry(
        tunnel=tunnel,
        rule=rule,
        direction=sa.direction,
        spi=spi_text(Spi(sa.spi)),
        suite=suites.get((sa.name, sa.direction, sa.spi), ""),
        encap=sa.encap,
        standby=sa.standby,
        local=str(Endpoint(sa.local.address, sa.local.port)),
        remote=str(Endpoint(sa.remote.address, sa.remote.port)),
        packets=sa.packets,
        octets=sa.octets,
        sequence=sa.sequence,
        age_s=sa.age_ms / 1000,
        idle_s=_idle_s(sa),
        replay_window=sa.replay_window,
        drops=dict(sa.drops),
    )


def suites(views: Iterable[TunnelView]) -> dict[tuple[str, str, int], str]:
    """The suite of each name, direction and SPI that the engine knows."""
    found: dict[tuple[str, str, int], str] = {}
    for view in views:
        for rule in view.rules:
            for child in rule.children:
                name = f"{view.name}/{rule.name}"
                found[name, "in", child.spi_in] = child.suite
                found[name, "out", child.spi_out] = child.suite
    return found


def policy_entry(policy: PlanePolicy) -> PolicyEntry:
    """One policy of the data plane."""
    return PolicyEntry(
        id=policy.id,
        name=policy.name,
        interface=policy.interface,
        action=policy.action,
        local=plane_texts(policy.selectors.local),
        remote=plane_texts(policy.selectors.remote),
        held_packets=policy.held_packets,
        held_octets=policy.held_octets,
        matched_packets=policy.matched_packets,
        outbound_spis=tuple(spi_text(Spi(spi)) for spi in policy.outbound_spis),
    )


@lru_cache(TEXTS_KEPT)
def texts(selectors: tuple[TrafficSelector, ...]) -> tuple[str, ...]:
    """Selectors as users read them."""
    return tuple(str(selector) for selector in selectors)


def plane_texts(ranges: Sequence[PlaneRange]) -> tuple[str, ...]:
    """The plane's ranges as users read selectors."""
    from_plane = tuple(
        TrafficSelector(
            ip_address(r.start), ip_address(r.end), r.protocol, r.port_start, r.port_end
        )
        for r in ranges
    )
    return texts(from_plane)


def _idle_s(sa: PlaneSa | None) -> float | None:
    return None if sa is None or sa.idle_ms is None else sa.idle_ms / 1000
