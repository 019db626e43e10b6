"""What a new configuration changes about one tunnel, and the smallest thing that brings it about.

The engine acts on these verdicts and `config.diff` puts them into sentences, so that the plan that
users read is the plan that is carried out. Where a setting was written never counts as a change.
"""

from dataclasses import dataclass, fields
from enum import StrEnum

from isthmus.policy.connection import ChildPolicy, Connection


class Fate(StrEnum):
    """What becomes of a tunnel or a rule."""

    KEEP = "keep"
    """Its SAs stay; what changed, if anything, applies to them as they are."""
    REKEY = "rekey"
    """Make-before-break renewal of phase 2."""
    RESTART = "restart"
    """Its SAs cannot serve any more: new ones are negotiated."""
    ADD = "add"
    REMOVE = "remove"


_NO_CHANGE = frozenset({"name", "origin", "allow_weak", "rules"})
_LIVE = frozenset({"phase1_lifetimes", "liveness", "keepalive_s", "phase1_idle_s", "interface"})
_RULE_NO_CHANGE = frozenset({"name", "origin"})
_RULE_LIVE = frozenset({"start", "lifetimes", "hold", "clamp_mss", "idle_s"})
_RULE_REKEY = frozenset({"proposals", "replay_window", "df"})
RULE_ORDER = "rules"
"""Stands among a tunnel's changed fields when only the order of its rules is another."""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One rule. `changed` names fields of `ChildPolicy`."""

    name: str
    fate: Fate
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TunnelChange:
    """One tunnel that both configurations have. `changed` names fields of `Connection`."""

    name: str
    fate: Fate
    """KEEP, REKEY or RESTART."""
    changed: tuple[str, ...]
    secret_changed: bool
    rules: tuple[RuleChange, ...]
    """Every rule of either, those of the new configuration first."""

    @property
    def is_nothing(self) -> bool:
        """Nothing at all is different."""
        quiet = all(r.fate is Fate.KEEP and not r.changed for r in self.rules)
        return self.fate is Fate.KEEP and not self.changed and quiet


def tunnel_change(old: Connection, new: Connection, *, secret_changed: bool) -> TunnelChange:
    """What `new` changes about `old`, a tunnel of the same name.

    `secret_changed`: what the store holds under one of its `secret_names` is another.
    """
    changed = _different(old, new, _NO_CHANGE)
    rules = tuple(_rule_changes(old, new))
    kept_before = [r.name for r in old.rules if new.rule(r.name) is not None]
    if kept_before != [r.name for r in new.rules if old.rule(r.name) is not None]:
        changed = (*changed, RULE_ORDER)
    needs_phase1 = [f for f in changed if f not in _LIVE and f != RULE_ORDER]
    if "interface" in changed and _device(old) != _device(new):
        needs_phase1.append("interface")
    if needs_phase1 or secret_changed:
        fate = Fate.RESTART
    elif any(rule.fate in (Fate.REKEY, Fate.RESTART) for rule in rules):
        fate = Fate.REKEY
    else:
        fate = Fate.KEEP
    return TunnelChange(new.name, fate, changed, secret_changed, rules)


def is_live(name: str, old: Connection, new: Connection) -> bool:
    """Does the change of this field of `Connection` leave phase 1 as it is?"""
    if name == "interface":
        return _device(old) == _device(new)
    return name in _LIVE or name == RULE_ORDER


def _rule_changes(old: Connection, new: Connection) -> list[RuleChange]:
    changes = []
    for rule in new.rules:
        before = old.rule(rule.name)
        if before is None:
            changes.append(RuleChange(rule.name, Fate.ADD))
            continue
        changed = _different(before, rule, _RULE_NO_CHANGE)
        changes.append(RuleChange(rule.name, _rule_fate(changed), changed))
    gone = (rule.name for rule in old.rules if new.rule(rule.name) is None)
    return [*changes, *(RuleChange(name, Fate.REMOVE) for name in gone)]


def _rule_fate(changed: tuple[str, ...]) -> Fate:
    if all(name in _RULE_LIVE for name in changed):
        return Fate.KEEP
    if all(name in _RULE_LIVE or name in _RULE_REKEY for name in changed):
        return Fate.REKEY
    # Its networks, or something that this module does not know: no living pair may serve it.
    return Fate.RESTART


def _different(
    old: Connection | ChildPolicy, new: Connection | ChildPolicy, leaving_out: frozenset[str]
) -> tuple[str, ...]:
    return tuple(
        f.name
        for f in fields(new)
        if f.name not in leaving_out and getattr(old, f.name) != getattr(new, f.name)
    )


def _device(connection: Connection) -> str:
    return connection.interface.name if connection.interface is not None else ""
