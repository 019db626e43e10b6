"""Every key with its effective value, and whether the user set it: `--explain-defaults`.

What depends on other settings is taken from the compiled configuration, so that it is what the
daemon runs under; the rest is the schema's default, which a test compares with the compiled one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from isthmus.config import schema, v1_schema
from isthmus.config.compile import Written, quoted
from isthmus.config.key import Key
from isthmus.config.load import Loaded
from isthmus.config.pairs import written_name
from isthmus.config.schema import SECTIONS
from isthmus.config.suites import DEFAULT_SUITE, SUITES
from isthmus.config.syntax import Position
from isthmus.config.units import duration_text, size_text
from isthmus.policy.connection import ChildPolicy, Connection, Mode, Start

_TABLES: tuple[Key[object], ...] = (
    schema.PHASE1,
    schema.DPD,
    schema.RULE,
    v1_schema.XAUTH,
    v1_schema.MODE_CONFIG,
)
"""Keys that are sections of their own."""


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force. Secrets are shown as what they are taken from."""

    section: str
    key: str
    value: str
    """As it would be written in the file; words in brackets where no text says the same."""
    set_at: Position | None
    """Where the user set it; None: it is the default."""
    about: str

    def __str__(self) -> str:
        origin = f"set at {self.set_at}" if self.set_at else "default"
        return f"{self.key} = {self.value}  # {origin}"


def explain_defaults(loaded: Loaded) -> tuple[Effective, ...]:
    """Every key of every section of a configuration, in the order of the reference."""
    found = list(_section("listen", schema.LISTEN_KEYS, {}, loaded.given))
    found.extend(_section("daemon", schema.DAEMON_KEYS, {}, loaded.given))
    for connection in loaded.configuration.connections:
        found.extend(_tunnel(connection, loaded.given))
    for group in loaded.configuration.groups:
        found.extend(_section(f"group.{group.name}", schema.GROUP_KEYS, {}, loaded.given))
    for plain in loaded.configuration.plain:
        found.extend(_section(plain.name, schema.PLAIN_KEYS, {}, loaded.given))
    return tuple(found)


def explain_text(loaded: Loaded) -> str:
    """The same as text: sections as in the file, each line with its origin."""
    lines: list[str] = []
    section = ""
    for effective in explain_defaults(loaded):
        if effective.section != section:
            section = effective.section
            lines.extend(["", f"[{section}]"] if lines else [f"[{section}]"])
        lines.append(str(effective))
    return "\n".join(lines) + "\n"


def reference() -> Iterator[tuple[str, Key[object]]]:
    """Every section and key that a file may have."""
    for section, keys in SECTIONS:
        for key in keys:
            yield section, key


def _section(
    section: str,
    keys: tuple[Key[object], ...],
    computed: Mapping[str, str],
    given: Mapping[str, Written],
) -> Iterator[Effective]:
    """The keys of one section: what was written, else what was computed, else the default."""
    for key in keys:
        if key in _TABLES:
            continue
        written = given.get(f"{section}.{key.name}")
        value = written.text if written else computed.get(key.name, key.default)
        yield Effective(section, key.name, value, written.at if written else None, key.about)


def _tunnel(connection: Connection, given: Mapping[str, Written]) -> Iterator[Effective]:
    base = f"tunnel.{connection.name}"
    suite = _text_given(f"{base}.suite", given) or DEFAULT_SUITE
    ike = connection.ike
    phase1_suite = _text_given(f"{base}.phase1.suite", given) or suite
    yield from _section(base, schema.TUNNEL_KEYS, _of_tunnel(connection, suite, given), given)
    of_phase1 = {"suite": quoted(suite), "proposals": _list(SUITES[phase1_suite].of_phase1(ike))}
    yield from _section(f"{base}.phase1", schema.PHASE1_KEYS, of_phase1, given)
    of_dpd = {"timeout": quoted(duration_text(connection.liveness.timeout_s))}
    yield from _section(f"{base}.dpd", schema.DPD_KEYS, of_dpd, given)
    for table, keys in (
        (v1_schema.XAUTH, v1_schema.XAUTH_KEYS),
        (v1_schema.MODE_CONFIG, v1_schema.MODE_CONFIG_KEYS),
    ):
        if f"{base}.{table.name}" in given:
            yield from _section(f"{base}.{table.name}", keys, {}, given)
    for rule in connection.rules:
        written = f"{base}.rule.{written_name(rule.name)}"
        if written not in given:
            continue
        section = f"{base}.rule.{rule.name}"
        for effective in _section(written, schema.RULE_KEYS, _of_rule(rule, suite), given):
            yield effective if section == written else _of_pair(effective, section, rule)


def _of_pair(effective: Effective, section: str, rule: ChildPolicy) -> Effective:
    """A setting of one of the rules that a written one became: it has one pair of the networks."""
    sides = {schema.LOCAL.name: rule.local, schema.REMOTE.name: rule.remote}
    side = sides.get(effective.key)
    if side is None:
        return replace(effective, section=section)
    networks = tuple(str(network) for s in side for network in s.networks())
    return replace(effective, section=section, value=_list(networks))


def _of_tunnel(connection: Connection, suite: str, given: Mapping[str, Written]) -> dict[str, str]:
    """Defaults of a tunnel that follow from its other settings."""
    is_paired = connection.speaks_v1 and connection.mode is Mode.POLICY
    computed = {
        "one_pair": str(is_paired).lower(),
        "mode": quoted(connection.mode),
        "proposals": _list(SUITES[suite].of_phase2(connection.ike)),
        "start": quoted(Start.LISTEN if connection.peer is None else Start.TRAFFIC),
    }
    clear_df = given.get(f"tunnel.{connection.name}.clear_df")
    if clear_df is not None and clear_df.text == "true":
        computed["df"] = quoted(schema.Df.CLEAR)
    if connection.peer is not None:
        computed["remote_id"] = quoted(f"ip:{connection.peer}")
    return computed


def _of_rule(rule: ChildPolicy, suite: str) -> dict[str, str]:
    """What a rule inherits."""
    computed = {
        "start": quoted(rule.start),
        "idle": quoted(duration_text(rule.idle_s)),
        "suite": quoted(suite),
        "proposals": _list(tuple(str(proposal) for proposal in rule.proposals)),
        "lifetime": quoted(duration_text(rule.lifetimes.lifetime_s)),
        "lifetime_octets": quoted(size_text(rule.lifetimes.octets_max)),
        "replay_window": str(rule.replay_window),
        "clamp_mss": str(rule.clamp_mss).lower(),
        "df": quoted(rule.df),
        "on_no_sa": quoted(schema.OnNoSa.HOLD),
    }
    packets = rule.lifetimes.packets_max
    computed["lifetime_packets"] = (
        schema.LIFETIME_PACKETS.default if packets is None else str(packets)
    )
    return computed


def _text_given(name: str, given: Mapping[str, Written]) -> str | None:
    written = given.get(name)
    return None if written is None else written.text.strip('"')


def _list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(quoted(text) for text in texts)}]"
