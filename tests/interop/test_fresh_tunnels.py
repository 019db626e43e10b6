"""A hundred tunnels in a row, so that public values and secrets with leading zeros are met."""

import pytest

from isthmus.lab import measure

from .flows import bring_up
from .support import SITE_A, SITE_B, SUITES, Pair, Suite, eventually, terms

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

TUNNELS = 100
_SUITES = (SUITES[1], SUITES[2])


@pytest.mark.parametrize("suite", _SUITES, ids=[suite.name for suite in _SUITES])
def test_hundred_fresh_tunnels(pair: Pair, suite: Suite) -> None:
    """Each comes up at once, started by either side in turn, and its keys carry a ping.

    One secret in 256 has a leading zero octet: a side that drops it derives other keys.
    """
    pair.begin(terms(suite, 4))
    seen = set()
    for number in range(TUNNELS):
        bring_up(pair, "initiator" if number % 2 else "responder")
        seen |= pair.near.ike_sas()
        pings = measure.ping(
            pair.world, SITE_A.host, SITE_B.host4, count=1, interval_s=0.01, wait_s=2.0
        )
        assert pings.received == 1, f"tunnel {number} does not carry traffic"
        (pair.far if number % 2 else pair.near).close()
        eventually("the tunnel is gone on both sides", pair.quiet)
    assert len(seen) == TUNNELS
