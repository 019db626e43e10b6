"""What makes traffic interesting: rules, or the routing table and a tunnel interface."""

from ipaddress import ip_interface

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.mapping import network_maps
from isthmus.config.network_fields import PlacedRoute
from isthmus.config.rules import RuleDefaults
from isthmus.config.section import Section
from isthmus.config.syntax import Position
from isthmus.policy.connection import (
    ROUTE_METRIC,
    ChildPolicy,
    IkeVersion,
    Interface,
    Mode,
    Route,
)
from isthmus.values.address import IpAddress
from isthmus.values.selector import Selectors, TrafficSelector

INTERFACE_NAME_MAX = 15
"""IFNAMSIZ without its NUL."""
_TAKEN_NAMES = ("lo", "all", "default")
_ROUTE_KEYS = (schema.INSIDE, schema.ROUTES, schema.PROTECT, schema.MTU)


def chosen_mode(section: Section, rules_at: dict[str, Position], report: Report) -> Mode | None:
    """The mode that was asked for, or the one that fits; None when it was refused."""
    given = section.get(schema.MODE)
    if given is None:
        if section.has(schema.MODE):
            return None
        return Mode.POLICY if section.has(schema.RULE) else Mode.ROUTE
    if given.value is Mode.ROUTE and len(rules_at) > 1:
        report.error(
            given.at,
            f'{section.title} has mode = "route" and {len(rules_at)} rules',
            "with routes one phase 2 carries whatever the routing table sends to the interface",
            'keep one rule at most, or write mode = "policy"',
        )
    return given.value


def compile_interface(
    name: str, section: Section, named_at: Position, peer: IpAddress | None, report: Report
) -> Interface:
    """The tunnel interface of a route-based tunnel; it has the tunnel's name."""
    if len(name) > INTERFACE_NAME_MAX or name in _TAKEN_NAMES:
        report.error(
            named_at,
            f"{section.title} cannot name its tunnel interface",
            f"the interface has the tunnel's name, which Linux bounds to {INTERFACE_NAME_MAX}"
            f" characters; {', '.join(_TAKEN_NAMES)} are taken",
            f"rename the tunnel, to {name[: INTERFACE_NAME_MAX - 1]}1 for example"
            if name not in _TAKEN_NAMES
            else "rename the tunnel",
        )
    inside, routes = section.get(schema.INSIDE), section.get(schema.ROUTES)
    mtu, protect = section.get(schema.MTU), section.get(schema.PROTECT)
    for placed in routes.value if routes else ():
        if peer is not None and peer in placed.network:
            report.warn(
                placed.at,
                f"{section.title}: the route {placed.network} covers the peer {peer} itself; keep"
                " a route to the peer outside of the tunnel",
            )
    return Interface(
        name=name,
        addresses=tuple(str(address) for address in inside.value) if inside else (),
        routes=policy_routes(routes.value) if routes else (),
        mtu=mtu.value if mtu else None,
        protect=tuple(str(placed.network) for placed in protect.value) if protect else (),
    )


def policy_routes(placed: tuple[PlacedRoute, ...]) -> tuple[Route, ...]:
    """Routes without their places; those that name no metric have the usual one."""
    return tuple(
        Route(str(p.network), ROUTE_METRIC if p.metric is None else p.metric) for p in placed
    )


def route_rule(
    name: str,
    defaults: RuleDefaults,
    interface: Interface,
    ike: IkeVersion,
    section: Section,
    report: Report,
) -> ChildPolicy:
    """The one rule of a tunnel without rules: everything, as the routing table decides. IKEv1 has
    one pair of networks, so that it is everything of one family."""
    everything: Selectors = (TrafficSelector.everything(4), TrafficSelector.everything(6))
    if ike is not IkeVersion.V2:
        everything = (TrafficSelector.everything(_family(interface, section, report)),)
    return ChildPolicy(
        name=name,
        local=everything,
        remote=everything,
        proposals=defaults.proposals,
        start=defaults.start,
        lifetimes=defaults.lifetimes,
        replay_window=defaults.replay_window,
        df=defaults.df,
        clamp_mss=defaults.clamp_mss,
        origin=str(section.at),
        idle_s=defaults.idle_s,
        map_local=network_maps(defaults.map_local, (), f"[tunnel.{name}]", report),
    )


def _family(interface: Interface, section: Section, report: Report) -> int:
    """4 or 6, whichever the interface has to do with; 4 if nothing says so."""
    networks = (*interface.addresses, *(r.network for r in interface.routes), *interface.protect)
    families = {ip_interface(text).version for text in networks}
    if len(families) > 1:
        report.error(
            section.at,
            f"{section.title} has inside addresses and routes of both IPv4 and IPv6",
            "IKEv1 has one pair of networks a phase 2, so that a route-based tunnel carries one"
            " family",
            'write one of the two only, rules with mode = "policy", or ike = 2',
        )
    return 6 if families == {6} else 4


def check_policy_mode(section: Section, rules_at: dict[str, Position], report: Report) -> None:
    """A policy-based tunnel has rules, and nothing that belongs to an interface."""
    if not rules_at and not _has_broken_rules(section):
        report.error(
            section.at,
            f'{section.title} has mode = "policy" and no rule',
            "no packet would ever be interesting",
            f"add [{section.title[1:-1]}.rule.NAME] with local and remote networks",
        )
    for key in _ROUTE_KEYS:
        if not section.has(key):
            continue
        report.error(
            section.table[key.name].key_at,
            f"{key.name} in {section.title} belongs to route mode",
            "a tunnel with rules has no interface of its own that it could apply to",
            f'take {key.name} out, or write mode = "route"',
        )


def _has_broken_rules(section: Section) -> bool:
    """Something stands under `rule` and was refused already."""
    return section.has(schema.RULE) and section.table[schema.RULE.name].value != {}


def warn_recursion(
    title: str,
    rules: tuple[ChildPolicy, ...],
    rules_at: dict[str, Position],
    peer: IpAddress | None,
    report: Report,
) -> None:
    """Warn about remote networks that hold the peer itself."""
    if peer is None:
        return
    for rule in rules:
        host = TrafficSelector(peer, peer)
        if any(selector.intersect(host) for selector in rule.remote):
            report.warn(
                rules_at[rule.name],
                f"{title}: the remote networks of rule {rule.name} hold the peer {peer} itself;"
                " packets to the peer other than IKE and ESP go into the tunnel",
            )
