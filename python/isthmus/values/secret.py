"""Octets that must not be shown, and must be compared in constant time."""

import hmac
from typing import final


@final
class Secret:
    """Octets with a redacted `repr` and constant-time equality.

    Python cannot promise to wipe them; keep as few as possible for as short as possible.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = bytes(octets)

    def reveal(self) -> bytes:
        """The octets. Call it only where they enter a cryptographic operation."""
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __bool__(self) -> bool:
        return bool(self._octets)

    def __repr__(self) -> str:
        return f"Secret(<{len(self._octets)} octets>)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    __hash__ = None  # type: ignore[assignment]  # a hash would leak into dictionaries' timing

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")
