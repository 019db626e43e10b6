"""When an SA is renewed: margin before its end, with jitter (RFC 7296 §2.8)."""

from dataclasses import replace

from isthmus.policy.connection import Lifetimes
from isthmus.values.time import Seconds

EARLIEST_SHARE = 0.1
"""However large margin and fuzz are, an SA lives at least this share of its lifetime."""


def renewal(lifetimes: Lifetimes, chance: float) -> Seconds:
    """Seconds after an SA's making at which it is renewed; `chance` is 0..1."""
    pause = lifetimes.margin_s * (1 + lifetimes.fuzz * chance)
    return max(lifetimes.lifetime_s - pause, lifetimes.lifetime_s * EARLIEST_SHARE)


def shorter(
    lifetimes: Lifetimes, lifetime_s: Seconds | None, octets_max: int | None = None
) -> Lifetimes:
    """The same limits where an IKEv1 peer wants no longer ones (RFC 2407 §4.5.4), the margin in
    proportion; None: it has said nothing."""
    if lifetime_s is not None and lifetime_s < lifetimes.lifetime_s:
        margin_s = lifetimes.margin_s * lifetime_s / lifetimes.lifetime_s
        lifetimes = replace(lifetimes, lifetime_s=lifetime_s, margin_s=margin_s)
    if octets_max is not None and octets_max < (lifetimes.octets_max or octets_max + 1):
        lifetimes = replace(lifetimes, octets_max=octets_max)
    return lifetimes
