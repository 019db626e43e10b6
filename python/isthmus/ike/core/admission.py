"""Who may start an IKE SA: half-open limits and cookies (RFC 7296 §2.6, SECURITY-GUIDE 2.1)."""

import hmac
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_network

from isthmus.crypto.compare import same
from isthmus.crypto.entropy import Entropy
from isthmus.values.address import Endpoint
from isthmus.values.time import Instant, Seconds

HALF_OPEN_BEFORE_COOKIES = 64
HALF_OPEN_OF_PREFIX_BEFORE_COOKIES = 4
HALF_OPEN_OF_PREFIX_MAX = 32
HALF_OPEN_MAX = 20_000
CALM_DOWN_S: Seconds = 10.0
"""Cookies stay on this long after the last reason for them."""
EPOCH_S: Seconds = 60.0
SECRET_SIZE = 32
COOKIE_SIZE = 33
"""One octet of epoch and an HMAC-SHA-256."""


@dataclass(slots=True)
class Admission:
    """Counts half-open IKE SAs by source prefix, and makes and checks cookies."""

    entropy: Entropy
    half_open: Counter[str] = field(default_factory=Counter)
    total: int = 0
    cookies_until: float = 0.0
    secrets: dict[int, bytes] = field(default_factory=dict)
    """Cookie secrets by epoch; two live at a time."""

    def opened(self, remote: Endpoint) -> None:
        """A half-open IKE SA was made for this source."""
        self.half_open[prefix(remote)] += 1
        self.total += 1

    def closed(self, remote: Endpoint) -> None:
        """It is established or gone."""
        name = prefix(remote)
        self.half_open[name] -= 1
        if self.half_open[name] <= 0:
            del self.half_open[name]
        self.total -= 1

    def wants_cookie(self, remote: Endpoint, now: Instant) -> bool:
        """A first message must prove that its sender hears us before it costs anything."""
        crowded = self.is_crowded(remote)
        if crowded:
            self.cookies_until = Instant(now + CALM_DOWN_S)
        return crowded or now < self.cookies_until

    def is_crowded(self, remote: Endpoint) -> bool:
        """So many are half-open, of this source or of all, that a proof of address is wanted. To
        ask changes nothing: what one source does here shuts no other out."""
        return (
            self.total >= HALF_OPEN_BEFORE_COOKIES
            or self.half_open[prefix(remote)] >= HALF_OPEN_OF_PREFIX_BEFORE_COOKIES
        )

    def is_full(self, remote: Endpoint) -> bool:
        """Even a sender that hears us gets no further half-open SA."""
        return (
            self.total >= HALF_OPEN_MAX or self.half_open[prefix(remote)] >= HALF_OPEN_OF_PREFIX_MAX
        )

    def cookie(self, remote: Endpoint, spi_i: bytes, nonce: bytes, now: Instant) -> bytes:
        """The cookie of a first message; the same input within an epoch gives the same one."""
        return self._cookie(self._epoch(now), remote, spi_i, nonce, now)

    def holds(
        self, claimed: bytes, remote: Endpoint, spi_i: bytes, nonce: bytes, now: Instant
    ) -> bool:
        """A returned cookie is one of ours, for this very message, of this or the last epoch."""
        if len(claimed) != COOKIE_SIZE:
            return False
        epoch = self._epoch(now)
        for candidate in (epoch, epoch - 1):
            if claimed[0] == candidate & 0xFF and candidate in self.secrets:
                expected = self._cookie(candidate, remote, spi_i, nonce, now)
                return same(expected, claimed)
        return False

    def _cookie(
        self, epoch: int, remote: Endpoint, spi_i: bytes, nonce: bytes, now: Instant
    ) -> bytes:
        secret = self._secret(epoch, now)
        # Fixed lengths first, so that no two inputs give the same octets.
        source = remote.address.encode()
        octets = spi_i + remote.port.to_bytes(2, "big") + bytes((len(source),)) + source + nonce
        return bytes((epoch & 0xFF,)) + hmac.digest(secret, octets, "sha256")

    def _secret(self, epoch: int, now: Instant) -> bytes:
        current = self._epoch(now)
        for old in [e for e in self.secrets if e < current - 1]:
            del self.secrets[old]
        if epoch not in self.secrets:
            self.secrets[epoch] = self.entropy.octets(SECRET_SIZE)
        return self.secrets[epoch]

    @staticmethod
    def _epoch(now: Instant) -> int:
        return int(now // EPOCH_S)


REPLIES_PER_S = 200
"""Answers a second to messages of strangers that no IKE SA stands behind (RFC 7296 §2.21.4)."""
REPLIES_OF_PREFIX_PER_S = 5


@dataclass(slots=True)
class ReplyBudget:
    """Limits unprotected answers, for each source and for all: a noisy one takes no other's."""

    since: float = 0.0
    total: int = 0
    by_prefix: Counter[str] = field(default_factory=Counter)

    def allows(self, remote: Endpoint, now: Instant) -> bool:
        """One more answer to this source may go; it is counted if so."""
        if now - self.since >= 1.0:
            self.since, self.total = now, 0
            self.by_prefix.clear()
        name = prefix(remote)
        if self.total >= REPLIES_PER_S or self.by_prefix[name] >= REPLIES_OF_PREFIX_PER_S:
            return False
        self.total += 1
        self.by_prefix[name] += 1
        return True


def prefix(remote: Endpoint) -> str:
    """The source that limits count by: an IPv4 address, or an IPv6 /64."""
    if ":" not in remote.address:
        return remote.address
    return str(ip_network(f"{remote.address}/64", strict=False))
