"""TOML text to nodes that know the file, line and column of every key and value.

`tomllib` decides what is TOML and what its values are; it gives no positions. `_Scanner` walks the
same text a second time, believing that it is valid, and notes where each key and value begins.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import NamedTuple

TEXT_MAX = 1_048_576
"""Characters of one file. No configuration that a person reads is longer."""
DEPTH_MAX = 64
"""Tables within tables and arrays within arrays."""

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """A place in a file; line and column count from 1, in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


Scalar = str | int | float | bool | datetime | date | time
Table = dict[str, "Node"]


class Node(NamedTuple):
    """A value and where it stands. A member of an array has its own position as `key_at`."""

    value: "Scalar | tuple[Node, ...] | Table"
    at: Position
    key_at: Position


class SyntaxFault(Exception):
    """The text is no TOML. `reason` may quote a key or one character, never a value."""

    def __init__(self, at: Position, reason: str) -> None:
        super().__init__(f"{at}: {reason}")
        self.at = at
        self.reason = reason


def parse(text: str, file: str) -> Node:
    """The root table of a TOML text. Raises SyntaxFault."""
    source = text.removeprefix("\ufeff")
    text = source.replace("\r\n", "\n")
    lines = _Lines(file, text)
    start = lines.position(0)
    too_deep = SyntaxFault(start, f"tables or arrays are nested more than {DEPTH_MAX} deep")
    if len(text) > TEXT_MAX:
        raise SyntaxFault(start, f"the file has more than {TEXT_MAX} characters")
    try:
        data = tomllib.loads(source)
    except RecursionError:
        raise too_deep from None
    except ValueError as error:
        raise _fault(str(error), lines) from None
    if _depth(data) > DEPTH_MAX:
        raise too_deep
    marks = _Scanner(text).scan()
    return _node(data, (), marks, lines, _Mark(0, 0))


def decode(octets: bytes, file: str) -> str:
    """The text that UTF-8 octets hold. Raises SyntaxFault with the position of the first other."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        before = octets[: error.start].decode("utf-8")
        at = _Lines(file, before).position(len(before))
        raise SyntaxFault(at, "the file is not UTF-8 text") from None


class _Mark(NamedTuple):
    """Offsets where a key and its value begin."""

    key: int
    value: int


class _Lines:
    """Offsets to positions."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._length = len(text)
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(self, offset: int) -> Position:
        line = bisect_right(self._starts, offset)
        return Position(self._file, line, offset - self._starts[line - 1] + 1)

    def end(self) -> Position:
        return self.position(self._length)


_PLACE = re.compile(r"\s*\((?:at line (\d+), column (\d+)|at end of document)\)$")


def _fault(message: str, lines: _Lines) -> SyntaxFault:
    """tomllib's message with its place taken out of the sentence."""
    match = _PLACE.search(message)
    if match is None:
        return SyntaxFault(lines.position(0), "a value is outside what TOML can hold")
    reason = message[: match.start()]
    if match[1] is None:
        return SyntaxFault(lines.end(), reason)
    file = lines.position(0).file
    return SyntaxFault(Position(file, int(match[1]), int(match[2])), reason)


def _depth(data: object) -> int:
    """How deep containers are nested, found without recursion."""
    deepest = 0
    todo: list[tuple[object, int]] = [(data, 0)]
    while todo:
        value, depth = todo.pop()
        deepest = max(deepest, depth)
        if deepest > DEPTH_MAX:
            break
        if isinstance(value, dict):
            todo.extend((member, depth + 1) for member in value.values())
        elif isinstance(value, list):
            todo.extend((member, depth + 1) for member in value)
    return deepest


def _node(value: object, path: Path, marks: Mapping[Path, _Mark], lines: _Lines, up: _Mark) -> Node:
    mark = marks.get(path, up)
    at = lines.position(mark.value)
    key_at = at if mark.key == mark.value else lines.position(mark.key)
    if isinstance(value, dict):
        table = {
            str(name): _node(member, (*path, str(name)), marks, lines, mark)
            for name, member in value.items()
        }
        return Node(table, at, key_at)
    if isinstance(value, list):
        members = tuple(
            _node(member, (*path, index), marks, lines, mark) for index, member in enumerate(value)
        )
        return Node(members, at, key_at)
    assert isinstance(value, str | int | float | datetime | date | time)
    return Node(value, at, key_at)


