"""What a new configuration would do to the tunnels that run: the lines of `isthmus plan`. Pure."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields

from isthmus.policy.authentication import AuthKind
from isthmus.policy.changes import Fate, RuleChange, TunnelChange, is_live, tunnel_change
from isthmus.policy.connection import AccessRole, Configuration, Connection
from isthmus.values.selector import selectors_text
from isthmus.values.time import Seconds

RESTART_GAP_S: Seconds = 1.0
"""What a new phase 1 takes with a peer that answers; the old one carries packets meanwhile where
that can be."""
REPLACE_GAP_S: Seconds = 0.5
"""Closing a pair and making another: two exchanges."""

PAIRS_SHOWN = 8
"""Pairs of networks of a new tunnel that a plan lists."""

_WORDS = {
    "phase1_proposals": "phase 1 proposals",
    "phase1_lifetimes": "phase 1 lifetime",
    "phase1_idle_s": "`phase1_idle`",
    "liveness": "`dpd`",
    "keepalive_s": "`keepalive`",
    "local_auth": "how we authenticate",
    "remote_auth": "how the peer authenticates",
    "local_address": "`local_address`",
    "peer_port": "`peer_port`",
    "interface": "interface",
    "rules": "order of the rules",
    "ike": "`ike`",
}
_RULE_WORDS = {
    "proposals": "proposals",
    "lifetimes": "phase 2 lifetime",
    "idle_s": "`idle`",
    "replay_window": "`replay_window`",
    "clamp_mss": "`clamp_mss`",
    "local": "local networks",
    "remote": "remote networks",
    "map_local": "`map_local`",
}
_FILE_WORDS = {
    "listen": "addresses that are listened on",
    "plain": "`[[bypass]]` and `[[discard]]`",
    "fail_closed": "`fail_closed`",
}
_NOT_COUNTED = frozenset({"connections", "warnings"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One tunnel. `gap_s` is how long packets wait at the most if the peer answers at once."""

    tunnel: str
    fate: Fate
    sentence: str
    gap_s: Seconds = 0.0

    @property
    def is_change(self) -> bool:
        """False: nothing about it is different."""
        return bool(self.sentence) or self.fate is not Fate.KEEP


@dataclass(frozen=True, slots=True)
class Difference:
    """Every tunnel of either configuration, those of the new one first."""

    entries: tuple[Entry, ...]
    secrets: tuple[str, ...]
    """Tunnels whose pre-shared key, certificate or root is another one; never the keys."""
    others: tuple[str, ...]
    """Sentences about what belongs to no tunnel."""

    @property
    def is_nothing(self) -> bool:
        """The two configurations come to the same."""
        return not (self.others or any(entry.is_change for entry in self.entries))


def difference(
    old: Configuration, new: Configuration, changed_secrets: Collection[str]
) -> Difference:
    """What running under `new` instead of `old` would do.

    `changed_secrets` are names as `Credentials.changed` gives them.
    """
    before = {connection.name: connection for connection in old.connections}
    entries = []
    for connection in new.connections:
        known = before.pop(connection.name, None)
        if known is None:
            entries.append(Entry(connection.name, Fate.ADD, _added(connection)))
            continue
        secret_changed = not connection.secret_names.isdisjoint(changed_secrets)
        change = tunnel_change(known, connection, secret_changed=secret_changed)
        entries.append(_entry(change, known, connection))
    entries += (
        Entry(name, Fate.REMOVE, "its SAs are deleted at both ends, its traffic is not protected")
        for name in before
    )
    used = _secret_names(new) & _secret_names(old)
    secrets = tuple(sorted(used.intersection(changed_secrets)))
    return Difference(tuple(entries), secrets, tuple(_others(old, new)))


def _secret_names(configuration: Configuration) -> frozenset[str]:
    return frozenset[str]().union(*(c.secret_names for c in configuration.connections))


