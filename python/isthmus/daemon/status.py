"""Exit statuses, and the line that the service manager shows."""

from collections.abc import Iterable

from isthmus.ike.core.views import TunnelView

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
"""PRODUCT-GUIDE d.3."""


def health_line(views: Iterable[TunnelView]) -> str:
    """`3 healthy, 1 failing (office)`."""
    views = tuple(views)
    failing = [view.name for view in views if not view.healthy]
    healthy = len(views) - len(failing)
    if not failing:
        return f"{healthy} healthy"
    named = ", ".join(failing[:3]) + (", ..." if len(failing) > 3 else "")
    return f"{healthy} healthy, {len(failing)} failing ({named})"
