"""A `[group.NAME]` of tunnels to one site becomes a `Group`."""

from collections.abc import Sequence
from itertools import combinations

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.fields import shown
from isthmus.config.modes import policy_routes
from isthmus.config.section import Section
from isthmus.config.syntax import Node, Position
from isthmus.config.tunnel import CompiledTunnel, check_name
from isthmus.policy.connection import Connection, Group, Mode, Prefer, Route


def compile_groups(
    file: Section, tunnels: Sequence[CompiledTunnel], report: Report
) -> tuple[Group, ...]:
    """All groups of the file. What is wrong goes into the report."""
    connections = {tunnel.connection.name: tunnel.connection for tunnel in tunnels}
    nodes = dict(file.children(schema.GROUP))
    groups = [_compile_group(name, node, connections, report) for name, node in nodes.items()]
    owners: dict[str, Group] = {}
    for group in groups:
        for tunnel in group.tunnels:
            owner = owners.setdefault(tunnel, group)
            if owner is not group:
                report.error(
                    nodes[group.name].at,
                    f"[group.{group.name}] and [group.{owner.name}] both have the tunnel {tunnel}",
                    "each group would choose for itself whether the tunnel carries",
                    "name each tunnel in one group",
                )
    _warn_shared_routes(tunnels, groups, report)
    return tuple(groups)


def _compile_group(
    name: str, node: Node, connections: dict[str, Connection], report: Report
) -> Group:
    section = Section(node, "group", f"[group.{name}]", schema.GROUP_KEYS, report)
    section.refuse_others()
    check_name(name, "group", node.key_at, report)
    if name in connections:
        report.error(
            node.key_at,
            f"{section.title} has the name of a tunnel",
            "commands and the status could not tell the two apart",
            f"rename the group, to {name}-pair for example",
        )
    section.get(schema.ASYMMETRIC)
    tunnels, prefer = section.get(schema.GROUP_TUNNELS), section.get(schema.PREFER)
    routes, protect = section.get(schema.GROUP_ROUTES), section.get(schema.GROUP_PROTECT)
    if tunnels is None and not section.has(schema.GROUP_TUNNELS):
        report.error(
            section.at,
            f"{section.title} has no tunnels",
            "a group is made of tunnels to one site",
            'add tunnels = ["site-1", "site-2"], with the names of the tunnels',
        )
    for tunnel in tunnels.value if tunnels else ():
        _check_member(section, tunnel, connections, tunnels.at if tunnels else node.at, report)
    if tunnels and len(set(tunnels.value)) < 2:
        report.error(
            tunnels.at,
            f"{section.title} needs at least two different tunnels",
            "one tunnel alone has nobody to stand in for it",
            "name the other tunnel too, or leave the group out",
        )
    if routes and routes.value and prefer and prefer.value is Prefer.BGP:
        report.warn(
            routes.at,
            f'{section.title} has routes and prefer = "bgp": these routes win over those that a'
            " routing daemon learns",
        )
    return Group(
        name=name,
        tunnels=tuple(dict.fromkeys(tunnels.value)) if tunnels else (),
        prefer=prefer.value if prefer else Prefer.ORDER,
        routes=policy_routes(routes.value) if routes else (),
        protect=tuple(str(p.network) for p in protect.value) if protect else (),
        origin=str(section.at),
    )


def _check_member(
    section: Section, name: str, connections: dict[str, Connection], at: Position, report: Report
) -> None:
    connection = connections.get(name)
    if connection is None:
        report.error(
            at,
            f"{section.title} names the tunnel {shown(name)}, which there is not",
            "a group is made of tunnels of this configuration",
            f"the tunnels are {', '.join(sorted(connections)) or 'none yet'}",
        )
    elif connection.mode is not Mode.ROUTE:
        report.error(
            at,
            f"{section.title} names the tunnel {name}, which has rules",
            "tunnels of a group carry what is routed to them",
            f'write mode = "route" in [tunnel.{name}]',
        )


def _warn_shared_routes(
    tunnels: Sequence[CompiledTunnel], groups: Sequence[Group], report: Report
) -> None:
    """Tunnels with one route and metric share its flows: outside of a group that may surprise."""
    together = {frozenset(pair) for g in groups for pair in combinations(g.tunnels, 2)}
    owners: dict[Route, str] = {}
    for tunnel in tunnels:
        interface = tunnel.connection.interface
        for route in interface.routes if interface else ():
            owner = owners.setdefault(route, tunnel.connection.name)
            if owner == tunnel.connection.name:
                continue
            if frozenset((owner, tunnel.connection.name)) not in together:
                report.warn(
                    tunnel.at,
                    f"[tunnel.{tunnel.connection.name}] and [tunnel.{owner}] both have the route"
                    f" {route.network} with metric {route.metric}: they share its traffic; a"
                    " [group.NAME] of the two says so, a higher metric makes one the backup",
                )
