"""Exit statuses, and the line that the service manager shows."""

import time
from collections.abc import Callable, Iterable

from isthmus.ike.core.views import TunnelView

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
"""PRODUCT-GUIDE d.3."""

HEALTH_SHARE = 100
"""Of a hundred parts of the time, telling how all tunnels are may take one."""


class Health:
    """The status line, worked out anew only when something has happened since."""

    def __init__(self, views: Callable[[], Iterable[TunnelView]]) -> None:
        self._views = views
        self._events: int | None = None
        self._not_before_s = 0.0
        self._line = ""

    def line(self, events: int, now_s: float) -> str:
        """`events` counts what has happened, `now_s` is of any clock that does not run back."""
        if events != self._events and now_s >= self._not_before_s:
            started_s = time.thread_time()
            self._line = health_line(self._views())
            self._not_before_s = now_s + HEALTH_SHARE * (time.thread_time() - started_s)
            self._events = events
        return self._line


def health_line(views: Iterable[TunnelView]) -> str:
    """`3 healthy, 1 failing (office)`."""
    views = tuple(views)
    failing = [view.name for view in views if not view.healthy]
    healthy = len(views) - len(failing)
    if not failing:
        return f"{healthy} healthy"
    named = ", ".join(failing[:3]) + (", ..." if len(failing) > 3 else "")
    return f"{healthy} healthy, {len(failing)} failing ({named})"
