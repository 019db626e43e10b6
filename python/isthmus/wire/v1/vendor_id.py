"""Vendor ID payload (RFC 2408 §3.16)."""

from typing import ClassVar

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.bodies import Opaque


class VendorId(Opaque):
    """Octets by which one implementation tells another what it is, or what it can do."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.VENDOR_ID
