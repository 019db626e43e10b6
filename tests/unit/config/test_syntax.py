"""Positions of keys and values, against tomllib's own reading of the text at those positions."""

import tomllib
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.config.syntax import Node, Position, SyntaxFault, decode, parse

TEXT = '''\
# a comment with [brackets] = "and" quotes
top = 1   # [not.a.header]
"quoted key" . sub = 'lit#eral'

[plain]
  indented = true
dotted.deep.key = "x"
dotted.other = 2024-05-27 07:32:00  # a blank within a date
inline = { a = 1, b.c = [ "y", { d = "z" } ], "e f" = {} }
array = [
  "first", # [comment]
  """multi
line "" string""",
  [1, 2], \'\'\'lit
eral\'\'\',
]
multi = """
[looks.like.header]
key = "value" \\""" and more""""
after = -1.5e3

[[many]]
name = "one"
[many.sub]
x = 1
[[many.nested]]
y = 1
[[many.nested]]
y = 2
[[many]]
name = "two"
[[many.nested]]
y = 3
[plain.below]
"caf\\u00e9.dot" = 'end'
'''


def nodes(
    node: Node, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """Every node below this one and its path."""
    if isinstance(node.value, Mapping):
        for name, member in node.value.items():
            yield (*path, name), member
            yield from nodes(member, (*path, name))
    elif isinstance(node.value, tuple):
        for index, member in enumerate(node.value):
            yield (*path, index), member
            yield from nodes(member, (*path, index))


def plain(node: Node) -> object:
    """The value without positions, as tomllib would give it."""
    if isinstance(node.value, Mapping):
        return {name: plain(member) for name, member in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(member) for member in node.value]
    return node.value


def at(text: str, position: Position) -> str:
    """The text from a position on."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join([lines[position.line - 1][position.column - 1 :], *lines[position.line :]])


def assert_positions(text: str) -> None:
    """Each key is where it is said to be, and each scalar reads as itself there."""
    root = parse(text, "f")
    assert plain(root) == tomllib.loads(text)
    for path, node in nodes(root):
        if isinstance(path[-1], str):
            key = at(text, node.key_at)
            word = key.split("\n")[0]
            found = tomllib.loads(f"{_first_key(word)} = 0")
            assert list(found) == [path[-1]], (path, node.key_at)
        if not isinstance(node.value, Mapping | tuple):
            assert _scalar_at(at(text, node.at), node.value), (path, node.at, node.value)


def _first_key(text: str) -> str:
    """The first part of a dotted key at the start of a text."""
    if text[0] in "\"'":
        end = 1
        while text[end] != text[0]:
            end += 2 if text[end] == "\\" and text[0] == '"' else 1
        return text[: end + 1]
    end = 0
    while end < len(text) and ((text[end].isalnum() and text[end].isascii()) or text[end] in "-_"):
        end += 1
    return text[:end]


def _scalar_at(text: str, value: object) -> bool:
    """Some start of this text reads as the value."""
    for end in range(1, len(text) + 1):
        try:
            if tomllib.loads(f"v = {text[:end]}\n") == {"v": value}:
                return True
        except ValueError:
            continue
    return False


def test_every_position_of_a_text_with_all_forms() -> None:
    assert_positions(TEXT)


def test_windows_line_ends_do_not_move_lines() -> None:
    assert_positions(TEXT.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("path", "line", "column", "key_column"),
    [
        (("top",), 2, 7, 1),
        (("quoted key",), 3, 1, 1),
        (("quoted key", "sub"), 3, 22, 16),
        (("plain",), 5, 1, 2),
        (("plain", "indented"), 6, 14, 3),
        (("plain", "dotted", "deep"), 7, 8, 8),
        (("plain", "inline"), 9, 10, 1),
        (("plain", "inline", "b", "c", 1, "d"), 9, 38, 34),
        (("plain", "array", 1), 12, 3, 3),
        (("plain", "array", 2, 1), 14, 7, 7),
        (("plain", "after"), 20, 9, 1),
        (("many", 0, "nested", 1, "y"), 29, 5, 1),
        (("many", 1, "nested", 0, "y"), 33, 5, 1),
        (("plain", "below", "café.dot"), 35, 19, 1),
    ],
)
def test_position(path: tuple[str | int, ...], line: int, column: int, key_column: int) -> None:
    found = dict(nodes(parse(TEXT, "f")))[path]
    assert (found.at.line, found.at.column) == (line, column)
    assert found.key_at.column == key_column


def test_a_table_is_where_its_own_header_is() -> None:
    root = parse("[a.b.c]\nx = 1\n[a.b]\ny = 2\n", "f")
    found = dict(nodes(root))
    assert found["a", "b"].at == Position("f", 3, 1)
    assert found["a",].at == Position("f", 1, 2)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = 1\nb = \n", 2, 5),
        ("a = 1\na = 2\n", 2, 6),
        ('a = "open', 1, 10),
        ("[t]\n[t]\n", 2, 3),
        ("= 1\n", 1, 1),
        ("a = 99999999999999999999" + "9" * 5000, 1, 1),
        ("a = " + "[" * 2000, 1, 1),
        ("a = " + "[" * 70 + "]" * 70, 1, 1),
        (".".join(["a"] * 70) + " = 1", 1, 1),
        ("x" * 1_048_577, 1, 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(SyntaxFault) as raised:
        parse(text, "f")
    assert (raised.value.at.line, raised.value.at.column) == (line, column)


def test_a_byte_order_mark_is_left_out() -> None:
    assert plain(parse("\ufeffa = 1", "f")) == {"a": 1}


def test_octets_that_are_no_text_are_refused_with_their_place() -> None:
    with pytest.raises(SyntaxFault) as raised:
        decode(b"a = 1\nb = \xff", "f")
    assert raised.value.at == Position("f", 2, 5)


BARE = st.text("ab-_1", min_size=1, max_size=3)
KEY = st.one_of(
    BARE,
    st.text(".#=[ ]'", max_size=3).map(lambda s: '"' + s + '"'),
    st.text('.#"\\', max_size=3).map(lambda s: "'" + s + "'"),
)
DOTTED = st.lists(KEY, min_size=1, max_size=3).map(" . ".join)
SCALAR = st.one_of(
    st.sampled_from(
        ["1", "-2.5", "true", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00"]
    ),
    st.text('ab#[]{},=" \n', max_size=6).map(
        lambda s: '"' + s.replace('"', '\\"').replace("\n", "\\n") + '"'
    ),
    st.text('ab#[]{},=" \\', max_size=6).map(lambda s: f"'{s}'"),
    st.text('a"#\n', max_size=6).map(lambda s: '"""' + s.replace('"""', "") + 'z"""'),
    st.text("a'#\n", max_size=6).map(lambda s: "'''" + s.replace("'''", "") + "z'''"),
)
SPACE = st.sampled_from(["", " ", "\n", ' # [c] "\n', "\n\t"])


