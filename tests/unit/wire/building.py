"""Octets made by hand for tests, without the encoder that is under test."""

from isthmus.values.registry.ikev2 import PayloadType
from isthmus.wire.v2 import Encrypted, EncryptedFragment, Payload, decode_message, payload_type


def generic(following: int, body: bytes, *, flags: int = 0, length: int | None = None) -> bytes:
    """A payload: its generic header and its body."""
    size = 4 + len(body) if length is None else length
    return bytes([following, flags]) + size.to_bytes(2, "big") + body


def message_of(
    first: int, chain: bytes, *, exchange: int = 34, flags: int = 8, length: int | None = None
) -> bytes:
    """A datagram around a chain of payloads."""
    size = 28 + len(chain) if length is None else length
    return (
        b"\x11" * 8
        + bytes(8)
        + bytes([first, 0x20, exchange, flags])
        + bytes(4)
        + size.to_bytes(4, "big")
        + chain
    )


def last_type(payload: Payload) -> int:
    """What the next-payload field of a message's last payload holds."""
    return payload.first if isinstance(payload, Encrypted | EncryptedFragment) else PayloadType.NONE


def alone(payload: Payload, body: bytes | None = None) -> bytes:
    """A datagram of one payload, with another body if one is given."""
    octets = payload.encode() if body is None else body
    return message_of(payload_type(payload), generic(last_type(payload), octets))


def body_of(payload: Payload) -> Payload:
    """What comes back when a payload alone in a message is decoded."""
    (back,) = decode_message(alone(payload)).payloads
    return back
