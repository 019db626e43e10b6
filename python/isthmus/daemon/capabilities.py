"""Only what passed its self-test on this machine is offered and accepted (S-29)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from isthmus.crypto.selftest import Capabilities
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.errors import LocalFault
from isthmus.values.proposal import Proposal, Transform


def without_withdrawn(
    configuration: Configuration, capabilities: Capabilities
) -> tuple[Configuration, tuple[str, ...]]:
    """The same configuration without algorithms that failed, and a sentence about each loss.

    Raises LocalFault when nothing is left of a tunnel's or a rule's proposals.
    """
    warnings: list[str] = []
    connections: list[Connection] = []
    for connection in configuration.connections:
        rules = [
            replace(
                rule,
                proposals=_usable(
                    f"{connection.name}/{rule.name}", rule.proposals, capabilities, warnings
                ),
            )
            for rule in connection.rules
        ]
        phase1 = _usable(connection.name, connection.phase1_proposals, capabilities, warnings)
        connections.append(replace(connection, phase1_proposals=phase1, rules=tuple(rules)))
    cleaned = replace(configuration, connections=tuple(connections))
    return cleaned, tuple(dict.fromkeys(warnings))


def _usable(
    where: str,
    proposals: Iterable[Proposal],
    capabilities: Capabilities,
    warnings: list[str],
) -> tuple[Proposal, ...]:
    usable = tuple(_strip(where, proposals, capabilities, warnings))
    if not usable:
        raise LocalFault(
            f"{where}: none of its proposals can be used on this machine; {'; '.join(warnings)}"
        )
    return usable


def _strip(
    where: str,
    proposals: Iterable[Proposal],
    capabilities: Capabilities,
    warnings: list[str],
) -> Iterator[Proposal]:
    for proposal in proposals:
        lost = capabilities.unsupported(proposal)
        warnings += (f"{where}: {withdrawn} is not offered" for withdrawn in lost)
        gone: set[Transform] = {withdrawn.transform for withdrawn in lost}
        kept = tuple(t for t in proposal.transforms if t not in gone)
        if {t.kind for t in kept} == proposal.kinds():
            yield replace(proposal, transforms=kept)
