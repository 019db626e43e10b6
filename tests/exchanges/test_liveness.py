"""When a peer that has fallen silent is found dead (RFC 7296 §2.4)."""

import pytest

from isthmus.policy.connection import Liveness

from .pair import RIGHT, Pair, connection, rule

STEP_S = 0.05


@pytest.mark.parametrize(
    ("every_s", "timeout_s", "dead_after_s"),
    [
        (10.0, 40.0, 40.0),
        (2.0, 6.0, 6.0),
        (1.0, 4.0, 4.0),
        # Half of the timeout or more has passed by the first question: all is left for asking.
        (1.0, 2.0, 3.0),
        (10.0, 10.0, 20.0),
    ],
)
def test_a_silent_peer_is_dead_when_the_timeout_has_passed_since_it_was_heard(
    every_s: float, timeout_s: float, dead_after_s: float
) -> None:
    liveness = Liveness(every_s=every_s, timeout_s=timeout_s)
    pair = Pair(connection("b", RIGHT, (rule(),), liveness=liveness)).establish()
    heard = pair.now
    while pair.left.sas and pair.now < heard + 10 * timeout_s:
        pair.advance(STEP_S, deliver=False)
        pair.lose()
    assert pair.now - heard == pytest.approx(dead_after_s, abs=3 * STEP_S)
