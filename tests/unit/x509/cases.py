"""A case: a name, what is to come of it, and how to make it."""

from collections.abc import Callable
from dataclasses import dataclass

from .scenes import Scene

Maker = Callable[[], Scene]


@dataclass(frozen=True)
class Case:
    """`code` is the finding that refuses the scene; empty when it is to be accepted."""

    name: str
    code: str
    make: Maker


def refused(code: str, cases: dict[str, Maker]) -> list[Case]:
    """Cases that one code refuses."""
    return [Case(name, code, make) for name, make in cases.items()]


def accepted(cases: dict[str, Maker]) -> list[Case]:
    """Cases that hold."""
    return [Case(name, "", make) for name, make in cases.items()]
