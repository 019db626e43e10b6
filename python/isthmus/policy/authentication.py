"""How the two sides of a tunnel prove who they are. Each side may do it in its own way."""

from dataclasses import dataclass
from enum import StrEnum

from isthmus.values.signature import Scheme
from isthmus.values.trust import EkuRule, RevocationMode


class AuthKind(StrEnum):
    """What a side proves itself with (RFC 7296 §2.15, RFC 7427, RFC 7670)."""

    PSK = "psk"
    CERT = "cert"
    PUBKEY = "pubkey"
    """A bare public key, which the other side knows beforehand."""
    XAUTH = "xauth"
    """Our side of IKEv1's hybrid form: nothing in phase 1, and a password behind it."""


@dataclass(frozen=True, slots=True)
class LocalAuth:
    """How we prove ourselves."""

    kind: AuthKind
    name: str
    """What the credentials store knows our pre-shared key, certificate or bare key under."""
    schemes: tuple[Scheme, ...] = ()
    """Signatures in order of preference; empty: whatever our key can do and the peer takes."""


@dataclass(frozen=True, slots=True)
class RemoteAuth:
    """How the peer has to prove itself."""

    kind: AuthKind
    name: str
    """What the store knows the pre-shared key, the trusted anchors or the peer's key under."""
    schemes: tuple[Scheme, ...] = ()
    """Signatures that are accepted; empty: every strong one."""
    revocation: RevocationMode = RevocationMode.SOFT
    eku: EkuRule = EkuRule.IKE
    by_url: bool = False
    """Read the peer's certificate from an address that it names (RFC 7296 §3.6)."""
