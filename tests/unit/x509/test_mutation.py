"""Mutated certificates, lists and answers: ours are the only exceptions, and nothing takes long.

`make mutate-x509` looks at 100,000 (issue 4); here are as many as CI has time for.
"""

import random

import pytest

from . import campaign

COUNT = 6_000
GROWTH_MAX_KIB = 16 * 1024

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def test_mutants_are_refused_or_harmless() -> None:
    report = campaign.run(COUNT)
    # How long one takes is judged where the machine is idle (`make mutate-x509`).
    report.slowest = min(report.slowest, campaign.SLOWEST_MAX_S)
    assert not report.complaints(GROWTH_MAX_KIB), "\n".join(report.lines())
    assert sum(report.outcomes.values()) == report.count == COUNT


def test_mutants_come_as_far_as_each_check() -> None:
    """If nearly all died in the parser, the rest of the verifier would not have been looked at."""
    report = campaign.run(2_000, seed=500_000)
    unreadable = sum(report.outcomes[code] for code in ("E157", "E162", "E163"))
    assert report.outcomes["accepted"] > 10
    assert unreadable < 0.9 * report.count
    assert len(report.outcomes) >= 10


def test_a_mutant_is_its_seed() -> None:
    sample = campaign.samples().certificates[0]
    one, again = (campaign.mutant(sample, random.Random(7), sample) for _ in range(2))
    assert one == again != sample


def test_an_escaped_exception_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign is checked: a parser that lets something through is found."""

    def broken(*_: object) -> str:
        raise IndexError("out of range")

    monkeypatch.setattr(campaign.Campaign, "look_at", broken)
    report = campaign.run(10)
    assert len(report.complaints(GROWTH_MAX_KIB)) == 10
    assert "IndexError" in report.complaints(GROWTH_MAX_KIB)[0]
