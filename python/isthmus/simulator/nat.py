"""Address translators that forget and change their minds (RFC 4787 has the words)."""

from dataclasses import dataclass

from isthmus.values.address import Endpoint
from isthmus.values.time import Instant, Seconds

FIRST_PORT = 20_000
LAST_PORT = 60_000


@dataclass(frozen=True, slots=True)
class NatPlan:
    """A box in front of one host."""

    outside: str
    """Its public address."""
    dependent: bool = False
    """A mapping for each remote endpoint, which alone may answer; else one for all, for all."""
    timeout_s: Seconds = 60.0
    """A mapping that nothing left by for this long is gone."""


@dataclass(slots=True)
class Mapping:
    """One inside endpoint's face towards the world."""

    inside: Endpoint
    remote: Endpoint | None
    """Who may answer; None: everybody."""
    used_at: Instant


class NatBox:
    """Translates UDP. Ports are never used again, so that a mix-up shows."""

    def __init__(self, plan: NatPlan) -> None:
        self.plan = plan
        self._next_port = FIRST_PORT
        self._mappings: dict[int, Mapping] = {}
        self._ports: dict[tuple[Endpoint, Endpoint | None], int] = {}

    def outward(self, source: Endpoint, target: Endpoint, now: Instant) -> Endpoint:
        """The source that the world sees."""
        remote = target if self.plan.dependent else None
        port = self._ports.get((source, remote))
        if port is None or self._is_stale(self._mappings[port], now):
            port = self._next_port
            self._next_port = FIRST_PORT if port >= LAST_PORT else port + 1
            self._mappings[port] = Mapping(source, remote, now)
            self._ports[source, remote] = port
        self._mappings[port].used_at = now
        return Endpoint(self.plan.outside, port)

    def inward(self, source: Endpoint, port: int, now: Instant) -> Endpoint | None:
        """The inside endpoint behind a port; None: there is none for this sender."""
        mapping = self._mappings.get(port)
        if mapping is None or self._is_stale(mapping, now):
            return None
        if mapping.remote is not None and mapping.remote != source:
            return None
        return mapping.inside

    def forget(self) -> None:
        """Every mapping is gone; what leaves next is given another port."""
        self._mappings.clear()
        self._ports.clear()

    def _is_stale(self, mapping: Mapping, now: Instant) -> bool:
        return now - mapping.used_at > self.plan.timeout_s
