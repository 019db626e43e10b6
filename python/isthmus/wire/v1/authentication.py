"""HASH and SIG payloads (RFC 2408 §3.11, §3.12)."""

from typing import ClassVar

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.bodies import Opaque


class Hash(Opaque):
    """HASH_I and HASH_R of phase 1 (RFC 2409 §5), and HASH(1) to HASH(3) of phase 2 (§5.5)."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.HASH


class Signature(Opaque):
    """The signature of HASH_I or HASH_R (RFC 2409 §5.1)."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.SIG
