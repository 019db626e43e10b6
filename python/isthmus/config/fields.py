"""Readers of single values: a node becomes a typed value, or errors that say where and why."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from isthmus.config.errors import Report
from isthmus.config.syntax import Node
from isthmus.config.units import duration_from, duration_text, size_from
from isthmus.values.time import Seconds

T = TypeVar("T")
S = TypeVar("S", bound=StrEnum)

MEMBERS_MAX = 256
"""Entries of one list."""
SHOWN_MAX = 40
"""Characters of a user's text that an error repeats."""


class Refused(Exception):
    """A value was refused and the report says why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value under its key, and where to complain about it."""

    node: Node
    key: str
    section: str
    """`[tunnel.office]`, as the user wrote it."""
    report: Report

    def refuse(self, what: str, why: str, hint: str) -> "Refused":
        """Report an error at this value, to be raised; `what` goes on after the key's name."""
        self.report.error(self.node.at, f"{self.key} in {self.section} {what}", why, hint)
        return Refused()

    def wrong_type(self, wanted: str, example: str) -> "Refused":
        """The value has another type than the key wants."""
        return self.refuse(
            f"should be {wanted}, not {kind_of(self.node)}",
            "a value of another type could only be guessed at",
            f"write {self.key} = {example}",
        )

    def not_yet(self, what: str, hint: str) -> "Refused":
        """The product knows this value, this version does not."""
        return self.refuse(
            f"asks for {what}, which is not in this version yet",
            "a setting that is not carried out must not look as if it were",
            hint,
        )

    def beside(self, node: Node) -> "Cell":
        """The same key with another node: a member of its list."""
        return Cell(node, self.key, self.section, self.report)


Read = Callable[[Cell], T]
"""Gives the value, or raises Refused after it has reported why not."""


@dataclass(frozen=True, slots=True)
class Span:
    """A duration that may be `never`."""

    seconds: Seconds | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of octets that may be `never`."""

    octets: int | None


def kind_of(node: Node) -> str:
    """A node's type in words, without its value."""
    match node.value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case datetime() | date() | time():
            return "a date or time"
        case tuple():
            return "a list"
        case _:
            return "a table"


