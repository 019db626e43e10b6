"""What only shows between rules or between tunnels: overlaps and twins."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_interface

from isthmus.config.errors import Report
from isthmus.config.syntax import Position
from isthmus.config.tunnel import CompiledTunnel
from isthmus.policy.connection import ChildPolicy, Connection, Mode
from isthmus.values.identity import Identity, IdentityPattern
from isthmus.values.selector import Selectors, TrafficSelector, covers, selectors_text


@dataclass(frozen=True, slots=True)
class _PlacedRule:
    tunnel: str
    rule: ChildPolicy
    at: Position

    def __str__(self) -> str:
        return f"[tunnel.{self.tunnel}.rule.{self.rule.name}]"


def check_together(tunnels: Sequence[CompiledTunnel], report: Report) -> None:
    """Everything that concerns more than one tunnel or rule."""
    _check_rules(tunnels, report)
    _check_twins(tunnels, report)
    _check_interfaces(tunnels, report)


def most_specific_first(connection: Connection) -> Connection:
    """The connection with each rule before those whose traffic contains its own.

    Rules that do not meet stay in the order of the file.
    """
    placed = [
        _PlacedRule(connection.name, rule, Position("", 0, index))
        for index, rule in enumerate(connection.rules)
    ]
    before: dict[int, set[int]] = {index: set() for index in range(len(placed))}
    for one, other in _candidates(placed):
        for narrow, wide in ((one, other), (other, one)):
            # Identical rules lie within each other; they are refused elsewhere.
            if _is_within(narrow.rule, wide.rule) and not _is_within(wide.rule, narrow.rule):
                before[wide.at.column].add(narrow.at.column)
    order: list[int] = []
    while before:
        ready = next(index for index, narrower in before.items() if narrower <= set(order))
        order.append(ready)
        del before[ready]
    return replace(connection, rules=tuple(connection.rules[index] for index in order))


def _is_within(narrow: ChildPolicy, wide: ChildPolicy) -> bool:
    return covers(wide.local, narrow.local) and covers(wide.remote, narrow.remote)


def _meets(one: Selectors, other: Selectors) -> bool:
    return any(a.intersect(b) is not None for a in one for b in other)


def _check_rules(tunnels: Sequence[CompiledTunnel], report: Report) -> None:
    """Refuse rules between which the choice of a packet would be arbitrary."""
    placed = [
        _PlacedRule(tunnel.connection.name, rule, tunnel.rules_at.get(rule.name, tunnel.at))
        for tunnel in tunnels
        if tunnel.connection.mode is Mode.POLICY
        for rule in tunnel.connection.rules
    ]
    for one, other in _candidates(placed):
        if not (
            _meets(one.rule.local, other.rule.local) and _meets(one.rule.remote, other.rule.remote)
        ):
            continue
        first, second = sorted((one, other), key=lambda r: r.at)
        within = _is_within(one.rule, other.rule), _is_within(other.rule, one.rule)
        if all(within):
            report.error(
                second.at,
                f"{second} covers the same traffic as {first} at {first.at}",
                "a packet would fit both, and only one of them could ever be used",
                "take one of the two out, or change its networks, protocol or ports",
            )
        elif not any(within):
            report.error(
                second.at,
                f"{second} overlaps {first} at {first.at}",
                "some packets fit both and neither rule is the more specific one:"
                f" {_common(first.rule, second.rule)}",
                "split the networks so that the rules are apart, or one lies wholly in the other",
            )


def _common(one: ChildPolicy, other: ChildPolicy) -> str:
    """An example of what both rules match."""
    local = next(both for a in one.local for b in other.local if (both := a.intersect(b)))
    remote = next(both for a in one.remote for b in other.remote if (both := a.intersect(b)))
    return f"{selectors_text((local,))} to {selectors_text((remote,))}"


def _candidates(rules: Sequence[_PlacedRule]) -> Iterator[tuple[_PlacedRule, _PlacedRule]]:
    """Pairs of rules whose remote addresses meet, found by a sweep over the address line."""
    ends: list[tuple[int, int, int, int]] = []
    for index, placed in enumerate(rules):
        ends.extend(_span(selector, index) for selector in placed.rule.remote)
    open_spans: list[tuple[int, int, int, int]] = []
    seen: set[tuple[int, int]] = set()
    for span in sorted(ends):
        version, start, _, index = span
        open_spans = [s for s in open_spans if s[0] == version and s[2] >= start]
        for _, _, _, earlier in open_spans:
            pair = min(earlier, index), max(earlier, index)
            if earlier != index and pair not in seen:
                seen.add(pair)
                yield rules[pair[0]], rules[pair[1]]
        open_spans.append(span)


def _span(selector: TrafficSelector, index: int) -> tuple[int, int, int, int]:
    return selector.version, int(selector.start), int(selector.end), index


def _ends(connection: Connection) -> tuple[object, ...]:
    """What a peer's messages are told apart by."""
    remote_id = None if connection.remote_id is None else _folded(connection.remote_id)
    if remote_id is None and connection.peer is not None:
        with suppress(ValueError):  # A name without remote_id was refused already.
            remote_id = _folded(Identity.parse(connection.peer))
    local_id = None if connection.local_id is None else _folded(connection.local_id)
    return connection.peer, connection.local_address, local_id, remote_id


def _folded(identity: Identity | IdentityPattern) -> object:
    """Identities that match each other have the same value."""
    return identity.key if isinstance(identity, Identity) else identity.text.lower()


def _check_twins(tunnels: Sequence[CompiledTunnel], report: Report) -> None:
    first: dict[tuple[object, ...], CompiledTunnel] = {}
    for tunnel in tunnels:
        known = first.setdefault(_ends(tunnel.connection), tunnel)
        if known is tunnel:
            continue
        report.error(
            tunnel.at,
            f"[tunnel.{tunnel.connection.name}] has the same peer and identities as"
            f" [tunnel.{known.connection.name}] at {known.at}",
            "when the peer calls, nothing would tell which of the two it means",
            "write the rules of both into one tunnel, or give each its own local_id and remote_id"
            " (or local_address)",
        )


def _check_interfaces(tunnels: Sequence[CompiledTunnel], report: Report) -> None:
    inside: dict[str, str] = {}
    for tunnel in tunnels:
        interface = tunnel.connection.interface
        if interface is None:
            continue
        for address in interface.addresses:
            host = str(ip_interface(address).ip)
            owner = inside.setdefault(host, interface.name)
            if owner != interface.name:
                report.error(
                    tunnel.at,
                    f"[tunnel.{interface.name}] has the inside address {host} of [tunnel.{owner}]",
                    "replies to it could only come back through one of the two",
                    "give each tunnel an inside address of its own",
                )
