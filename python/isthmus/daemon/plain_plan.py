"""Routing rules of `[[bypass]]` and `[[discard]]`.

The data plane decides over each packet that is led to it, in one order with the tunnels' rules.
What is done here lets clear text of a bypass come in past the guard of a wider rule, keeps a bypass
open when the plane is gone, and drops what never comes to the plane.
"""

from collections.abc import Iterable, Iterator

from isthmus.backends.wishes import MAIN_TABLE, RuleWish
from isthmus.policy.connection import ChildPolicy, PlainRule, Processing
from isthmus.policy.specificity import width
from isthmus.values.selector import IpNetwork, Selectors, TrafficSelector, intersect_all

PORT_FIRST, PORT_LAST = 1, 65534
"""What routing rules can name: the kernel takes neither port 0 nor 65535."""


def clear_rules(plain: Iterable[PlainRule], rule: ChildPolicy, priority: int) -> Iterator[RuleWish]:
    """What of a rule's traffic goes in clear, in both directions, because a bypass is narrower."""
    for own in plain:
        if own.processing is not Processing.BYPASS:
            continue
        if width(own.local, own.remote) >= width(rule.local, rule.remote):
            continue
        local = intersect_all(rule.local, own.local)
        remote = intersect_all(rule.remote, own.remote)
        yield from _both_ways(local, remote, priority, "lookup")


def discard_rules(plain: Iterable[PlainRule], priority: int) -> Iterator[RuleWish]:
    """What no tunnel's rule takes and is to be dropped, in both directions."""
    for own in plain:
        if own.processing is Processing.DISCARD:
            yield from _both_ways(own.local, own.remote, priority, "blackhole")


def _both_ways(
    local: Selectors, remote: Selectors, priority: int, action: str
) -> Iterator[RuleWish]:
    for ours in local:
        for theirs in remote:
            if ours.version != theirs.version:
                continue
            if not _can_be_told(ours) or not _can_be_told(theirs):
                continue
            if ours.protocol and theirs.protocol and ours.protocol != theirs.protocol:
                continue
            for near in ours.networks():
                for far in theirs.networks():
                    for source, destination, sender, receiver in (
                        (near, far, ours, theirs),
                        (far, near, theirs, ours),
                    ):
                        yield RuleWish(
                            priority=priority,
                            version=ours.version,
                            action=action,
                            table=MAIN_TABLE if action == "lookup" else 0,
                            source=_text(source),
                            destination=_text(destination),
                            protocol=ours.protocol or theirs.protocol,
                            source_ports=_ports(sender),
                            destination_ports=_ports(receiver),
                        )


def _text(network: IpNetwork) -> str | None:
    """The kernel does not tell "any" from "not said"."""
    return str(network) if network.prefixlen else None


def _ports(selector: TrafficSelector) -> tuple[int, int] | None:
    if selector.any_port:
        return None
    return max(selector.port_start, PORT_FIRST), min(selector.port_end, PORT_LAST)


def _can_be_told(selector: TrafficSelector) -> bool:
    return selector.port_end >= PORT_FIRST and selector.port_start <= PORT_LAST
