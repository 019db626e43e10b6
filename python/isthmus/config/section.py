"""Read the keys of one table by the schema, and refuse those that it does not have."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from isthmus.config.errors import Report
from isthmus.config.fields import Cell, Refused, kind_of, shown
from isthmus.config.key import Key
from isthmus.config.not_yet import NOT_YET
from isthmus.config.schema import SECTIONS
from isthmus.config.syntax import Node, Position, Table

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Given(Generic[T_co]):
    """A value that the user wrote, and where."""

    value: T_co
    at: Position
    key_at: Position


class Section:
    """A table of the configuration and the keys that it may have."""

    __slots__ = ("_node", "_report", "keys", "kind", "table", "title")

    def __init__(
        self, node: Node, kind: str, title: str, keys: tuple[Key[object], ...], report: Report
    ) -> None:
        assert isinstance(node.value, dict)
        self._node = node
        self.table: Table = node.value
        """Its keys and values."""
        self._report = report
        self.kind = kind
        self.title = title
        self.keys = keys

    @property
    def at(self) -> Position:
        """Where the section begins."""
        return self._node.at

    def get(self, key: Key[T]) -> Given[T] | None:
        """The value under a key; None when it is not there or was refused (and reported)."""
        node = self.table.get(key.name)
        if node is None:
            return None
        with suppress(Refused):
            value = key.read(Cell(node, key.name, self.title, self._report))
            return Given(value, node.at, node.key_at)
        return None

    def inner(self, key: Key[Node], keys: tuple[Key[object], ...]) -> "Section | None":
        """The table under a key, with the keys that it may have; None when there is none."""
        given = self.get(key)
        if given is None:
            return None
        title = f"[{key.name}]" if self.kind == "file" else f"{self.title[:-1]}.{key.name}]"
        return Section(given.value, key.name, title, keys, self._report)

    def has(self, key: Key[object]) -> bool:
        """The user wrote this key, rightly or wrongly."""
        return key.name in self.table

    def children(self, key: Key[Node]) -> Iterator[tuple[str, Node]]:
        """The tables within a table of tables, by name; anything else is reported."""
        given = self.get(key)
        if given is None:
            return
        assert isinstance(given.value.value, dict)
        for name, node in given.value.value.items():
            if isinstance(node.value, dict):
                yield name, node
                continue
            self._report.error(
                node.key_at,
                f"{shown(name)} in [{key.name}] should be a table, not {kind_of(node)}",
                f"each {key.name} has a name and settings of its own",
                f"write [{self.title.strip('[]') + '.' if self.kind != 'file' else ''}"
                f"{key.name}.NAME] and the settings below it",
            )

    def refuse_both(self, one: Key[object], other: Key[object]) -> None:
        """Two keys that decide over the same thing may not stand beside each other."""
        if self.has(one) and self.has(other):
            self._report.error(
                self.table[one.name].key_at,
                f"{self.title} has both {one.name} and {other.name}",
                "both name the same algorithms",
                "take one of the two out",
            )

    def refuse_others(self) -> None:
        """Report every key that this section does not have."""
        known = {key.name for key in self.keys}
        later = NOT_YET[self.kind]
        for name, node in self.table.items():
            if name in known:
                continue
            if name in later:
                self._report.error(
                    node.key_at,
                    f"{name} in {self.title} is not in this version yet",
                    "a setting that is not carried out must not look as if it were",
                    later[name],
                )
                continue
            self._unknown(name, node.key_at)

    def _unknown(self, name: str, at: Position) -> None:
        names = [key.name for key in self.keys]
        elsewhere = [
            f"[{title}]" for title, keys in SECTIONS if any(key.name == name for key in keys)
        ]
        meant = get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.6)
        if elsewhere:
            hint = f"move it to {elsewhere[0]}, where it belongs"
        elif meant:
            hint = f"did you mean {meant[0]}?"
        elif names:
            hint = f"take it out; the keys here are {', '.join(sorted(names))}"
        else:
            hint = "take it out; this section has no keys yet"
        self._report.error(
            at,
            f"unknown key {shown(name)} in {self.title}",
            "a setting that nobody reads would silently do nothing",
            hint,
        )
