"""IKEv1 octets made by hand for tests, without the encoder that is under test."""

from isthmus.wire.v1 import Payload, decode_message

from ..building import generic


def message_of(
    first: int, chain: bytes, *, exchange: int = 2, flags: int = 0, length: int | None = None
) -> bytes:
    """A datagram around a chain of payloads."""
    size = 28 + len(chain) if length is None else length
    return (
        b"\x11" * 8
        + bytes(8)
        + bytes([first, 0x10, exchange, flags])
        + bytes(4)
        + size.to_bytes(4, "big")
        + chain
    )


def alone(kind: int, body: bytes) -> bytes:
    """A datagram of one payload."""
    return message_of(kind, generic(0, body))


def read_alone(kind: int, body: bytes) -> Payload:
    """The payload that a body means."""
    _, chain = decode_message(alone(kind, body))
    (payload,) = chain.payloads
    return payload
