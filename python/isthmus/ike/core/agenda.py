"""All timers of all SAs; yields one deadline to the host.

A heap with lazy removal: arming and disarming cost O(log n), and nothing is scanned per tick. What
was disarmed lies in the heap until its time would have come, hours hence for lifetimes, so the heap
is made anew once most of it is of that kind: a peer that comes and goes cannot make it grow.
"""

import heapq
from dataclasses import dataclass
from enum import Enum, auto

from isthmus.values.time import Instant


class TimerKind(Enum):
    """What a timer is for. A kind that nobody handles fails type checking."""

    RETRANSMIT = auto()
    HALF_OPEN = auto()
    GRACE = auto()
    LIVENESS = auto()
    IKE_REKEY = auto()
    IKE_EXPIRE = auto()
    CHILD_REKEY = auto()
    CHILD_EXPIRE = auto()
    CHILD_CONFIRM = auto()
    LINGER = auto()
    RETRY = auto()
    RETIRE = auto()
    PHASE1_IDLE = auto()
    CHILDLESS = auto()
    ADOPT = auto()
    FRAGMENTS = auto()


Owner = tuple[str, bytes | str | int]
"""Kind of thing ("sa", "child", "tunnel") and its key."""


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that has fired."""

    owner: Owner
    kind: TimerKind


STALE_FREE = 64
"""Disarmed timers that the heap may always hold; beyond that, no more than armed ones."""


class Agenda:
    """At most one timer of a kind for each owner; arming again moves it."""

    __slots__ = ("_armed", "_count", "_heap", "_serial")

    def __init__(self) -> None:
        self._armed: dict[Owner, dict[TimerKind, tuple[Instant, int]]] = {}
        self._heap: list[tuple[Instant, int, Owner, TimerKind]] = []
        self._serial = 0
        self._count = 0
        """Timers that are armed."""

    def arm(self, owner: Owner, kind: TimerKind, at: Instant) -> None:
        """Fire `kind` for `owner` at `at`, instead of whenever it stood before."""
        self._serial += 1
        kinds = self._armed.setdefault(owner, {})
        if kind not in kinds:
            self._count += 1
        kinds[kind] = (at, self._serial)
        heapq.heappush(self._heap, (at, self._serial, owner, kind))
        if len(self._heap) > 2 * self._count + STALE_FREE:
            self._rebuild()

    def disarm(self, owner: Owner, kind: TimerKind) -> None:
        """Do not fire `kind` for `owner`; nothing happens if it was not armed."""
        kinds = self._armed.get(owner)
        if kinds is not None:
            if kinds.pop(kind, None) is not None:
                self._count -= 1
            if not kinds:
                del self._armed[owner]

    def forget(self, owner: Owner) -> None:
        """No timer may belong to a dead thing."""
        self._count -= len(self._armed.pop(owner, ()))

    def when(self, owner: Owner, kind: TimerKind) -> Instant | None:
        """When a timer will fire, if it is armed."""
        found = self._armed.get(owner, {}).get(kind)
        return None if found is None else found[0]

    @property
    def deadline(self) -> Instant | None:
        """The earliest armed timer."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def due(self, now: Instant) -> Due | None:
        """Take the earliest timer that has come due, or None."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, owner, kind = heapq.heappop(self._heap)
        self.disarm(owner, kind)
        return Due(owner, kind)

    def owners(self) -> frozenset[Owner]:
        """Everything that has a timer armed."""
        return frozenset(self._armed)

    @property
    def size(self) -> int:
        """Entries of the heap, those of disarmed timers included."""
        return len(self._heap)

    def _rebuild(self) -> None:
        self._heap = [
            (at, serial, owner, kind)
            for owner, kinds in self._armed.items()
            for kind, (at, serial) in kinds.items()
        ]
        heapq.heapify(self._heap)

    def _drop_stale(self) -> None:
        while self._heap:
            _, serial, owner, kind = self._heap[0]
            armed = self._armed.get(owner, {}).get(kind)
            if armed is not None and armed[1] == serial:
                return
            heapq.heappop(self._heap)
