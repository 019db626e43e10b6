"""The one alarm of the host."""

import asyncio
from collections.abc import Callable

from isthmus.values.time import Instant


class Alarm:
    """Calls `ring` once, at the last time that it was set to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._at: Instant | None = None

    def set(self, at: Instant | None) -> None:
        """Ring at that instant of the loop's clock, or not at all."""
        if at == self._at:
            return
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = at
        if at is not None:
            self._handle = self._loop.call_at(float(at), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._at = None
        self._ring()
