"""ARCHITECTURE.md has the import table that is enforced, and the vocabulary that is spoken."""

import importlib
import sys
from dataclasses import fields
from typing import get_args

from isthmus.ike.core.child import CHILD_MOVES
from isthmus.ike.core.effects import Effect
from isthmus.ike.core.events import Event

from .pages import PACKAGE, ROOT, names, read, rows, section

PAGE = read("ARCHITECTURE.md")
IMPORTS = section(PAGE, "## 3. What may import what")
VOCABULARY = section(PAGE, "## 4. Events in, effects out")
STATES = section(PAGE, "## 6. States and lifecycles")


def enforced() -> dict[str, tuple[str, ...]]:
    """The table of tests/architecture."""
    tests = str(ROOT / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    module = importlib.import_module("architecture.test_imports")
    table: dict[str, tuple[str, ...]] = module.MAY_IMPORT
    return table


def told() -> dict[str, set[str]]:
    """The table of the page, its two abbreviations written out."""
    below = set(names(IMPORTS.split("*Floors 0 to 2*:")[1].split("*Everything")[0]))
    hosts = set(names(IMPORTS.split("*Everything below hosts*:")[1].split(". The rooms")[0]))
    found = {}
    for room, allowed in rows(IMPORTS):
        found[names(room)[0]] = {
            *names(allowed),
            *(below if "floors 0 to 2" in allowed else ()),
            *(below | hosts if "everything below hosts" in allowed else ()),
        }
    return found


def test_the_import_table_is_the_one_that_is_enforced() -> None:
    assert told() == {room: set(allowed) for room, allowed in enforced().items()}


def test_every_room_is_described() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    described = section(PAGE, "## 2. Floors and rooms")
    assert {room for room in rooms if f"`{room}`" not in described} == set()


def test_every_event_stands_there_with_its_fields() -> None:
    kinds = {
        f"{kind.__name__}({', '.join(field.name for field in fields(kind))})"
        for kind in get_args(Event)
    }
    shown = {name for row in rows(VOCABULARY) for name in names(row[0]) if "(" in name}
    assert shown == kinds


def test_every_effect_stands_there() -> None:
    shown = {name for row in rows(VOCABULARY) for name in names(row[0]) if "(" not in name}
    assert shown == {kind.__name__ for kind in get_args(Effect)}


def test_the_moves_of_a_child_sa_are_those_that_are_legal() -> None:
    legal = [
        [f"`{start.name}`", f"`{end.name}`", why]
        for start, moves in CHILD_MOVES.items()
        for end, why in moves.items()
    ]
    shown = [row for row in rows(STATES) if row[0].startswith("`") and row[1].startswith("`")]
    assert shown == legal
