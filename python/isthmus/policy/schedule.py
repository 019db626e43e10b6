"""When an SA is renewed: margin before its end, with jitter (RFC 7296 §2.8)."""

from isthmus.policy.connection import Lifetimes
from isthmus.values.time import Seconds

EARLIEST_SHARE = 0.1
"""However large margin and fuzz are, an SA lives at least this share of its lifetime."""


def renewal(lifetimes: Lifetimes, chance: float) -> Seconds:
    """Seconds after an SA's making at which it is renewed; `chance` is 0..1."""
    pause = lifetimes.margin_s * (1 + lifetimes.fuzz * chance)
    return max(lifetimes.lifetime_s - pause, lifetimes.lifetime_s * EARLIEST_SHARE)
