"""Reading closed registries: numbers outside them are malformed."""

from enum import IntEnum
from typing import TypeVar

from isthmus.values.errors import Malformed

E = TypeVar("E", bound=IntEnum)


def closed(registry: type[E], number: int, *, at: int) -> E:
    """The member for `number`. Raises Malformed where the registry names none."""
    try:
        return registry(number)
    except ValueError:
        raise Malformed(f"{number} is no {registry.__name__}", at=at) from None
