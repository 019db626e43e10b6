"""What a link does to what travels on it: delay, loss, repeats, reordering, damage, cuts."""

from collections import Counter
from dataclasses import dataclass, replace
from random import Random

from isthmus.values.time import Seconds

COPIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Weather:
    """How a link treats what it carries; shares are 0..1, each drawn for itself."""

    delay_s: Seconds = 0.02
    jitter_s: Seconds = 0.0
    """Up to this much is added to each delay: more than the pauses between packets reorders."""
    loss: float = 0.0
    repeat: float = 0.0
    """Share of packets that come two or three times."""
    damage: float = 0.0
    """Share of packets with a flipped bit."""

    def healed(self) -> "Weather":
        """The same road in good order."""
        return replace(self, loss=0.0, repeat=0.0, damage=0.0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One copy of a packet at the far end."""

    delay_s: Seconds
    flipped_bit: int | None = None
    """A number to take modulo the packet's bits."""


class Link:
    """The road between two hosts; each direction may be cut by itself, several times over."""

    def __init__(self, weather: Weather, chance: Random) -> None:
        self.weather = weather
        self._chance = chance
        self._cuts: Counter[tuple[str, str]] = Counter()

    def cut(self, source: str, target: str) -> None:
        """Nothing passes that way until `mend` was called as often."""
        self._cuts[source, target] += 1

    def mend(self, source: str, target: str) -> None:
        """One reason less why nothing passes."""
        self._cuts[source, target] -= 1

    def carry(self, source: str, target: str) -> tuple[Arrival, ...]:
        """When and how often a packet that leaves now arrives; empty: never."""
        if self._cuts[source, target] > 0:
            return ()
        weather, chance = self.weather, self._chance
        if weather.loss and chance.random() < weather.loss:
            return ()
        copies = 1
        if weather.repeat and chance.random() < weather.repeat:
            copies = chance.randint(2, COPIES_MAX)
        return tuple(self._arrival() for _ in range(copies))

    def _arrival(self) -> Arrival:
        weather, chance = self.weather, self._chance
        delay = weather.delay_s
        if weather.jitter_s:
            delay += weather.jitter_s * chance.random()
        if weather.damage and chance.random() < weather.damage:
            return Arrival(delay, chance.getrandbits(32))
        return Arrival(delay)
