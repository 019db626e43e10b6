"""One payload behind another: the generic header, the same in both IKE versions.

RFC 2408 §3.2 and RFC 7296 §3.2: the type of the next payload, an octet of flags (RESERVED in
IKEv1), and the length with this header.
"""

from struct import Struct

from isthmus.values.errors import LocalFault, Malformed
from isthmus.wire.cursor import Reader

PAYLOADS_MAX = 64
"""Payloads of one chain."""
PAYLOAD_SIZE_MAX = 65535
"""Octets of a payload with its generic header: its length field has two octets."""
GENERIC = Struct(">BBH")
_PAYLOAD_MEMORY = 384


def open_payload(kind: int, reader: Reader, before: int) -> tuple[int, int, Reader]:
    """The next payload's type, this one's flags, and a reader of this one's body.

    `kind` is this payload's type and `before` how many stand in front of it. Raises Malformed for
    one too many, and a length that is too short or that the octets do not hold.
    """
    at = reader.offset
    if before == PAYLOADS_MAX:
        raise Malformed(f"more than {PAYLOADS_MAX} payloads", at=at)
    following, flags, length = reader.unpack(GENERIC)
    if length < GENERIC.size:
        raise Malformed(f"payload {kind} of {length} octets", at=at)
    reader.charge(_PAYLOAD_MEMORY)
    return following, flags, reader.part(length - GENERIC.size)


def close_payload(kind: int, body: bytes, following: int, flags: int = 0) -> bytes:
    """A payload of type `kind` with its generic header. Raises LocalFault when it is too long."""
    length = GENERIC.size + len(body)
    if length > PAYLOAD_SIZE_MAX:
        raise LocalFault(f"payload {kind} cannot have {length} octets")
    return GENERIC.pack(following, flags, length) + body