def _array(members: list[str], space: str) -> str:
    return f"[{space}" + f"{space},{space}".join(members) + f"{space}]"


def _table(pairs: list[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"


VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.builds(_array, st.lists(inner, max_size=3), SPACE),
        st.builds(_table, st.lists(st.tuples(DOTTED, inner), max_size=2)),
    ),
    max_leaves=5,
)
LINE = st.one_of(
    st.builds(lambda k, v, c: f"{k} = {v}{c}", DOTTED, VALUE, st.sampled_from(["", " # c = [1]"])),
    DOTTED.map(lambda k: f"[ {k} ]"),
    DOTTED.map(lambda k: f"[[{k}]]  # c"),
    st.sampled_from(["", "# comment = '", "\t"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINE, max_size=8))
def test_any_toml_has_true_positions(lines: list[str]) -> None:
    """Lines that make no TOML together are left out one by one; what is left is compared."""
    kept: list[str] = []
    for line in lines:
        try:
            tomllib.loads("\n".join([*kept, line]))
        except ValueError:
            continue
        kept.append(line)
    assert_positions("\n".join(kept))


@settings(max_examples=300, deadline=None)
@given(st.text("a=.\"'[]{}#\n\\, 1-:TZ\r\t", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        root = parse(text, "f")
    except SyntaxFault as fault:
        assert fault.at.line >= 1 and fault.at.column >= 1 and fault.reason
        return
    assert plain(root) == tomllib.loads(text)
