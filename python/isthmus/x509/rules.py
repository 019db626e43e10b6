"""What a path must fulfil, and what it is once it did."""

from dataclasses import dataclass, field
from typing import Protocol

from isthmus.crypto.signature import PublicKey
from isthmus.values.trust import EkuRule
from isthmus.x509.certificate import Certificate
from isthmus.x509.extensions import ANY_POLICY
from isthmus.x509.usage import Purpose


class Judge(Protocol):
    """Says whether certificates of a path were revoked (`revocation.Revocation`)."""

    def check(self, path: "VerifiedPath", at: int) -> None:
        """Raises Untrusted when one of them was, or when too little is known."""
        ...


@dataclass(frozen=True, slots=True)
class PathRules:
    """What a path must fulfil beside RFC 5280's own rules."""

    purpose: Purpose = Purpose.IKE
    eku: EkuRule = EkuRule.IKE
    rsa_bits_min: int = 2048
    allow_sha1: bool = False
    certificates_max: int = 8
    """In one path, the anchor included."""
    pool_max: int = 64
    """Certificates that issuers are looked for in, beside the anchors."""
    policies: frozenset[str] = frozenset({ANY_POLICY})
    """RFC 5280 §6.1.1 c: the policies that the user accepts; any by default."""
    explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False
    revocation: Judge | None = None
    """None leaves revocation to who asked (`revocation.judge`)."""


@dataclass(frozen=True, slots=True)
class VerifiedPath:
    """A path that holds: the certificate that was asked about first, the anchor last.

    `pool` are the other certificates that were at hand: whoever signs revocation lists may be
    among them.
    """

    certificates: tuple[Certificate, ...]
    pool: tuple[Certificate, ...] = field(repr=False)
    policies: frozenset[str]
    rules: PathRules = field(repr=False)

    @property
    def leaf(self) -> Certificate:
        """The certificate that was asked about."""
        return self.certificates[0]

    @property
    def anchor(self) -> Certificate:
        """What it is trusted for."""
        return self.certificates[-1]

    @property
    def key(self) -> PublicKey:
        """The key that now may be believed to be the leaf's subject's."""
        return self.leaf.public_key

    @property
    def not_after(self) -> int:
        """Unix seconds when the first certificate of the path expires."""
        return min(certificate.not_after for certificate in self.certificates)

    def __str__(self) -> str:
        return " < ".join(certificate.subject_text for certificate in self.certificates)
