"""`map_local`: networks of ours that the peer sees under other addresses."""

from collections.abc import Iterator
from dataclasses import dataclass

from isthmus.config.errors import Report
from isthmus.config.fields import Cell
from isthmus.config.network_fields import PlacedNetwork, network
from isthmus.config.syntax import Node, Position
from isthmus.policy.mapping import NetworkMap
from isthmus.values.selector import IpNetwork, TrafficSelector

MAPS_MAX = 64
"""The plane takes no more for one rule."""
_EXAMPLE = '{ "10.9.0.0/24" = "172.31.9.0/24" }'


@dataclass(frozen=True, slots=True)
class PlacedMap:
    """One entry. `real` None: the rule's one local network."""

    real: IpNetwork | None
    mapped: IpNetwork
    at: Position


def map_local(cell: Cell) -> tuple[PlacedMap, ...]:
    """A network, or a table from networks of ours to how the peer sees them."""
    value = cell.node.value
    if isinstance(value, str):
        return (PlacedMap(None, network(cell).network, cell.node.at),)
    if not isinstance(value, dict) or not value:
        raise cell.wrong_type("a network or a table of networks", _EXAMPLE)
    if len(value) > MAPS_MAX:
        raise cell.refuse(
            f"has {len(value)} networks",
            f"at most {MAPS_MAX} are mapped for one rule",
            "use wider networks",
        )
    return tuple(
        PlacedMap(
            network(cell.beside(Node(name, node.key_at, node.key_at))).network,
            network(cell.beside(node)).network,
            node.key_at,
        )
        for name, node in value.items()
    )


def network_maps(
    placed: tuple[PlacedMap, ...],
    local: tuple[PlacedNetwork, ...],
    title: str,
    report: Report,
) -> tuple[NetworkMap, ...]:
    """The entries that can be used; `local` are the rule's networks, none where routes decide."""
    found: list[NetworkMap] = []
    for entry in placed:
        real = entry.real
        if real is None:
            if len(local) != 1:
                report.error(
                    entry.at,
                    f"map_local in {title} does not say which network it is for",
                    "one network alone stands for the rule's only local network",
                    f"write map_local = {_EXAMPLE}, with each network and how the peer sees it",
                )
                continue
            real = local[0].network
        if _is_sound(real, entry, found, title, report):
            found.append(NetworkMap(real, entry.mapped))
    for ours in local:
        for problem in _problems(ours.network, found):
            report.error(
                ours.at,
                f"{title}: the local network {ours.network} {problem}",
                "two hosts could have one address in the peer's eyes, or one host two",
                "write local networks that lie within mapped ones, or apart from them",
            )
    return tuple(found)


def _is_sound(
    real: IpNetwork, entry: PlacedMap, found: list[NetworkMap], title: str, report: Report
) -> bool:
    mapped = entry.mapped
    if (real.version, real.prefixlen) != (mapped.version, mapped.prefixlen):
        report.error(
            entry.at,
            f"map_local in {title} maps {real} to {mapped}",
            "hosts keep their place in the network, so both need the same size",
            f"write a network with prefix length {real.prefixlen}"
            if real.version == mapped.version
            else f"write an IPv{real.version} network",
        )
        return False
    for other in found:
        if _overlap(real, other.real) or _overlap(mapped, other.mapped):
            report.error(
                entry.at,
                f"map_local in {title} maps {real} to {mapped}, which overlaps {other}",
                "an address would have two places to go",
                "map networks that are apart, to networks that are apart",
            )
            return False
    return True


def _problems(ours: IpNetwork, maps: list[NetworkMap]) -> Iterator[str]:
    for each in maps:
        if _overlap(ours, each.mapped) and not _within(ours, each.real):
            yield f"overlaps {each.mapped}, which {each.real} is mapped to"
        elif _overlap(ours, each.real) and not _within(ours, each.real):
            yield f"is only in part within {each.real}, which is mapped"


def _overlap(one: IpNetwork, other: IpNetwork) -> bool:
    both = TrafficSelector.of_network(one).intersect(TrafficSelector.of_network(other))
    return both is not None


def _within(narrow: IpNetwork, wide: IpNetwork) -> bool:
    return TrafficSelector.of_network(wide).contains(TrafficSelector.of_network(narrow))
