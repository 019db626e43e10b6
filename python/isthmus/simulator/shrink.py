"""Drops incidents that a failure does not need."""

from isthmus.simulator.plan import Scenario
from isthmus.simulator.world import Outcome, World


def shrunk(scenario: Scenario, outcome: Outcome, runs_max: int = 200) -> frozenset[int]:
    """Numbers of incidents that are enough for the same rule to be violated.

    Halves, then quarters and so on are left out for as long as the failure stays. Each try is a
    whole world, so their number is bounded.
    """
    assert outcome.violation is not None, "only a failure is made smaller"
    rule = outcome.violation.rule
    kept = list(range(len(scenario.incidents)))
    size = max(1, len(kept) // 2)
    runs = 0
    while kept and runs < runs_max:
        reduced = False
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            runs += 1
            found = World(scenario.keep(frozenset(rest))).run().violation
            if found is not None and found.rule == rule:
                kept, reduced = rest, True
                break
        if not reduced:
            if size == 1:
                break
            size = max(1, size // 2)
    return frozenset(kept)
