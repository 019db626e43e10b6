"""`[[bypass]]` and `[[discard]]`: what leaves in clear or not at all, beside the tunnels' rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.key import Key
from isthmus.config.rules import SELECTORS_MAX, ports_given, side
from isthmus.config.section import Section
from isthmus.config.syntax import Node, Position
from isthmus.policy.connection import ChildPolicy, Connection, Mode, PlainRule, Processing
from isthmus.policy.specificity import width
from isthmus.values.selector import (
    ANY_PROTOCOL,
    PORT_MAX,
    Selectors,
    TrafficSelector,
    covers,
)

_EVERYTHING = (TrafficSelector.everything(4), TrafficSelector.everything(6))


@dataclass(frozen=True, slots=True)
class PlacedPlain:
    """A plain rule and where it stands."""

    rule: PlainRule
    at: Position


def compile_plain(section: Section, report: Report) -> tuple[PlacedPlain, ...]:
    """All of a configuration, `[[bypass]]` first, in file order."""
    kinds = ((schema.BYPASS, Processing.BYPASS), (schema.DISCARD, Processing.DISCARD))
    return tuple(chain.from_iterable(_of_kind(section, k, p, report) for k, p in kinds))


def _of_kind(
    section: Section, key: Key[tuple[Node, ...]], processing: Processing, report: Report
) -> Iterator[PlacedPlain]:
    given = section.get(key)
    for number, node in enumerate(given.value if given else (), start=1):
        own = Section(node, key.name, f"[[{key.name}]]", schema.PLAIN_KEYS, report)
        own.refuse_others()
        found = _selectors(own, report)
        if found is not None:
            name = f"{key.name}#{number}"
            yield PlacedPlain(PlainRule(name, processing, *found, str(own.at)), own.at)


def _selectors(section: Section, report: Report) -> tuple[Selectors, Selectors] | None:
    if not any(section.has(key) for key in section.keys):
        report.error(
            section.at,
            f"{section.title} is empty",
            "it would take all traffic of this machine",
            "name networks, a protocol or ports",
        )
        return None
    protocol = section.get(schema.PROTOCOL)
    number = protocol.value if protocol else ANY_PROTOCOL
    sides: list[Selectors] = []
    for key, ports_key in (
        (schema.PLAIN_LOCAL, schema.LOCAL_PORTS),
        (schema.PLAIN_REMOTE, schema.REMOTE_PORTS),
    ):
        ports = ports_given(section, ports_key, number, report)
        given = section.get(key)
        if given is None and section.has(key):
            return None
        if given is not None:
            found = side(given.value, number, ports)
        else:
            found = tuple(
                TrafficSelector(s.start, s.end, number, first, last)
                for s in _EVERYTHING
                for first, last in ([(p.first, p.last) for p in ports] or [(0, 65535)])
            )
        if len(found) > SELECTORS_MAX:
            report.error(
                section.at,
                f"{section.title} makes {len(found)} selectors",
                f"there may be {SELECTORS_MAX} on each side (networks times port ranges)",
                "split it into several, or use wider networks",
            )
        sides.append(found)
    families = {s.version for s in sides[0]} & {s.version for s in sides[1]}
    if not families:
        report.error(
            section.at,
            f"{section.title} joins networks of different families",
            "a packet has addresses of one family, so none would ever match",
            "write networks of the same family on both sides",
        )
        return None
    local, remote = (tuple(s for s in found if s.version in families) for found in sides)
    return local, remote


def check_plain(
    plain: Sequence[PlacedPlain], connections: Sequence[Connection], report: Report
) -> None:
    """Warn about what does nothing, and refuse what cannot be guarded."""
    rules = [
        (f"[tunnel.{c.name}.rule.{rule.name}]", rule)
        for c in connections
        if c.mode is Mode.POLICY
        for rule in c.rules
    ]
    first: dict[tuple[Selectors, Selectors], PlainRule] = {}
    for placed in plain:
        own, at = placed.rule, placed.at
        known = first.setdefault((own.local, own.remote), own)
        same = [title for title, r in rules if _is_within(r, own) and _lies_in(own, r)]
        same += [known.name] if known is not own else []
        if same:
            report.error(
                at,
                f"{own.name} is for the same traffic as {same[0]}",
                "a packet would fit both, and only one of them could ever be used",
                "take one of the two out, or change its networks, protocol or ports",
            )
            continue
        size = width(own.local, own.remote)
        meeting = [(title, rule) for title, rule in rules if _meet(own, rule)]
        inner = [t for t, r in meeting if width(r.local, r.remote) <= size]
        outer = [t for t, r in meeting if width(r.local, r.remote) > size]
        for title, rule in meeting:
            is_bypass = own.processing is Processing.BYPASS
            if is_bypass and title in inner and not _is_within(rule, own):
                report.warn(
                    at,
                    f"{own.name} does not apply to what {title} takes, which is the more specific"
                    " one; name its networks on both sides if it should",
                )
        edges = [s for s in (*own.local, *own.remote) if not s.any_port]
        if any(s.port_start == 0 or s.port_end == PORT_MAX for s in edges):
            report.warn(
                at,
                f"{own.name} names port 0 or {PORT_MAX}, which routing rules cannot: outside of the"
                " tunnels' own networks it does not apply to that port",
            )
        if own.processing is Processing.BYPASS and inner and outer:
            report.error(
                at,
                f"{own.name} lies within {outer[0]}, and {inner[0]} within it",
                "clear text that comes in could not be told from what should have come protected",
                f"split {own.name} so that {inner[0]} is outside of it",
            )


def _meet(own: PlainRule, rule: ChildPolicy) -> bool:
    return all(
        any(a.intersect(b) is not None for a in one for b in other)
        for one, other in ((own.local, rule.local), (own.remote, rule.remote))
    )


def _lies_in(own: PlainRule, rule: ChildPolicy) -> bool:
    return covers(rule.local, own.local) and covers(rule.remote, own.remote)


def _is_within(rule: ChildPolicy, own: PlainRule) -> bool:
    return covers(own.local, rule.local) and covers(own.remote, rule.remote)
