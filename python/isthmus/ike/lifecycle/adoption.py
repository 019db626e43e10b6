"""How many tunnels replace SAs of before a restart at the same time.

The peer may send by a new pair as soon as it has answered, while we have yet to work its answer
through; until then the plane keeps what comes, for two seconds. With hundreds of handshakes at once
the answers would wait in line for longer than that, so they are begun one after the other.
"""

from collections import OrderedDict

from isthmus.values.time import Instant, Seconds

AT_ONCE_MAX = 16
"""Enough to keep both ends busy, and far below what has strangers asked for cookies."""
TURN_S: Seconds = 2.0
"""A peer that does not answer holds the others up no longer."""
LOOK_AGAIN_S: Seconds = 1.0
"""How often one that waits asks whether its turn has come."""


class Adoption:
    """Tunnels in their turn, by name."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._begun: dict[str, Instant] = {}

    def ask(self, tunnel: str) -> None:
        """It wants its turn; asking again changes nothing."""
        self._waiting[tunnel] = None

    def waits(self, tunnel: str) -> bool:
        """Its turn has not come."""
        return tunnel in self._waiting

    def done(self, tunnel: str) -> None:
        """It needs its turn no longer: its attempt has ended, well or badly, or it had none."""
        self._begun.pop(tunnel, None)

    def next(self, now: Instant) -> str | None:
        """Whose turn it is, if anybody's; it has begun with that."""
        if len(self._begun) >= AT_ONCE_MAX:
            self._begun = {name: at for name, at in self._begun.items() if now - at < TURN_S}
        if not self._waiting or len(self._begun) >= AT_ONCE_MAX:
            return None
        tunnel, _ = self._waiting.popitem(last=False)
        self._begun[tunnel] = now
        return tunnel
