"""A `[tunnel.NAME]` becomes a `Connection`, with every default applied."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.fields import shown
from isthmus.config.ikev1 import check_traffic
from isthmus.config.modes import (
    check_policy_mode,
    chosen_mode,
    compile_interface,
    route_rule,
    warn_recursion,
)
from isthmus.config.pairs import one_for_each_pair
from isthmus.config.phases import fragmentation, liveness, phase1, rule_defaults
from isthmus.config.proofs import Wanted, compile_proofs
from isthmus.config.rules import Limits, RuleDefaults, compile_rule
from isthmus.config.section import Section
from isthmus.config.syntax import Node, Position
from isthmus.config.v1_terms import Setting, check_pool, check_start, compile_terms
from isthmus.policy.connection import (
    KEEPALIVE_S,
    ChildPolicy,
    Connection,
    IkeVersion,
    Mode,
    Nat,
    Start,
)
from isthmus.values.address import IKE_PORT, IpAddress

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{schema.NAME_MAX - 1}}}", re.ASCII)
_AWS_LIFETIME_MAX_S = 3600.0


@dataclass(frozen=True, slots=True)
class CompiledTunnel:
    """A tunnel, and what else must be known to judge it."""

    connection: Connection
    is_whole: bool
    """False: its name or peer was refused, so that it is not to be compared with others."""
    at: Position
    rules_at: dict[str, Position]
    wanted: Wanted


def compile_tunnel(name: str, node: Node, report: Report) -> CompiledTunnel:
    """One tunnel. Where something was refused the default stands in, and the report has errors."""
    section = Section(node, "tunnel", f"[tunnel.{_printed(name)}]", schema.TUNNEL_KEYS, report)
    section.refuse_others()
    is_named = check_name(name, "tunnel", node.key_at, report)
    section.get(schema.ON_NO_SA)
    given_ike = section.get(schema.IKE)
    ike = given_ike.value if given_ike is not None else IkeVersion.V2
    allow_weak = section.get(schema.ALLOW_WEAK)
    # A misspelt permission is reported once and not again for everything that it would permit.
    is_weak_allowed = section.has(schema.ALLOW_WEAK) and (allow_weak is None or allow_weak.value)
    limits = Limits(name, is_weak_allowed, report, ike)
    remote = _remote(section, report)
    defaults = rule_defaults(section, limits, remote.start, report)
    phase1_proposals, phase1_life = phase1(section, limits, report)
    rules, rules_at, paired = _rules(section, defaults, limits, report)
    mode = chosen_mode(section, rules_at, report)
    interface = None
    if mode is Mode.ROUTE:
        interface = compile_interface(name, section, node.key_at, remote.address, report)
        rules = rules or (route_rule(name, defaults, interface, ike, section, report),)
        if any(paired.values()) or _one_pair_wanted(section):
            report.error(
                section.at,
                f"one_pair in {section.title} belongs to policy mode",
                "with routes one phase 2 carries whatever the routing table sends to the interface",
                'take one_pair out, or write mode = "policy"',
            )
    elif mode is Mode.POLICY:
        check_policy_mode(section, rules_at, report)
        usual = _one_pair_wanted(section)
        if usual is None:
            usual = ike is not IkeVersion.V2
        split = {name for name, said in paired.items() if (usual if said is None else said)}
        rules = _in_pairs(rules, rules_at, split, section.title, report)
        warn_recursion(section.title, rules, rules_at, remote.address, report)
    if ike is not IkeVersion.V2:
        for rule in rules:
            check_traffic(rule, rules_at.get(rule.name, section.at), section.title, report)
    for rule in rules:
        if rule.lifetimes.lifetime_s > phase1_life.lifetime_s:
            report.warn(
                rules_at.get(rule.name, section.at),
                f"{section.title}: phase 2 may live longer than phase 1",
            )
    proofs = compile_proofs(name, section, allow_weak=is_weak_allowed, report=report)
    setting = Setting(
        ike,
        proofs.local.kind,
        proofs.remote.kind,
        remote.is_known and remote.address is None and remote.name is None,
        is_weak_allowed,
    )
    terms = compile_terms(name, section, setting, report)
    check_pool(section, terms.v1, rules, report)
    if mode is Mode.POLICY:
        check_start(section, terms.v1, rules, report)
    if _is_aws(section):
        _warn_aws(section, rules, report)
    local_address = _local_address(section, remote.address, report)
    local_id, remote_id = section.get(schema.LOCAL_ID), section.get(schema.REMOTE_ID)
    peer_port, nat = section.get(schema.PEER_PORT), section.get(schema.NAT)
    keepalive = section.get(schema.KEEPALIVE)
    phase1_idle = section.get(schema.PHASE1_IDLE)
    connection = Connection(
        name=name,
        peer=remote.name if remote.address is None else str(remote.address),
        local_id=local_id.value if local_id else None,
        remote_id=remote_id.value if remote_id else None,
        phase1_proposals=phase1_proposals,
        rules=rules,
        local_auth=proofs.local,
        remote_auth=proofs.remote,
        mode=mode or Mode.POLICY,
        local_address=None if local_address is None else str(local_address),
        peer_port=peer_port.value if peer_port else IKE_PORT,
        phase1_lifetimes=phase1_life,
        liveness=liveness(section, report),
        nat=nat.value if nat else Nat.AUTO,
        keepalive_s=keepalive.value if keepalive else KEEPALIVE_S,
        interface=interface,
        allow_weak=is_weak_allowed,
        origin=str(section.at),
        phase1_idle_s=phase1_idle.value.seconds if phase1_idle else None,
        fragmentation=fragmentation(section, report),
        ike=ike,
        v1=terms.v1,
    )
    is_whole = is_named and remote.is_known
    # Only a few log in, and thousands of tunnels may be read.
    wanted = replace(proofs.wanted, login=terms.login) if terms.login else proofs.wanted
    return CompiledTunnel(connection, is_whole, section.at, rules_at, wanted)


@dataclass(frozen=True, slots=True)
class _Remote:
    """The other end; `is_known` is False when it was not said or was refused."""

    is_known: bool
    address: IpAddress | None
    start: Start
    name: str | None = None


def _printed(name: str) -> str:
    return name if _NAME.fullmatch(name) else shown(name)


def check_name(name: str, what: str, at: Position, report: Report) -> bool:
    if _NAME.fullmatch(name):
        return True
    report.error(
        at,
        f"{shown(name)} cannot be the name of a {what}",
        f"names have 1 to {schema.NAME_MAX} letters, digits, underscores and hyphens,"
        " and start with a letter or digit: commands and logs use them",
        f"rename the {what}, to {what}-1 for example",
    )
    return False


def _remote(section: Section, report: Report) -> _Remote:
    peer, start = section.get(schema.PEER), section.get(schema.START)
    if not section.has(schema.PEER):
        report.error(
            section.at,
            f"{section.title} has no peer",
            "the peer is the gateway that the tunnel leads to",
            'add peer = "203.0.113.10", with the peer\'s address',
        )
    if peer is None:
        return _Remote(False, None, start.value if start else Start.TRAFFIC)
    if peer.value.name is not None:
        if not section.has(schema.REMOTE_ID):
            report.error(
                peer.at,
                f"{section.title} has its peer by name and no remote_id",
                "the name's addresses may change, and only the identity tells which peer it is",
                f'add remote_id = "fqdn:{peer.value.name}", as the peer is set to call itself',
            )
        usual = start.value if start else Start.TRAFFIC
        return _Remote(True, None, usual, peer.value.name)
    if peer.value.address is not None:
        return _Remote(True, peer.value.address, start.value if start else Start.TRAFFIC)
    if start is not None and start.value is not Start.LISTEN:
        report.error(
            start.at,
            f'start in {section.title} is "{start.value}" for a peer whose address is not known',
            'phase 1 cannot be started towards peer = "any"',
            'write start = "listen", or the peer\'s address',
        )
    if not section.has(schema.REMOTE_ID):
        report.error(
            peer.at,
            f'{section.title} has peer = "any" and no remote_id',
            "without an address only the identity tells which peer it is",
            'add remote_id = "fqdn:site.example.net", as the peer is set to call itself',
        )
    return _Remote(True, None, Start.LISTEN)


def _rules(
    section: Section, defaults: RuleDefaults, limits: Limits, report: Report
) -> tuple[tuple[ChildPolicy, ...], dict[str, Position], dict[str, bool | None]]:
    """The rules that could be made, where every rule (those that could not too) stands, and what
    each says about being split into pairs."""
    rules: list[ChildPolicy] = []
    paired: dict[str, bool | None] = {}
    places: dict[str, Position] = {}
    for name, node in section.children(schema.RULE):
        places[name] = node.at
        check_name(name, "rule", node.key_at, report)
        title = f"{section.title[:-1]}.rule.{_printed(name)}]"
        own = Section(node, "rule", title, schema.RULE_KEYS, report)
        rule = compile_rule(name, own, defaults, limits, report)
        if rule is not None:
            rules.append(rule)
        one_pair = own.get(schema.RULE_ONE_PAIR)
        paired[name] = None if one_pair is None else one_pair.value
    return tuple(rules), places, paired


def _one_pair_wanted(section: Section) -> bool | None:
    """What a tunnel says for those of its rules that say nothing."""
    given = section.get(schema.ONE_PAIR)
    return None if given is None else given.value


def _in_pairs(
    rules: tuple[ChildPolicy, ...],
    places: dict[str, Position],
    paired: Collection[str],
    title: str,
    report: Report,
) -> tuple[ChildPolicy, ...]:
    """The rules with those of `paired` split; what they became stands where they stood."""
    found: list[ChildPolicy] = []
    for rule in rules:
        parts: tuple[ChildPolicy, ...] = (rule,)
        if rule.name in paired:
            parts = one_for_each_pair(rule, places[rule.name], title, report)
        places.update((part.name, places[rule.name]) for part in parts)
        found += parts
    return tuple(found)


def _local_address(section: Section, peer: IpAddress | None, report: Report) -> IpAddress | None:
    local = section.get(schema.LOCAL_ADDRESS)
    if local is None:
        return None
    if peer is not None and local.value.version != peer.version:
        report.error(
            local.at,
            f"local_address in {section.title} is IPv{local.value.version},"
            f" the peer is IPv{peer.version}",
            "both ends of phase 1 have addresses of one family",
            f"write our IPv{peer.version} address, or leave local_address out",
        )
    return local.value


def _is_aws(section: Section) -> bool:
    suite = section.get(schema.SUITE)
    return suite is not None and suite.value == "aws"


def _warn_aws(section: Section, rules: tuple[ChildPolicy, ...], report: Report) -> None:
    """What AWS does not do, although we could (PRODUCT-GUIDE c.4)."""
    if len(rules) > 1:
        report.warn(
            section.at,
            f"{section.title}: AWS keeps one phase 2 for each tunnel; of {len(rules)} rules only"
            " the last negotiated one will carry traffic",
        )
    if any(rule.lifetimes.lifetime_s > _AWS_LIFETIME_MAX_S for rule in rules):
        report.warn(section.at, f"{section.title}: AWS takes phase 2 lifetimes of up to 1h")