_BLANKS = re.compile(r"[ \t]*")
_BLANKS_LINES_COMMENTS = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_PAIR = re.compile(r"([A-Za-z0-9_-]+)[ \t]*=[ \t]*")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# Up to two quotes may stand before the closing three; the last three of a run close.
_BASIC_LINES = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LITERAL_LINES = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")


class _Scanner:
    """Where keys and values begin in a text that `tomllib` has accepted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._marks: dict[Path, _Mark] = {}
        self._array_sizes: dict[Path, int] = {}
        """Members so far of each array of tables."""

    def scan(self) -> Mapping[Path, _Mark]:
        """The marks of all paths."""
        table: Path = ()
        self._skip(_BLANKS_LINES_COMMENTS)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANKS_LINES_COMMENTS)
        return self._marks

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the text was accepted as TOML"
        self._at = match.end()
        return match[0]

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; gives the path that the lines below it belong to."""
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        keys = list(self._keys())
        self._at += 2 if many else 1
        path: Path = ()
        for name, offset in keys[:-1]:
            path = self._last_member((*path, name))
            self._marks.setdefault(path, _Mark(offset, offset))
        name, offset = keys[-1]
        path = (*path, name)
        if many:
            self._marks.setdefault(path, _Mark(offset, start))
            index = self._array_sizes.get(path, 0)
            self._array_sizes[path] = index + 1
            path = (*path, index)
        # A header of its own says better where a table is than a mention in another's header.
        self._marks[path] = _Mark(offset, start)
        return path

    def _last_member(self, path: Path) -> Path:
        size = self._array_sizes.get(path)
        return path if size is None else (*path, size - 1)

    def _pair(self, table: Path) -> None:
        """`a.b = value` within `table`."""
        plain = _PLAIN_PAIR.match(self._text, self._at)
        if plain is not None:  # Nearly every one.
            path = (*table, plain[1])
            self._marks[path] = _Mark(self._at, plain.end())
            self._at = plain.end()
            self._value(path)
            return
        path = table
        keys = list(self._keys())
        for name, offset in keys:
            path = (*path, name)
            self._marks.setdefault(path, _Mark(offset, offset))
        self._at += 1  # the equals sign
        self._skip(_BLANKS)
        self._marks[path] = _Mark(keys[-1][1], self._at)
        self._value(path)

    def _keys(self) -> Iterator[tuple[str, int]]:
        """The parts of a dotted key and where each begins; ends behind the blanks after them."""
        while True:
            self._skip(_BLANKS)
            offset = self._at
            match self._text[offset]:
                case '"':
                    yield _unquoted(self._skip(_BASIC)), offset
                case "'":
                    yield self._skip(_LITERAL)[1:-1], offset
                case _:
                    yield self._skip(_BARE_KEY), offset
            self._skip(_BLANKS)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case '"':
                three = self._text.startswith('"""', self._at)
                self._skip(_BASIC_LINES if three else _BASIC)
            case "'":
                three = self._text.startswith("'''", self._at)
                self._skip(_LITERAL_LINES if three else _LITERAL)
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case _:
                self._skip(_BARE_VALUE)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while not self._closes("]"):
            member = (*path, index)
            self._marks[member] = _Mark(self._at, self._at)
            self._value(member)
            index += 1
            self._comma()

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while not self._closes("}"):
            self._pair(path)
            self._comma()

    def _closes(self, mark: str) -> bool:
        self._skip(_BLANKS_LINES_COMMENTS)
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        return True

    def _comma(self) -> None:
        self._skip(_BLANKS_LINES_COMMENTS)
        if self._text.startswith(",", self._at):
            self._at += 1


def _unquoted(key: str) -> str:
    """The name that a quoted key stands for."""
    if "\\" not in key:
        return key[1:-1]
    return next(iter(tomllib.loads(f"{key} = 0")))
