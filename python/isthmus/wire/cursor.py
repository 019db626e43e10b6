"""`Reader` and `Writer`: bounded, big-endian, with offsets in errors.

A reader carries a budget that all readers cut from it share. Whatever the octets say, decoding
takes at most `8 * octets + 256` steps and makes values of about `4 * octets + 64 KiB`; a message
that wants more is `Malformed`.
"""

from struct import Struct
from typing import final

from isthmus.values.errors import LocalFault, Malformed

STEPS_PER_OCTET = 8
STEPS_FREE = 256
"""A decoder may take `STEPS_PER_OCTET * octets + STEPS_FREE` steps; one read is one step."""
MEMORY_PER_OCTET = 4
MEMORY_FREE = 65536
"""Decoded values may take about `MEMORY_PER_OCTET * octets + MEMORY_FREE` octets of memory."""

_U16 = Struct(">H")
_U32 = Struct(">I")


@final
class Budget:
    """What decoding one datagram may still cost. Shared by all readers of that datagram."""

    __slots__ = ("memory", "memory_max", "steps", "steps_max")

    def __init__(self, octets: int) -> None:
        self.steps = 0
        self.steps_max = STEPS_PER_OCTET * octets + STEPS_FREE
        self.memory = 0
        self.memory_max = MEMORY_PER_OCTET * octets + MEMORY_FREE

    def step(self, at: int) -> None:
        """Count one step. Raises Malformed when there are too many."""
        self.steps += 1
        if self.steps > self.steps_max:
            raise Malformed("more work than the octets are worth", at=at)

    def charge(self, octets: int, at: int) -> None:
        """Count the memory of a value about to be made. Raises Malformed when it is too much."""
        self.memory += octets
        if self.memory > self.memory_max:
            raise Malformed("more values than the octets are worth", at=at)


@final
class Reader:
    """Takes values from the front of some octets.

    `base` is the offset of `octets` in the datagram: errors tell offsets in the datagram. Every
    method raises Malformed when the octets run out; none raises anything else.
    """

    __slots__ = ("_at", "_base", "_end", "_octets", "budget")

    def __init__(self, octets: bytes, base: int = 0) -> None:
        self._octets = octets
        self._at = 0
        self._end = len(octets)
        self._base = base
        self.budget = Budget(len(octets))

    @property
    def offset(self) -> int:
        """Where the next octet lies in the datagram."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """How many octets are left."""
        return self._end - self._at

    def _advance(self, count: int) -> int:
        """Where the next `count` octets begin, after moving past them."""
        at = self._at
        budget = self.budget
        # As `Budget.step`, without a call: this is asked a hundred times a message.
        budget.steps += 1
        if budget.steps > budget.steps_max:
            raise Malformed("more work than the octets are worth", at=self._base + at)
        end = at + count
        if not at <= end <= self._end:
            raise Malformed(f"{count} octets wanted, {self._end - at} left", at=self._base + at)
        self._at = end
        return at

    def u8(self) -> int:
        """One octet as a number."""
        return self._octets[self._advance(1)]

    def u16(self) -> int:
        """Two octets as a number."""
        number: int = _U16.unpack_from(self._octets, self._advance(2))[0]
        return number

    def u32(self) -> int:
        """Four octets as a number."""
        number: int = _U32.unpack_from(self._octets, self._advance(4))[0]
        return number

    def unpack(self, layout: Struct) -> tuple[int, ...]:
        """The numbers of a fixed layout, in one step."""
        return layout.unpack_from(self._octets, self._advance(layout.size))

    def skip(self, count: int) -> None:
        """Pass over RESERVED octets, which RFC 7296 says to ignore."""
        self._advance(count)

    def take(self, count: int) -> bytes:
        """The next `count` octets."""
        at = self._advance(count)
        return self._octets[at : at + count]

    def rest(self) -> bytes:
        """All octets that are left."""
        return self.take(self._end - self._at)

    def part(self, count: int) -> "Reader":
        """A reader of the next `count` octets alone, on the same budget."""
        at = self._advance(count)
        part = object.__new__(Reader)
        part._octets = self._octets
        part._at = at
        part._end = at + count
        part._base = self._base
        part.budget = self.budget
        return part

    def charge(self, octets: int) -> None:
        """Tell of a value of about `octets` of memory, before making it."""
        self.budget.charge(octets, self._base + self._at)

    def finish(self) -> None:
        """Nothing may be left."""
        if self._at != self._end:
            raise Malformed(f"{self._end - self._at} octets too many", at=self._base + self._at)


@final
class Writer:
    """Puts values behind one another. Raises LocalFault for a number that its field cannot hold."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def __len__(self) -> int:
        return len(self._octets)

    def u8(self, number: int) -> "Writer":
        """One octet."""
        return self._number(number, 1)

    def u16(self, number: int) -> "Writer":
        """Two octets."""
        return self._number(number, 2)

    def u32(self, number: int) -> "Writer":
        """Four octets."""
        return self._number(number, 4)

    def _number(self, number: int, size: int) -> "Writer":
        try:
            self._octets += number.to_bytes(size, "big")
        except OverflowError:
            raise LocalFault(f"{number} does not fit a field of {size} octets") from None
        return self

    def zeros(self, count: int) -> "Writer":
        """RESERVED octets."""
        self._octets += bytes(count)
        return self

    def put(self, octets: bytes) -> "Writer":
        """Octets as they are."""
        self._octets += octets
        return self

    def octets(self) -> bytes:
        """All that was written."""
        return bytes(self._octets)
