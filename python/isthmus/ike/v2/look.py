"""Find payloads in a decoded message."""

from collections.abc import Iterable
from typing import TypeVar

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import FIRST_STATUS_TYPE, NotifyType, SecurityProtocol
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify

P = TypeVar("P")


def first(payloads: Iterable[Payload], kind: type[P]) -> P | None:
    """The first payload of a kind."""
    return next((p for p in payloads if isinstance(p, kind)), None)


def must(payloads: Iterable[Payload], kind: type[P]) -> P:
    """The first payload of a kind. Raises Malformed when there is none."""
    found = first(payloads, kind)
    if found is None:
        raise Malformed(f"the message has no {kind.__name__} payload")
    return found


def notified(payloads: Iterable[Payload], kind: NotifyType) -> Notify | None:
    """The first notify of a type."""
    return next((p for p in payloads if isinstance(p, Notify) and p.kind == kind), None)


def closes_ike(payloads: Iterable[Payload]) -> bool:
    """A Delete of the IKE SA is among them."""
    return any(isinstance(p, Delete) and p.protocol == SecurityProtocol.IKE for p in payloads)


def error(payloads: Iterable[Payload]) -> Notify | None:
    """The first notify that is an error (types below 16384)."""
    return next((p for p in payloads if isinstance(p, Notify) and p.kind < FIRST_STATUS_TYPE), None)
