"""Bounds on what strangers can make us write (SECURITY-GUIDE S-39).

Anyone who can reach UDP 500 can cause some events. Of each of those at most `LINES_PER_S` pass in a
second; the others are counted by reason, and one line says how many there were.
"""

from collections import Counter
from dataclasses import dataclass, field

from isthmus.ike.core.records import Happening

LINES_PER_S = 10
REASONS_MAX = 16
"""Different reasons counted for one event in one second; what exceeds them counts as "other"."""

STRANGER_EVENTS = frozenset(
    {
        "datagram.dropped",
        "esp.unknown_spi",
        "exchange.received",
        "exchange.repeated",
        "exchange.sent",
        "nat.detected",
        "network.send_failed",
        "phase1.abandoned",
        "phase1.failed",
        "phase1.negotiating",
        "proposal.chosen",
    }
)
"""Events that a peer who has not proven anything can cause."""


@dataclass(slots=True)
class _Window:
    started_s: float
    passed: int = 0
    suppressed: Counter[str] = field(default_factory=Counter)


class Limiter:
    """Lets the first `LINES_PER_S` of each stranger-caused event pass in each second."""

    def __init__(self, lines_per_s: int = LINES_PER_S) -> None:
        self._lines_per_s = lines_per_s
        self._windows: dict[str, _Window] = {}

    def take(self, happening: Happening, now_s: float) -> tuple[bool, tuple[Happening, ...]]:
        """Whether the happening may pass, and what is due to be said before it.

        `now_s` is seconds of any clock that does not run backwards. A happening that answers a
        command always passes: the user asked for it.
        """
        due = self.flush(now_s)
        if happening.event not in STRANGER_EVENTS or happening.ticket is not None:
            return True, due
        window = self._windows.setdefault(happening.event, _Window(now_s))
        if window.passed < self._lines_per_s:
            window.passed += 1
            return True, due
        reason = next((str(v) for k, v in happening.detail if k == "reason"), "other")
        if reason not in window.suppressed and len(window.suppressed) >= REASONS_MAX:
            reason = "other"
        window.suppressed[reason] += 1
        return False, due

    def admits(self, event: str, now_s: float) -> bool:
        """Would a happening of this id pass, which answers no command and says no reason? One that
        would not is counted as suppressed; one that would is to be taken at once."""
        window = self._windows.get(event)
        if event not in STRANGER_EVENTS or window is None or now_s - window.started_s >= 1.0:
            return True
        if window.passed < self._lines_per_s:
            return True
        window.suppressed["other"] += 1
        return False

    def flush(self, now_s: float) -> tuple[Happening, ...]:
        """What was suppressed in seconds that are over; call it about once a second."""
        over = [event for event, w in self._windows.items() if now_s - w.started_s >= 1.0]
        return tuple(
            _summary(event, window.suppressed)
            for event in over
            if (window := self._windows.pop(event)).suppressed
        )


def _summary(event: str, suppressed: Counter[str]) -> Happening:
    total = sum(suppressed.values())
    reasons = ", ".join(f"{reason}: {count}" for reason, count in suppressed.most_common())
    return Happening(
        "log.suppressed",
        message=f"{total} more {event} within one second are not shown",
        detail=(("of", event), ("count", total), ("reasons", reasons)),
    )
