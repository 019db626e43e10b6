"""Certificate policies along a path (RFC 5280 §6.1 as RFC 9618 mends it).

The valid policies form a graph with one node for each policy and depth. The tree of RFC 5280, which
this replaces, can grow exponentially with the length of the path.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.extensions import ANY_POLICY


@dataclass(slots=True)
class _Node:
    expected: set[str]
    parents: set[str]
    """Policies of nodes one level up; they exist as long as this one does."""


_Level = dict[str, _Node]


@dataclass(slots=True)
class Policies:
    """The state variables (c) to (f) of RFC 5280 §6.1.2.

    `certificates` is how many there are in the path, the anchor included: what a counter that
    nobody sets begins with, the RFC's n + 1. The RFC's counters stop at 0; these go on below it,
    which means the same.
    """

    certificates: int
    initial: frozenset[str] = frozenset({ANY_POLICY})
    explicit: bool = False
    mapping_inhibited: bool = False
    any_inhibited: bool = False
    _levels: list[_Level] = field(init=False)
    _explicit: int = field(init=False)
    _mapping: int = field(init=False)
    _any: int = field(init=False)

    def __post_init__(self) -> None:
        self._levels = [{ANY_POLICY: _Node({ANY_POLICY}, set())}]
        self._explicit = self._at_first(self.explicit)
        self._mapping = self._at_first(self.mapping_inhibited)
        self._any = self._at_first(self.any_inhibited)

    def _at_first(self, said: bool) -> int:
        """A counter: it holds from the start if our own rules say so."""
        return 0 if said else self.certificates

    def take(self, certificate: Certificate, *, last: bool) -> None:
        """RFC 5280 §6.1.3 d and e; f is told at the end, for policies that are gone stay gone."""
        policies = certificate.extensions.policies
        above = self._levels[-1]
        level: _Level = {}
        if policies is not None:
            takers: dict[str, set[str]] = {}
            for policy, node in above.items():
                for expected in node.expected:
                    takers.setdefault(expected, set()).add(policy)
            for policy in policies:
                if policy == ANY_POLICY:
                    continue
                if policy in takers:
                    level[policy] = _Node({policy}, takers[policy])
                elif ANY_POLICY in above:
                    level[policy] = _Node({policy}, {ANY_POLICY})
            if ANY_POLICY in policies and (self._any > 0 or (not last and certificate.self_issued)):
                for policy, parents in takers.items():
                    if policy not in level:
                        level[policy] = _Node({policy}, parents)
        self._levels.append(level)
        self._prune()  # A level without nodes takes all above it along.

    def prepare(self, certificate: Certificate) -> None:
        """RFC 5280 §6.1.4 a, b and h to j, before the next certificate. Raises Untrusted."""
        self._map(certificate)
        if not certificate.self_issued:
            self._explicit -= 1
            self._mapping -= 1
            self._any -= 1
        said = certificate.extensions
        self._explicit = _least(self._explicit, said.require_explicit_policy)
        self._mapping = _least(self._mapping, said.inhibit_policy_mapping)
        self._any = _least(self._any, said.inhibit_any_policy)

    def finish(self, certificate: Certificate) -> frozenset[str]:
        """RFC 5280 §6.1.5 a, b, g: the policies under which the path holds. Raises Untrusted."""
        # The leaf counts once more.
        asked = self._explicit <= 1 or certificate.extensions.require_explicit_policy == 0
        valid = self._constrained()
        if asked and not valid:
            raise Untrusted(
                Defect.POLICY,
                f"an explicit certificate policy is asked for, and {certificate.subject_text} "
                "has none that the authorities above it allow",
            )
        return valid

    def _constrained(self) -> frozenset[str]:
        """The user-constrained-policy-set of RFC 9618 §5.4."""
        from_authorities = {
            policy
            for level in self._levels
            for policy, node in level.items()
            if policy != ANY_POLICY and ANY_POLICY in node.parents
        }
        has_any = ANY_POLICY in self._levels[-1]
        if ANY_POLICY in self.initial:
            return frozenset(from_authorities | ({ANY_POLICY} if has_any else set()))
        return self.initial if has_any else self.initial & from_authorities

    def _map(self, certificate: Certificate) -> None:
        mapped: dict[str, set[str]] = {}
        for issuer_policy, subject_policy in certificate.extensions.mappings:
            if ANY_POLICY in (issuer_policy, subject_policy):
                raise Untrusted(
                    Defect.POLICY, f"{certificate.subject_text} maps from or to any policy"
                )
            mapped.setdefault(issuer_policy, set()).add(subject_policy)
        level = self._levels[-1]
        for policy, subjects in mapped.items():
            if self._mapping <= 0:
                level.pop(policy, None)
            elif policy in level:
                level[policy].expected = subjects
            elif ANY_POLICY in level:
                level[policy] = _Node(subjects, {ANY_POLICY})

    def _prune(self) -> None:
        """Drop nodes above the lowest level that have no children."""
        for below, level in pairwise(reversed(self._levels)):
            for policy in level.keys() - _parents(below.values()):
                del level[policy]


def _parents(nodes: Iterable[_Node]) -> set[str]:
    return {parent for node in nodes for parent in node.parents}


def _least(counter: int, said: int | None) -> int:
    return counter if said is None else min(counter, said)
