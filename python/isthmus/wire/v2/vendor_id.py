"""Vendor ID payload (RFC 7296 §3.12)."""

from typing import ClassVar

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.bodies import Opaque


class VendorId(Opaque):
    """Octets by which one implementation tells another what it is."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.VENDOR_ID
