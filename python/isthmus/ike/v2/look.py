"""Find payloads in a decoded message."""

from collections.abc import Iterable

from isthmus.ike.core.payloads import first as first
from isthmus.ike.core.payloads import must as must
from isthmus.values.registry.ikev2 import FIRST_STATUS_TYPE, NotifyType, SecurityProtocol
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify


def notified(payloads: Iterable[Payload], kind: NotifyType) -> Notify | None:
    """The first notify of a type."""
    return next((p for p in payloads if isinstance(p, Notify) and p.kind == kind), None)


def closes_ike(payloads: Iterable[Payload]) -> bool:
    """A Delete of the IKE SA is among them."""
    return any(isinstance(p, Delete) and p.protocol == SecurityProtocol.IKE for p in payloads)


def error(payloads: Iterable[Payload]) -> Notify | None:
    """The first notify that is an error (types below 16384)."""
    return next((p for p in payloads if isinstance(p, Notify) and p.kind < FIRST_STATUS_TYPE), None)
