"""The last happenings, kept in memory for `isthmus log` and for who follows along."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from isthmus.ike.core.records import Happening
from isthmus.observe.log import Fact, event_fields

CAPACITY = 1000
"""How many happenings are kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A happening and when it happened, in seconds since 1970 (UTC)."""

    time_s: float
    happening: Happening

    def fields(self) -> dict[str, Fact]:
        """The event line as a flat mapping."""
        return event_fields(self.happening, self.time_s)


Listener = Callable[[Entry], None]


class Journal:
    """A ring of entries with listeners. Memory is bounded by `capacity`."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._listeners: dict[int, Listener] = {}
        self._next = 0

    def add(self, entry: Entry) -> None:
        """Keep an entry and tell every listener."""
        self._entries.append(entry)
        for listener in tuple(self._listeners.values()):
            listener(entry)

    def recent(self, limit: int = CAPACITY) -> tuple[Entry, ...]:
        """The newest entries, oldest first, at most `limit`."""
        if limit <= 0:
            return ()
        return tuple(self._entries)[-limit:]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of each entry from now on; call the result to end that (any number
        of times)."""
        key = self._next
        self._next += 1
        self._listeners[key] = listener

        def cancel() -> None:
            self._listeners.pop(key, None)

        return cancel
