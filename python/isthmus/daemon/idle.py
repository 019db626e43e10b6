"""Notices that a rule's traffic has been silent for its idle time."""

from collections.abc import Iterable

from isthmus.backends.specs import SaState
from isthmus.backends.translate import policy_name
from isthmus.daemon.rules import RuleName
from isthmus.ike.core.events import RuleIdle
from isthmus.policy.connection import Configuration
from isthmus.values.time import Seconds

LOOKS_PER_LIMIT = 10
PERIOD_MIN_S, PERIOD_MAX_S = 0.25, 5.0
JITTER_S = 0.2
"""The plane's answer takes its time on the way, so one moment is never computed twice alike."""


class IdleWatch:
    """Fed with the plane's SAs now and then; silence survives the replacement of an SA."""

    def __init__(self, configuration: Configuration) -> None:
        self._limits = {
            policy_name(c.name, rule.name): (RuleName(c.name, rule.name), rule.idle_s)
            for c in configuration.connections
            for rule in c.rules
            if rule.idle_s is not None
        }
        self._active_at: dict[str, float] = {}
        self._told: set[str] = set()

    def renewed(self, configuration: Configuration) -> "IdleWatch":
        """One for another configuration, which knows the silence that there has been."""
        new = IdleWatch(configuration)
        new._active_at = {n: at for n, at in self._active_at.items() if n in new._limits}
        return new

    @property
    def period_s(self) -> Seconds | None:
        """How often to look; None: no rule has an idle time."""
        limits = [limit for _, limit in self._limits.values()]
        if not limits:
            return None
        return min(max(min(limits) / LOOKS_PER_LIMIT, PERIOD_MIN_S), PERIOD_MAX_S)

    def look(self, sas: Iterable[SaState], now_s: float) -> tuple[RuleIdle, ...]:
        """What has become idle since the last look. `now_s` is of a clock that does not run
        backwards; an SA that was never used counts from its birth."""
        seen: dict[str, float] = {}
        for sa in sas:
            if sa.name in self._limits:
                # A new SA of a rule that is known is no sign of traffic.
                known = self._active_at.get(sa.name)
                unused = now_s - sa.age_ms / 1000 if known is None else known
                active_at = unused if sa.idle_ms is None else now_s - sa.idle_ms / 1000
                seen[sa.name] = max(seen.get(sa.name, active_at), active_at)
        self._told = {
            name
            for name in self._told
            if name in seen and seen[name] <= self._active_at[name] + JITTER_S
        }
        self._active_at = seen
        silent = [
            name
            for name, active_at in seen.items()
            if name not in self._told and now_s - active_at >= self._limits[name][1]
        ]
        self._told |= set(silent)
        return tuple(RuleIdle(*self._limits[name][0]) for name in silent)
