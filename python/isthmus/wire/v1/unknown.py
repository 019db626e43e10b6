"""Payloads of private types that we do not know (RFC 2408 §3.1)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Kept as it came and otherwise ignored."""

    type: int
    data: bytes

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
