"""Instants and durations; arithmetic that cannot mix the two.

An `Instant` counts seconds on a monotonic clock whose origin is the host's business.
"""

from typing import NewType

Seconds = float
"""A duration in seconds."""

Instant = NewType("Instant", float)
"""A point on the host's monotonic clock, in seconds."""


def after(instant: Instant, seconds: Seconds) -> Instant:
    """The instant `seconds` later."""
    return Instant(instant + seconds)


def between(earlier: Instant, later: Instant) -> Seconds:
    """Seconds from `earlier` to `later`; negative when the order is the other way round."""
    return float(later) - float(earlier)
