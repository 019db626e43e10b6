"""Signatures between the core and its workers: what is to be judged, and what came of it."""

from dataclasses import dataclass

from isthmus.credentials.store import Trust
from isthmus.policy.authentication import RemoteAuth
from isthmus.values.signature import AnyScheme, KeyKind
from isthmus.x509.certificate import Certificate
from isthmus.x509.revocation import Statuses
from isthmus.x509.rules import VerifiedPath


@dataclass(frozen=True, slots=True)
class PeerTerms:
    """What one tunnel asks of a peer's signature."""

    tunnel: str
    auth: RemoteAuth
    trust: Trust


@dataclass(frozen=True, slots=True)
class Proof:
    """A peer's signature, whichever version of IKE carried it; not yet checked."""

    schemes: tuple[AnyScheme, ...]
    """It is made by one of these: RSA of RFC 7296 §3.8 leaves the hash to the signer."""
    signature: bytes
    curve: KeyKind | None = None
    """The key must be on this curve, and `signature` is r | s of fixed size (RFC 4754 §7). None:
    any key that the schemes fit, and ECDSA is in DER."""


@dataclass(frozen=True, slots=True)
class Vouch:
    """The peer would like an OCSP answer about our certificate beside it (RFC 4806)."""

    chain: tuple[Certificate, ...]
    anchors: tuple[Certificate, ...]
    """Those of the tunnel: our issuer may be among them."""
    statuses: Statuses
    """What is known beforehand."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A peer's signature holds, by a key that this tunnel trusts. Nothing else makes one."""

    tunnel: str
    scheme: AnyScheme
    key: str
    """The certificate's subject, or the kind of the bare key, for people."""
    not_after: int | None = None
    """Unix seconds: the first end of validity on the path; None for a bare key."""
    path: VerifiedPath | None = None
    """From the peer's certificate to our anchor; None for a bare key."""
    at: int = 0
    """Unix seconds that it was judged at."""
