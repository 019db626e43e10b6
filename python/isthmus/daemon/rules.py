"""Which number a rule and an interface have in the plane, and how each rule is armed."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from isthmus.backends.specs import (
    InterfaceState,
    OnNoSa,
    PolicySpec,
    PolicyState,
    SelectorsSpec,
)
from isthmus.backends.translate import plain_spec, policy_name, policy_spec, range_specs
from isthmus.daemon.network_plan import POLICY_INTERFACE, interface_of
from isthmus.policy.connection import Configuration, Mode
from isthmus.policy.specificity import Width, width
from isthmus.values.selector import TrafficSelector

SILENCER = "(no source)"
"""In the place of a rule's name, which cannot look so."""


class RuleName(NamedTuple):
    """A rule among those of all tunnels."""

    tunnel: str
    rule: str


class InterfaceName(NamedTuple):
    """A device by the kernel's name and by the plane's number."""

    name: str
    number: int


class RuleBook:
    """Names to numbers and back. Numbers that the plane has already are kept: its SAs refer to
    them, and they outlive an IKE process."""

    def __init__(
        self,
        configuration: Configuration,
        policies: Iterable[PolicyState] = (),
        interfaces: Iterable[InterfaceState] = (),
    ) -> None:
        names = dict.fromkeys(interface_of(c) for c in configuration.connections)
        self.interfaces = _numbers(names, {i.name: i.interface for i in interfaces})
        """The number of each interface by its name."""
        self._interface_of = {
            c.name: InterfaceName(interface_of(c), self.interfaces[interface_of(c)])
            for c in configuration.connections
        }
        entries = {
            policy_name(c.name, rule.name): (c, rule)
            for c in configuration.connections
            for rule in c.rules
        }
        routed = [c.name for c in configuration.connections if c.mode is Mode.ROUTE]
        silencers = {
            policy_name(name, SILENCER): self._interface_of[name].number for name in routed
        }
        plain = {
            rule.name: rule for rule in configuration.plain if POLICY_INTERFACE in self.interfaces
        }
        numbers = _numbers((*entries, *silencers, *plain), {p.name: p.id for p in policies})
        specs: list[tuple[Width, PolicySpec]] = []
        self._numbers: dict[RuleName, int] = {}
        self._names: dict[int, RuleName] = {}
        for name, (connection, rule) in entries.items():
            number = numbers[name]
            key = RuleName(connection.name, rule.name)
            self._numbers[key] = number
            self._names[number] = key
            interface = self.interfaces[interface_of(connection)]
            spec = policy_spec(number, connection.name, rule, interface)
            specs.append((width(rule.local, rule.remote), spec))
        for name, own in plain.items():
            spec = plain_spec(numbers[name], own, self.interfaces[POLICY_INTERFACE])
            specs.append((width(own.local, own.remote), spec))
        # Stable: rules of the same width stay in file order.
        specs.sort(key=lambda entry: entry[0])
        first = [_silencer(numbers[name], name, number) for name, number in silencers.items()]
        self._specs = {spec.id: spec for spec in (*first, *(spec for _, spec in specs))}
        self._dropped: tuple[PolicySpec, ...] = ()

    def number(self, tunnel: str, rule: str) -> int | None:
        """The plane's number of a rule."""
        return self._numbers.get(RuleName(tunnel, rule))

    def interface(self, tunnel: str) -> InterfaceName | None:
        """The device that a tunnel's packets go through."""
        return self._interface_of.get(tunnel)

    def name(self, number: int) -> RuleName | None:
        """The rule of a number of the plane."""
        return self._names.get(number)

    def arm(self, tunnel: str, rule: str, on_no_sa: OnNoSa) -> bool:
        """Treat packets without an SA so from now on; False when that is nothing new."""
        number = self.number(tunnel, rule)
        if number is None or self._specs[number].on_no_sa == on_no_sa:
            return False
        self._specs[number] = msgspec.structs.replace(self._specs[number], on_no_sa=on_no_sa)
        return True

    def follow(self, earlier: "RuleBook") -> None:
        """Take over how the rules of an earlier book are armed, and for the moment drop what only
        that one protected: nothing may leave in clear between the change of the policies and that
        of the routes."""
        for key, number in earlier._numbers.items():
            self.arm(key.tunnel, key.rule, earlier._specs[number].on_no_sa)
        taken = frozenset((*self._specs, *earlier._specs))
        dropped = (
            spec
            for spec in earlier._specs.values()
            if spec.action != "bypass" and not self._protects(spec)
        )
        self._dropped = tuple(
            msgspec.structs.replace(spec, id=number, name=f"{spec.name} (before)", action="discard")
            for number, spec in zip(_free(taken), dropped, strict=False)
        )

    def settle(self) -> bool:
        """Network and policies agree again; True when that changes the policies."""
        was, self._dropped = self._dropped, ()
        return was != ()

    def _protects(self, spec: PolicySpec) -> bool:
        mine = self._specs.get(spec.id)
        return mine is not None and (mine.interface, mine.selectors, mine.action) == (
            spec.interface,
            spec.selectors,
            spec.action,
        )

    def policies(self) -> tuple[PolicySpec, ...]:
        """The SPD, the most specific rule first."""
        return (*self._specs.values(), *self._dropped)


def _silencer(number: int, name: str, interface: int) -> PolicySpec:
    """The kernel's own noise on a device (multicast listener reports) has no source address. It
    must not be forwarded (RFC 4291 §2.5.2) and is no traffic that anybody waits for."""
    nowhere = (TrafficSelector.of_network("0.0.0.0/32"), TrafficSelector.of_network("::/128"))
    anywhere = (TrafficSelector.everything(4), TrafficSelector.everything(6))
    selectors = SelectorsSpec(range_specs(nowhere), range_specs(anywhere))
    return PolicySpec(number, name, interface, "discard", selectors)


def _numbers(names: Iterable[str], taken: dict[str, int]) -> dict[str, int]:
    names = tuple(names)
    kept = {name: taken[name] for name in names if name in taken}
    free = _free(frozenset(taken.values()))
    return {name: kept[name] if name in kept else next(free) for name in names}


def _free(taken: frozenset[int]) -> Iterator[int]:
    number = 0
    while True:
        number += 1
        if number not in taken:
            yield number