def shown(text: str) -> str:
    """A user's text as an error may repeat it: quoted, printable and short."""
    safe = "".join(c if c.isprintable() else "\ufffd" for c in text[: SHOWN_MAX + 1])
    return f'"{safe[:SHOWN_MAX]}..."' if len(safe) > SHOWN_MAX else f'"{safe}"'


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant."""
    found = get_close_matches(word[:SHOWN_MAX], known, n=1, cutoff=0.6)
    return found[0] if found else None


def one_of(words: list[str]) -> str:
    """`"a", "b" or "c"`."""
    quoted = [f'"{word}"' for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def text(example: str) -> Read[str]:
    """Text that is neither empty nor holds control characters."""

    def read(cell: Cell) -> str:
        value = cell.node.value
        if not isinstance(value, str):
            raise cell.wrong_type("text", example)
        if not value.strip() or not value.isprintable():
            raise cell.refuse(
                "is empty or holds characters that cannot be printed",
                "nothing can be made of it",
                f"write {cell.key} = {example}",
            )
        return value

    return read


def boolean(cell: Cell) -> bool:
    """true or false."""
    value = cell.node.value
    if not isinstance(value, bool):
        raise cell.wrong_type("true or false", "true")
    return value


def integer(lowest: int, highest: int, example: int) -> Read[int]:
    """A whole number between two bounds."""

    def read(cell: Cell) -> int:
        value = cell.node.value
        if isinstance(value, bool) or not isinstance(value, int):
            raise cell.wrong_type("a whole number", str(example))
        if not lowest <= value <= highest:
            raise cell.refuse(
                "is out of range",
                f"it goes from {lowest} to {highest}",
                f"write {cell.key} = {example}, say",
            )
        return value

    return read


def choice(options: type[S], foreign: Mapping[str, S]) -> Read[S]:
    """A word of an enumeration; `foreign` maps words of other products to ours, for the hint."""
    words = [option.value for option in options]

    def read(cell: Cell) -> S:
        value = cell.node.value
        if not isinstance(value, str):
            raise cell.wrong_type(one_of(words), f'"{words[0]}"')
        if value in words:
            return options(value)
        meant = foreign.get(value.lower()) or nearest(value.lower(), words)
        raise cell.refuse(
            f"is {shown(value)}, which is none of its words",
            f"it is {one_of(words)}",
            f'write {cell.key} = "{meant}"' if meant else f"write one of {one_of(words)}",
        )

    return read


def duration(lowest_s: Seconds, highest_s: Seconds, example: str) -> Read[Seconds]:
    """A duration between two bounds, in seconds."""
    inner = _span(lowest_s, highest_s, example, may_never=False)

    def read(cell: Cell) -> Seconds:
        seconds = inner(cell).seconds
        assert seconds is not None, "never was not allowed"
        return seconds

    return read


def duration_or_never(lowest_s: Seconds, highest_s: Seconds, example: str) -> Read[Span]:
    """A duration between two bounds, or `never`."""
    return _span(lowest_s, highest_s, example, may_never=True)


def _span(lowest_s: Seconds, highest_s: Seconds, example: str, *, may_never: bool) -> Read[Span]:
    def read(cell: Cell) -> Span:
        value = cell.node.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise cell.refuse(
                "is a bare number",
                "a duration says its unit: s, m, h or d",
                f'write {cell.key} = "{example}"',
            )
        if not isinstance(value, str):
            raise cell.wrong_type("a duration", f'"{example}"')
        if value == "never" and may_never:
            return Span(None)
        seconds = duration_from(value)
        if seconds is None:
            raise cell.refuse(
                f"is {shown(value)}, which is no duration",
                "a duration is numbers with the units d, h, m and s, as in 1h30m"
                + (', or "never"' if may_never else ""),
                f'write {cell.key} = "{example}"',
            )
        if not lowest_s <= seconds <= highest_s:
            raise cell.refuse(
                f"is {shown(value)}, which is out of range",
                f"it goes from {duration_text(lowest_s)} to {duration_text(highest_s)}",
                f'write {cell.key} = "{example}", say',
            )
        return Span(seconds)

    return read


def size_or_never(lowest: int, example: str) -> Read[Limit]:
    """A number of octets with a unit of 1024, or `never`."""

    def read(cell: Cell) -> Limit:
        value = cell.node.value
        if not isinstance(value, str):
            raise cell.wrong_type("a size", f'"{example}"')
        if value == "never":
            return Limit(None)
        octets = size_from(value)
        if octets is None:
            raise cell.refuse(
                f"is {shown(value)}, which is no size",
                'a size is a number with K, M, G or T (powers of 1024), or "never"',
                f'write {cell.key} = "{example}"',
            )
        if not lowest <= octets < 1 << 63:
            raise cell.refuse(
                f"is {shown(value)}, which is out of range",
                f"it is at least {lowest} octets and below 2**63",
                f'write {cell.key} = "{example}", say',
            )
        return Limit(octets)

    return read


def members(cell: Cell, what: str, example: str, *, may_be_empty: bool = False) -> tuple[Cell, ...]:
    """The members of a list; one text alone counts as a list of one."""
    value = cell.node.value
    if isinstance(value, str):
        return (cell,)
    if not isinstance(value, tuple):
        raise cell.wrong_type(f"{what} or a list of them", f"[{example}]")
    if not value and not may_be_empty:
        raise cell.refuse(
            "is an empty list",
            "nothing would match",
            f"write {cell.key} = [{example}], or leave {cell.key} out",
        )
    if len(value) > MEMBERS_MAX:
        raise cell.refuse(
            f"has {len(value)} members",
            f"a list has at most {MEMBERS_MAX}",
            "use wider networks, or split it over several rules or tunnels",
        )
    return tuple(cell.beside(node) for node in value)


def each(cells: tuple[Cell, ...], read: Read[T]) -> tuple[T, ...]:
    """Read every cell, so that all their errors are told; raises Refused if there was one."""
    values: list[T] = []
    for cell in cells:
        with suppress(Refused):
            values.append(read(cell))
    if len(values) < len(cells):
        raise Refused
    return tuple(values)


def names(what: str, example: str) -> Read[tuple[str, ...]]:
    """A list of at least one name."""

    def name(cell: Cell) -> str:
        if not isinstance(cell.node.value, str):
            raise cell.wrong_type(what, example)
        return cell.node.value

    return lambda cell: each(members(cell, what, example), name)


def only_true(cell: Cell) -> bool:
    """Something that cannot be switched off."""
    if boolean(cell):
        return True
    raise cell.not_yet("false", f"leave {cell.key} out")


def tables(cell: Cell) -> tuple[Node, ...]:
    """A list of tables, written `[[name]]`; their keys are read elsewhere."""
    value = cell.node.value
    if not isinstance(value, tuple) or not all(isinstance(n.value, dict) for n in value):
        raise cell.refuse(
            "is no list of tables",
            "there may be several of them, and they have no names",
            f"write [[{cell.key}]], with its settings below it",
        )
    if len(value) > MEMBERS_MAX:
        raise cell.refuse(
            f"has {len(value)} members", f"there may be {MEMBERS_MAX}", "use wider networks"
        )
    return value


def table(cell: Cell) -> Node:
    """A table of its own; its keys are read elsewhere."""
    if not isinstance(cell.node.value, dict):
        raise cell.wrong_type("a table", "{ ... }")
    return cell.node
