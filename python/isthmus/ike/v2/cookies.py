"""Asking for a cookie (RFC 7296 §2.6) without reading the message: under a flood nothing of it is
worth more than its first octets. What comes back with a cookie is read as a whole.
"""

from struct import Struct

from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType, PayloadType
from isthmus.wire.header import HEADER_SIZE

NONCE_SIZE_MIN, NONCE_SIZE_MAX = 16, 256
"""RFC 7296 §3.9."""
PAYLOADS_MAX = 16
"""Payloads before the nonce that are walked over."""
_GENERIC = Struct(">BxH")
_NOTIFY = Struct(">BBH")
_HEADER = Struct(">8s8sBBBBII")
_NEXT_AT = 16
_VERSION = 0x20
_NO_SPI = bytes(8)


def nonce_without_cookie(octets: bytes) -> bytes | None:
    """The nonce of a first message that brings no cookie. None: it brings one, or its payloads do
    not lead to a nonce; then it has to be read."""
    kind, at = octets[_NEXT_AT], HEADER_SIZE
    for _ in range(PAYLOADS_MAX):
        if at + _GENERIC.size > len(octets):
            return None
        following, size = _GENERIC.unpack_from(octets, at)
        body, end = at + _GENERIC.size, at + size
        if end < body or end > len(octets):
            return None
        if kind == PayloadType.NONCE:
            nonce = octets[body:end]
            return nonce if NONCE_SIZE_MIN <= len(nonce) <= NONCE_SIZE_MAX else None
        if kind == PayloadType.NOTIFY:
            if end - body < _NOTIFY.size:
                return None
            if _NOTIFY.unpack_from(octets, body)[2] == NotifyType.COOKIE:
                return None
        kind, at = following, end
    return None


def question(spi_i: bytes, cookie: bytes) -> bytes:
    """The answer to a first message: come again with this cookie."""
    notify = _NOTIFY.pack(0, 0, NotifyType.COOKIE) + cookie
    size = _GENERIC.size + len(notify)
    header = _HEADER.pack(
        spi_i,
        _NO_SPI,
        PayloadType.NOTIFY,
        _VERSION,
        ExchangeType.IKE_SA_INIT,
        HeaderFlag.RESPONSE,
        0,
        HEADER_SIZE + size,
    )
    return header + _GENERIC.pack(0, size) + notify
