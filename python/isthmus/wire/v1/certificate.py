"""Certificate and Certificate Request payloads (RFC 2408 §3.9, §3.10)."""

from typing import ClassVar

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.bodies import Encoded


class Certificate(Encoded):
    """A certificate or something like it; `data` is not looked into here."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.CERT


class CertificateRequest(Encoded):
    """Which certificates the sender would like: for X.509 the DER name of a CA, or nothing."""

    __slots__ = ()
    TYPE: ClassVar[PayloadType] = PayloadType.CR
