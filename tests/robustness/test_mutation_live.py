"""Mutants at a running daemon, in small: `make mutate` and `make mutate-ikev1` do the 200,000."""

import tempfile
from pathlib import Path

import pytest
from tests.interop.support import require_root_and

from . import campaign

pytestmark = [pytest.mark.root, pytest.mark.slow]

MUTANTS, WARM_UP = 12_000, 8_000
GROWTH_MAX_KIB = 8 * 1024
"""More than `make mutate` lets pass: the journal's thousand entries are still filling up here."""


@pytest.mark.parametrize("version", [2, 1], ids=["IKEv2", "IKEv1"])
def test_a_running_daemon_outlives_mutants_and_its_tunnel_carries_on(version: int) -> None:
    """20,000 of them: no fault, no restart, no ping lost, no growth, and nothing left over."""
    require_root_and()
    with tempfile.TemporaryDirectory(prefix="isth-") as directory:
        report = campaign.run(Path(directory), MUTANTS, warm_up=WARM_UP, version=version)
    print("\n".join(report.lines()))
    assert report.complaints(GROWTH_MAX_KIB) == []
    behind = sum(n for kind, n in report.sent.items() if kind.startswith("sealed"))
    assert report.total >= MUTANTS + WARM_UP and behind >= MUTANTS // 5
    # They did get there, and not only as far as the first check.
    if version == 2:
        assert report.tally["answer_INVALID_SYNTAX"] > 100 and report.tally["established"] > 100
    else:
        assert report.tally["answer_PAYLOAD_MALFORMED"] > 50 and report.tally["established"] > 10
        assert report.tally["quick_answered"] > 20 and report.tally["proof_refused"] > 0
        assert report.tally["passwords_refused"] > 0
    assert report.counters["drop_no_sa_inbound"] > 100
    assert report.counters["ike_events"] > report.total // 3
