"""A rule of a tunnel becomes a `ChildPolicy`: selectors, proposals, lifetimes."""

from dataclasses import dataclass, replace

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.fields import Limit
from isthmus.config.ikev1 import check_proposals
from isthmus.config.key import Key
from isthmus.config.mapping import PlacedMap, network_maps
from isthmus.config.network_fields import PlacedNetwork, PlacedProposal, Ports
from isthmus.config.schema import Df
from isthmus.config.section import Given, Section
from isthmus.config.suites import SUITES
from isthmus.config.syntax import Position
from isthmus.policy.connection import (
    PHASE2_LIFETIMES,
    ChildPolicy,
    IkeVersion,
    Lifetimes,
    Start,
)
from isthmus.values.proposal import WEAK_WORDS, Proposal, parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol, TransformType
from isthmus.values.selector import ANY_PROTOCOL, Selectors, TrafficSelector
from isthmus.values.time import Seconds

SELECTORS_MAX = 255
"""What one TS payload can carry (RFC 7296 §3.13)."""
PROTOCOLS_WITH_PORTS = (6, 17, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP, UDP-Lite."""
MARGIN_SHARE = 0.1
"""Renewal starts at most two margins before the end, so a fifth of a short life is enough."""


@dataclass(frozen=True, slots=True)
class RuleDefaults:
    """What a tunnel says for all of its rules."""

    start: Start
    idle_s: Seconds | None
    proposals: tuple[Proposal, ...]
    lifetimes: Lifetimes
    replay_window: int
    clamp_mss: bool
    df: str
    map_local: tuple[PlacedMap, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Which algorithms a tunnel may use: whether weak ones, and what its IKE can say."""

    tunnel: str
    is_allowed: bool
    report: Report
    ike: IkeVersion = IkeVersion.V2

    def check(self, words: tuple[str, ...], at: Position, title: str) -> None:
        """Refuse weak algorithms, or name them in a warning where they are allowed."""
        if not words:
            return
        named = ", ".join(dict.fromkeys(words))
        if self.is_allowed:
            self.report.warn(at, f"{title} uses weak algorithms: {named} (allow_weak is set)")
            return
        self.report.error(
            at,
            f"{title} asks for weak algorithms: {named}",
            "RFC 8221 and RFC 8247 advise against them, and an attacker may choose the weakest",
            f'use suite = "modern" or "compat"; or set allow_weak = true in [tunnel.{self.tunnel}]',
        )


def lifetimes(
    base: Lifetimes,
    lifetime: Given[float] | None,
    octets: Given[Limit] | None = None,
    packets: Given[int] | None = None,
) -> Lifetimes:
    """The base with what was given; the margin shrinks with a short life."""
    changed = base
    if lifetime is not None:
        margin_s = min(_default_margin_s(base), lifetime.value * MARGIN_SHARE)
        changed = replace(changed, lifetime_s=lifetime.value, margin_s=margin_s)
    if octets is not None:
        changed = replace(changed, octets_max=octets.value.octets)
    if packets is not None:
        changed = replace(changed, packets_max=packets.value)
    return changed


def _default_margin_s(base: Lifetimes) -> Seconds:
    # A rule's base may be its tunnel's short life, whose margin has shrunk already.
    return max(base.margin_s, PHASE2_LIFETIMES.margin_s)


def chosen_proposals(
    section: Section,
    keys: tuple[Key[tuple[PlacedProposal, ...]], Key[str]],
    protocol: SecurityProtocol,
    limits: Limits,
) -> tuple[Proposal, ...] | None:
    """What `proposals` or else `suite` of a section ask for; None when neither is there."""
    given = section.get(keys[0])
    suite = section.get(keys[1])
    chosen = None
    if suite is not None:
        chosen = suite_proposals(suite.value, protocol, limits.ike)
        weak = tuple(str(t) for p in chosen for t in p.transforms if str(t) in WEAK_WORDS)
        limits.check(weak, suite.at, section.title)
    if given is None:
        return chosen
    for placed in given.value:
        limits.check(placed.weak, placed.at, section.title)
        _warn_without_pfs(placed, protocol, section.title, limits.report)
    check_proposals(given.value, protocol, limits.ike, section.title, limits.report)
    return _numbered(tuple(placed.proposal for placed in given.value))


def suite_proposals(name: str, protocol: SecurityProtocol, ike: IkeVersion) -> tuple[Proposal, ...]:
    """The proposals of a suite for one phase."""
    suite = SUITES[name]
    texts = suite.of_phase1(ike) if protocol is SecurityProtocol.IKE else suite.of_phase2(ike)
    return _numbered(tuple(parse_proposal(text, protocol) for text in texts))


def compile_rule(
    name: str, section: Section, defaults: RuleDefaults, limits: Limits, report: Report
) -> ChildPolicy | None:
    """One `[tunnel.NAME.rule.RULE]`; None when it has no selectors that could be used."""
    section.refuse_others()
    section.refuse_both(schema.RULE_SUITE, schema.RULE_PROPOSALS)
    section.get(schema.RULE_ON_NO_SA)
    keys = (schema.RULE_PROPOSALS, schema.RULE_SUITE)
    proposals = chosen_proposals(section, keys, SecurityProtocol.ESP, limits)
    start = section.get(schema.RULE_START)
    idle = section.get(schema.RULE_IDLE)
    window = section.get(schema.RULE_REPLAY_WINDOW)
    clamp = section.get(schema.RULE_CLAMP_MSS)
    df = section.get(schema.RULE_DF)
    life = lifetimes(
        defaults.lifetimes,
        section.get(schema.RULE_LIFETIME),
        section.get(schema.RULE_LIFETIME_OCTETS),
        section.get(schema.RULE_LIFETIME_PACKETS),
    )
    selectors = _selectors(section, report)
    if selectors is None:
        return None
    maps, local = section.get(schema.RULE_MAP_LOCAL), section.get(schema.LOCAL)
    placed_maps = maps.value if maps else defaults.map_local
    return ChildPolicy(
        name=name,
        local=selectors[0],
        remote=selectors[1],
        proposals=proposals or defaults.proposals,
        start=start.value if start else defaults.start,
        lifetimes=life,
        replay_window=window.value if window else defaults.replay_window,
        df=(df.value if df else Df(defaults.df)).value,
        clamp_mss=clamp.value if clamp else defaults.clamp_mss,
        origin=str(section.at),
        idle_s=idle.value.seconds if idle else defaults.idle_s,
        map_local=network_maps(placed_maps, local.value if local else (), section.title, report),
    )


def _numbered(proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    return tuple(p.with_spi(b"", number) for number, p in enumerate(proposals, start=1))


def _warn_without_pfs(
    placed: PlacedProposal, protocol: SecurityProtocol, title: str, report: Report
) -> None:
    if protocol is SecurityProtocol.ESP and not placed.proposal.of_kind(TransformType.KE):
        report.warn(
            placed.at,
            f"{title} has a proposal without PFS group: whoever learns the keys of phase 1 can"
            " read phase 2 (write -ecp256 at its end)",
        )


def _selectors(section: Section, report: Report) -> tuple[Selectors, Selectors] | None:
    local, remote = section.get(schema.LOCAL), section.get(schema.REMOTE)
    for key in (schema.LOCAL, schema.REMOTE):
        if not section.has(key):
            report.error(
                section.at,
                f"{section.title} has no {key.name}",
                "a rule says between which networks traffic is interesting",
                f'add {key.name} = ["10.1.0.0/24"], with the networks of'
                f" {'this' if key is schema.LOCAL else 'the other'} side",
            )
    protocol = section.get(schema.PROTOCOL)
    number = protocol.value if protocol else ANY_PROTOCOL
    local_ports = ports_given(section, schema.LOCAL_PORTS, number, report)
    remote_ports = ports_given(section, schema.REMOTE_PORTS, number, report)
    if local is None or remote is None:
        return None
    _check_families(section, local, remote, report)
    _check_overlap(section, local, remote, report)
    sides = (
        side(local.value, number, local_ports),
        side(remote.value, number, remote_ports),
    )
    for key, selectors in zip((schema.LOCAL, schema.REMOTE), sides, strict=True):
        if len(selectors) > SELECTORS_MAX:
            report.error(
                section.table[key.name].at,
                f"{key.name} in {section.title} makes {len(selectors)} selectors",
                f"one phase 2 carries at most {SELECTORS_MAX} (networks times port ranges)",
                "split it into several rules, or use wider networks",
            )
    return sides


def side(networks: tuple[PlacedNetwork, ...], protocol: int, ports: tuple[Ports, ...]) -> Selectors:
    """One side of a rule: each network with each range of ports."""
    if not ports:
        return tuple(TrafficSelector.of_network(p.network, protocol) for p in networks)
    return tuple(
        TrafficSelector.of_network(placed.network, protocol, port.first, port.last)
        for placed in networks
        for port in ports
    )


def ports_given(
    section: Section, key: Key[tuple[Ports, ...]], protocol: int, report: Report
) -> tuple[Ports, ...]:
    """The ports under a key; reports those of a protocol that has none."""
    given = section.get(key)
    if given is None:
        return ()
    is_refused = section.has(schema.PROTOCOL) and section.get(schema.PROTOCOL) is None
    if protocol not in PROTOCOLS_WITH_PORTS and not is_refused:
        report.error(
            given.at,
            f"{key.name} in {section.title} needs a protocol that has ports",
            "only tcp, udp, sctp, dccp (33) and udplite (136) packets have ports",
            'add protocol = "tcp" or "udp"; for both, write two rules',
        )
    return given.value


def _check_families(
    section: Section,
    local: Given[tuple[PlacedNetwork, ...]],
    remote: Given[tuple[PlacedNetwork, ...]],
    report: Report,
) -> None:
    ours = {placed.network.version for placed in local.value}
    theirs = {placed.network.version for placed in remote.value}
    if not ours & theirs:
        report.error(
            remote.at,
            f"{section.title} joins IPv{min(ours)} networks with IPv{min(theirs)} networks",
            "a packet has addresses of one family, so none would ever match",
            "write networks of the same family on both sides",
        )
    elif ours != theirs:
        only = min(ours ^ theirs)
        report.warn(
            remote.at,
            f"{section.title} has IPv{only} networks on one side only: they match no packet",
        )


def _check_overlap(
    section: Section,
    local: Given[tuple[PlacedNetwork, ...]],
    remote: Given[tuple[PlacedNetwork, ...]],
    report: Report,
) -> None:
    for placed in remote.value:
        theirs = TrafficSelector.of_network(placed.network)
        for ours in local.value:
            if TrafficSelector.of_network(ours.network).contains(theirs):
                report.warn(
                    placed.at,
                    f"{section.title}: the remote network {placed.network} lies in the local"
                    f" network {ours.network}; hosts there may be unreachable",
                )
