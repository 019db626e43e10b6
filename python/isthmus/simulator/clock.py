"""Virtual time: a heap of things to do, done in order of time and then of asking."""

import heapq
from collections.abc import Callable

from isthmus.values.time import Instant, Seconds

START = Instant(1000.0)
"""Where the engines' clocks begin: a monotonic clock's origin means nothing."""


class Clock:
    """Time moves only when `step` takes the next thing to do."""

    __slots__ = ("_heap", "_serial", "now")

    def __init__(self) -> None:
        self.now = START
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    @property
    def elapsed(self) -> Seconds:
        """Seconds since the world began."""
        return self.now - START

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do it then, or now if then is past."""
        self._serial += 1
        heapq.heappush(self._heap, (max(when, self.now), self._serial, action))

    def after(self, pause_s: Seconds, action: Callable[[], None]) -> None:
        """Do it that much later."""
        self.at(self.now + pause_s, action)

    def at_elapsed(self, elapsed_s: Seconds, action: Callable[[], None]) -> None:
        """Do it that long after the world's beginning."""
        self.at(START + elapsed_s, action)

    @property
    def next_at(self) -> float | None:
        """When the next thing is to be done."""
        return self._heap[0][0] if self._heap else None

    def creep(self, at_most_s: Seconds) -> None:
        """Let a little time pass in which nothing is to be done."""
        now = self.now + at_most_s
        self.now = Instant(now if not self._heap else max(self.now, min(now, self._heap[0][0])))

    def step(self, until_elapsed_s: Seconds) -> bool:
        """Do the next thing; False when nothing is left before `until_elapsed_s`."""
        if not self._heap or self._heap[0][0] > START + until_elapsed_s:
            return False
        when, _, action = heapq.heappop(self._heap)
        self.now = Instant(when)
        action()
        return True
