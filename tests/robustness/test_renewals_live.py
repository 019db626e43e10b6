"""Renewals by both ends at once under traffic, in small: `make soak-rekey` does a thousand."""

import tempfile
from pathlib import Path

import pytest
from tests.interop.support import require_root_and

from . import renewals

pytestmark = [pytest.mark.root, pytest.mark.slow]

PHASE2, PHASE1, MIXED = 40, 8, 4
GROWTH_MAX_KIB = 4 * 1024
"""More than `make soak-rekey` lets pass: the journal is still filling up here."""


def test_both_ends_renew_at_once_under_traffic_and_nothing_is_lost_or_left_over() -> None:
    require_root_and()
    with tempfile.TemporaryDirectory(prefix="isth-") as directory:
        report = renewals.run(Path(directory), PHASE2, PHASE1, MIXED)
    print("\n".join(report.lines()))
    assert report.complaints(GROWTH_MAX_KIB) == []
    assert report.renewed(2) >= PHASE2 and report.renewed(1) >= PHASE1
    assert report.collisions(2) > 0 and report.collisions(1) > 0, "some of them did cross"
    assert all(flow.sent > 1000 * report.seconds for flow in report.flows.values())
