"""Where the making and unmaking of an IKE SA stands, as far as both versions go the same way."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preparing:
    """Initiator: the peer's address or a key pair is being worked out; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Either role: our own signature is being made; nobody is heard meanwhile."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Either role: the peer's signature and certificates are being judged; nobody is heard."""


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides are authenticated."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Authentication failed; the SA lives on only to say so, or to repeat that answer."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing is left."""
