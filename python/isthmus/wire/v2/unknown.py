"""Payloads whose type we do not know (RFC 7296 §2.5)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Kept as it came and otherwise ignored.

    Only what we encode ourselves can be critical: a peer's unknown critical payload is refused.
    """

    type: int
    critical: bool
    data: bytes

    def encode(self) -> bytes:
        """The payload's body."""
        return self.data
