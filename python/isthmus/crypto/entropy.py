"""Where random octets come from: the system, or a seed in tests and simulations."""

import hmac
import secrets
from typing import Protocol


class Entropy(Protocol):
    """A source of unpredictable octets, handed to whatever needs them as an argument."""

    def octets(self, count: int) -> bytes:
        """`count` fresh octets; never the same ones twice."""
        ...


class SystemEntropy:
    """The system's CSPRNG: the only source for real tunnels."""

    __slots__ = ()

    def octets(self, count: int) -> bytes:
        """`count` octets of the system's generator."""
        return secrets.token_bytes(count)


class SeededEntropy:
    """HMAC-DRBG with SHA-256 from a seed (shape of NIST SP 800-90A §10.1.2).

    Same seed, same octets: it makes exchanges repeatable in tests and simulations and has no
    place in a real tunnel. Its state moves with each call.
    """

    __slots__ = ("_key", "_value")

    def __init__(self, seed: int) -> None:
        self._key = bytes(32)
        self._value = b"\x01" * 32
        self._update(seed.to_bytes(max(1, (seed.bit_length() + 8) // 8), "big", signed=True))

    def octets(self, count: int) -> bytes:
        """The next `count` octets of the sequence that the seed names."""
        stream = bytearray()
        while len(stream) < count:
            self._value = hmac.digest(self._key, self._value, "sha256")
            stream += self._value
        self._update(b"")
        return bytes(stream[:count])

    def _update(self, data: bytes) -> None:
        for marker in (b"\x00", b"\x01") if data else (b"\x00",):
            self._key = hmac.digest(self._key, self._value + marker + data, "sha256")
            self._value = hmac.digest(self._key, self._value, "sha256")