def _entry(change: TunnelChange, old: Connection, new: Connection) -> Entry:
    if change.fate is Fate.RESTART:
        named = (n for n in change.changed if not is_live(n, old, new))
        what = [word for name in named for word in _words(name, old, new)]
        if change.secret_changed:
            what.append(_secret_word(new))
        return Entry(
            new.name,
            Fate.RESTART,
            f"{_list(what)} changed: phase 1 must be redone, ~{RESTART_GAP_S:g} s gap, "
            "packets held",
            RESTART_GAP_S,
        )
    parts = [part for rule in change.rules if (part := _rule_sentence(rule)) is not None]
    live = [_WORDS.get(name, f"`{name}`") for name in change.changed]
    for rule in change.rules:
        if rule.fate is Fate.KEEP:
            words = (_RULE_WORDS.get(name, f"`{name}`") for name in rule.changed)
            live += (f"{word} of rule {rule.name}" for word in words)
    if live:
        only = "only " if not parts else ""
        parts.append(f"{only}{_list(live)} changed: applied live")
    replaced = any(rule.fate is Fate.RESTART for rule in change.rules)
    return Entry(new.name, change.fate, "; ".join(parts), REPLACE_GAP_S if replaced else 0.0)


def _added(connection: Connection) -> str:
    """What a tunnel of IKEv1 brings: its lists of networks have become pairs."""
    if not connection.speaks_v1:
        return ""
    version = "IKEv1" if connection.initiates_v1 else "IKEv2 or IKEv1"
    pairs = [
        f"{rule.name} {selectors_text(rule.seen_local)} to {selectors_text(rule.remote)}"
        for rule in connection.rules[:PAIRS_SHOWN]
    ]
    if len(connection.rules) > PAIRS_SHOWN:
        pairs.append(f"{len(connection.rules) - PAIRS_SHOWN} more")
    return f"{version}; {'; '.join(pairs)}"


def _words(name: str, old: Connection, new: Connection) -> Iterator[str]:
    """A changed field in words of the file; those of IKEv1's terms are keys of their own."""
    if name != "v1":
        yield _WORDS.get(name, f"`{name}`")
        return
    for field in fields(new.v1):
        # `hybrid` is how we authenticate, which has changed beside it.
        if field.name != "hybrid" and getattr(old.v1, field.name) != getattr(new.v1, field.name):
            yield f"`{field.name}`"


def _secret_word(connection: Connection) -> str:
    kinds = {connection.local_auth.kind, connection.remote_auth.kind}
    xauth = connection.v1.xauth
    words = [
        *(["pre-shared key"] if AuthKind.PSK in kinds else []),
        *(["certificates or their key"] if AuthKind.CERT in kinds else []),
        *(["public key"] if kinds & {AuthKind.PUBKEY} and AuthKind.CERT not in kinds else []),
        *(["password"] if xauth is not None and xauth.role is AccessRole.CLIENT else []),
    ]
    return ", ".join(words)


def _rule_sentence(rule: RuleChange) -> str | None:
    words = [_RULE_WORDS.get(name, f"`{name}`") for name in rule.changed]
    match rule.fate:
        case Fate.REKEY:
            return f"rule {rule.name}: new {_list(words)}, make-before-break, no gap expected"
        case Fate.RESTART:
            return (
                f"rule {rule.name}: {_list(words)} changed, phase 2 is closed and made anew, "
                f"~{REPLACE_GAP_S:g} s gap, packets held"
            )
        case Fate.ADD:
            return f"rule {rule.name} is added"
        case Fate.REMOVE:
            return f"rule {rule.name} goes, with its phase 2"
        case Fate.KEEP:
            return None


def _others(old: Configuration, new: Configuration) -> Iterator[str]:
    for field in fields(new):
        is_told = field.compare and field.name not in _NOT_COUNTED
        if not is_told or getattr(old, field.name) == getattr(new, field.name):
            continue
        yield f"{_FILE_WORDS.get(field.name, f'`{field.name}`')} changed: applied live"


def _list(words: list[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
