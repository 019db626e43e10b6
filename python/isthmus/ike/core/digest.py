"""What datagrams are known by when they come again."""

import hashlib

from isthmus.values.address import Endpoint


def digest(octets: bytes, remote: Endpoint) -> bytes:
    """What a datagram is known by: its octets and where they came from."""
    return hashlib.sha256(str(remote).encode() + b"\0" + octets).digest()
