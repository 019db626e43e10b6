"""Texts of one configuration become `policy` values; secrets stay references."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from isthmus.config import schema
from isthmus.config.checks import check_together, most_specific_first
from isthmus.config.errors import Report
from isthmus.config.fields import shown
from isthmus.config.groups import compile_groups
from isthmus.config.plain import check_plain, compile_plain
from isthmus.config.proof_schema import PSK
from isthmus.config.proofs import Wanted
from isthmus.config.section import Section
from isthmus.config.syntax import Node, Position, SyntaxFault, parse
from isthmus.config.tunnel import CompiledTunnel, compile_tunnel
from isthmus.policy.connection import Configuration
from isthmus.values.address import IpAddress

_SYNTAX_HINTS = (
    ("Invalid value", 'put text into double quotes: peer = "203.0.113.10"'),
    ("Illegal character", "end the text with a double quote on the same line"),
    ("Cannot declare", "write each table once; put its keys together"),
    ("Cannot overwrite", "write each key once"),
    ("Duplicate", "write each key once"),
    ("Cannot mutate", "write the table either inline or under its own header"),
    ("Unescaped", "write a backslash twice, or use single quotes"),
    ("Expected '='", "write key = value, or [section] in square brackets"),
    ("Invalid statement", "write key = value, or [section] in square brackets"),
    ("Unterminated", "close the text or the list that stays open"),
    ("Unclosed", "close the list or table that stays open"),
    ("the file is not UTF-8", "save the file as UTF-8"),
    ("the file has more", "split it into files in conf.d"),
)


_MANY = (schema.BYPASS.name, schema.DISCARD.name)
"""Lists that go on from file to file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text. Who may write it is told by whoever read it."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """What the user wrote for a key, and where. The text never holds a secret."""

    text: str
    at: Position


@dataclass(frozen=True, slots=True)
class Compiled:
    """A configuration whose secrets are still to be fetched."""

    configuration: Configuration
    wanted: tuple[Wanted, ...]
    """What each tunnel takes to prove anything."""
    given: Mapping[str, Written]
    """What was set, by its dotted name."""


def compile_sources(sources: Sequence[Source], report: Report) -> Compiled:
    """Compile texts as one configuration. What is wrong goes into the report."""
    root = _merged(sources, report)
    section = Section(root, "file", "the file", schema.FILE_KEYS, report)
    section.refuse_others()
    fail_closed = _fail_closed(section)
    listen = _listen(section, report)
    tunnels = [compile_tunnel(name, node, report) for name, node in section.children(schema.TUNNEL)]
    whole = [tunnel for tunnel in tunnels if tunnel.is_whole]
    groups = compile_groups(section, tunnels, report)
    check_together(whole, report)
    plain = compile_plain(section, report)
    check_plain(plain, [tunnel.connection for tunnel in whole], report)
    _warn_unheard(whole, listen, report)
    configuration = Configuration(
        connections=tuple(most_specific_first(tunnel.connection) for tunnel in whole),
        listen=listen,
        groups=groups,
        plain=tuple(placed.rule for placed in plain),
        fail_closed=fail_closed,
    )
    wanted = tuple(tunnel.wanted for tunnel in tunnels)
    return Compiled(configuration, wanted, dict(_given(root)))


def report_syntax(fault: SyntaxFault, report: Report) -> None:
    """Say that a text is no TOML."""
    hint = next(
        (hint for start, hint in _SYNTAX_HINTS if fault.reason.startswith(start)),
        "look at this line and the one before it",
    )
    report.error(
        fault.at,
        "this is not TOML",
        fault.reason if fault.reason.isprintable() else "a character has no place here",
        hint,
    )


def _merged(sources: Sequence[Source], report: Report) -> Node:
    """One root of all files; the second of two equal names is refused."""
    start = Position(sources[0].file if sources else "", 1, 1)
    root: dict[str, Node] = {}
    for source in sources:
        try:
            table = parse(source.text, source.file).value
        except SyntaxFault as fault:
            report_syntax(fault, report)
            continue
        assert isinstance(table, dict)
        for name, node in table.items():
            known = root.setdefault(name, node)
            if known is node:
                continue
            if name in _MANY and _are_lists(known, node):
                assert isinstance(known.value, tuple) and isinstance(node.value, tuple)
                root[name] = Node(known.value + node.value, known.at, known.key_at)
                continue
            if name not in (schema.TUNNEL.name, schema.GROUP.name) or not _are_tables(known, node):
                _refuse_twice(f"[{name}]", known, node, report)
                continue
            root[name] = _merged_tables(name, known, node, report)
    return Node(root, start, start)


def _are_lists(*nodes: Node) -> bool:
    return all(isinstance(node.value, tuple) for node in nodes)


def _are_tables(*nodes: Node) -> bool:
    return all(isinstance(node.value, dict) for node in nodes)


def _merged_tables(kind: str, known: Node, node: Node, report: Report) -> Node:
    assert isinstance(known.value, dict) and isinstance(node.value, dict)
    merged = dict(known.value)
    for name, tunnel in node.value.items():
        earlier = merged.setdefault(name, tunnel)
        if earlier is not tunnel:
            _refuse_twice(f"[{kind}.{name if name.isprintable() else ''}]", earlier, tunnel, report)
    return Node(merged, known.at, known.key_at)


def _refuse_twice(what: str, known: Node, node: Node, report: Report) -> None:
    report.error(
        node.key_at,
        f"{what} is already in {known.key_at}",
        "two files that say different things about one name would be a riddle",
        "keep one of the two, or give one another name",
    )


def _fail_closed(section: Section) -> bool:
    own = section.inner(schema.DAEMON, schema.DAEMON_KEYS)
    if own is None:
        return False
    own.refuse_others()
    given = own.get(schema.FAIL_CLOSED)
    return given is not None and given.value


def _listen(section: Section, report: Report) -> tuple[str, ...]:
    usual = Configuration().listen
    own = section.inner(schema.LISTEN, schema.LISTEN_KEYS)
    if own is None:
        return usual
    own.refuse_others()
    given = own.get(schema.ADDRESSES)
    if given is None:
        return usual
    texts = [str(address) for address in given.value]
    for text in dict.fromkeys(t for t in texts if texts.count(t) > 1):
        report.error(
            given.at,
            f"addresses in [listen] names {text} twice",
            "one address can be opened once",
            "take one of the two out",
        )
    return tuple(texts)


def _warn_unheard(
    tunnels: Sequence[CompiledTunnel], listen: tuple[str, ...], report: Report
) -> None:
    """A tunnel whose own address or family is not listened on hears no answer."""
    heard = [ip_address(text) for text in listen]
    for tunnel in tunnels:
        connection = tunnel.connection
        text = connection.local_address or connection.peer
        wanted = None if text is None else _address(text)
        if wanted is None:
            continue
        of_family = [address for address in heard if address.version == wanted.version]
        is_ours = connection.local_address is not None
        if not of_family:
            report.warn(
                tunnel.at,
                f"[tunnel.{connection.name}] needs IPv{wanted.version}, which [listen] leaves out",
            )
        elif is_ours and wanted not in of_family and not any(a.is_unspecified for a in of_family):
            report.warn(
                tunnel.at,
                f"[tunnel.{connection.name}] has local_address {shown(str(wanted))}, which [listen]"
                " leaves out",
            )


def _address(text: str) -> IpAddress | None:
    """None for a name, which may have addresses of either family."""
    with suppress(ValueError):
        return ip_address(text)
    return None


def _given(root: Node) -> Iterator[tuple[str, Written]]:
    """Dotted names of all keys, and what was written for them."""
    todo: list[tuple[str, Node]] = [("", root)]
    while todo:
        prefix, node = todo.pop()
        if not isinstance(node.value, dict):
            continue
        for name, member in node.value.items():
            dotted = f"{prefix}.{name}" if prefix else name
            yield dotted, Written(_shown(name, member), member.key_at)
            todo.append((dotted, member))
            if isinstance(member.value, tuple):
                todo.extend((f"{dotted}#{n}", each) for n, each in enumerate(member.value, 1))


def _shown(name: str, node: Node) -> str:
    """What may be shown of a key's value: of a secret only the reference, if it is one."""
    if name == PSK.name and isinstance(node.value, str):
        return '"..."'
    if isinstance(node.value, dict) and name != PSK.name:
        return "{ ... }"
    return _written(node)


def _written(node: Node) -> str:
    """A value in TOML's spelling."""
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_written(member) for member in value)}]"
    if isinstance(value, dict):
        pairs = (f"{name} = {_written(member)}" for name, member in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return str(value)


def quoted(text: str) -> str:
    """Text as a TOML string on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if escaped.isprintable():
        return f'"{escaped}"'
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
