"""KE payload (RFC 2408 §3.7)."""

from typing import ClassVar

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.bodies import Opaque


class KeyExchange(Opaque):
    """A public value. Its group is that of the SA; whether it fits is for `crypto` to say."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.KE
