"""Find payloads in a decoded message, whichever version of IKE it is of."""

from collections.abc import Iterable
from typing import TypeVar

from isthmus.values.errors import Malformed

P = TypeVar("P")


def first(payloads: Iterable[object], kind: type[P]) -> P | None:
    """The first payload of a kind."""
    return next((p for p in payloads if isinstance(p, kind)), None)


def must(payloads: Iterable[object], kind: type[P]) -> P:
    """The first payload of a kind. Raises Malformed when there is none."""
    found = first(payloads, kind)
    if found is None:
        raise Malformed(f"the message has no {kind.__name__} payload")
    return found


def every(payloads: Iterable[object], kind: type[P]) -> tuple[P, ...]:
    """All payloads of a kind, in their order."""
    return tuple(p for p in payloads if isinstance(p, kind))
