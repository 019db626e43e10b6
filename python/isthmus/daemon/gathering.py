"""Many routing rules become one where our routing table says the same.

The kernel looks at routing rules one after the other, for each packet: thousands of them cost more
than sealing it. In a table it finds any of thousands of networks at once. So where a local network
belongs to every network that our table reaches, as on a gateway with many branches, it is enough
to ask which local network a packet is of.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from isthmus.backends.wishes import MAIN_TABLE, TABLE, RouteWish, RuleWish

GATHERED_MIN = 8
"""Fewer are as quick, and easier to read."""


def gathered(
    rules: Iterable[RuleWish], routes: Iterable[RouteWish], interface: str
) -> Iterator[RuleWish]:
    """The same rules in fewer. `interface` is the device that protected packets come out of."""
    reached: dict[int, set[str | None]] = {4: set(), 6: set()}
    for route in routes:
        if route.table == TABLE and route.interface is not None:
            reached[6 if ":" in route.destination else 4].add(route.destination)
    groups: dict[RuleWish, list[RuleWish]] = {}
    for rule in rules:
        groups.setdefault(_without_far_network(rule, interface), []).append(rule)
    for common, members in groups.items():
        far = {m.destination if common.table == TABLE else m.source for m in members}
        everywhere = len(far) >= GATHERED_MIN and far == reached[common.version]
        yield from [common] if everywhere else members


def _without_far_network(rule: RuleWish, interface: str) -> RuleWish:
    """What rules have in common that differ in the network behind a tunnel only; a rule of another
    kind stands for itself."""
    if rule.action == "lookup" and rule.table == TABLE:
        # Without a route for its destination in our table, a packet goes on to the next rule.
        return replace(rule, destination=None)
    if rule.action == "lookup" and rule.table == MAIN_TABLE and rule.input_interface == interface:
        # Out of the device comes only what came through a tunnel.
        return replace(rule, source=None)
    return rule
