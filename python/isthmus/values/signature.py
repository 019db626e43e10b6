"""Signature schemes and key kinds: the words that IKE, X.509 and the configuration share.

A scheme is a whole recipe: key family, padding and hash. Numbers and object identifiers belong to
the formats that carry them (RFC 7296 §3.8, RFC 7427 appendix A, RFC 5280).
"""

from enum import StrEnum


class Scheme(StrEnum):
    """What a signature is made with. PSS has MGF1 with the same hash and a salt as long."""

    RSA_PKCS1_SHA1 = "rsa-pkcs1-sha1"
    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"
    RSA_PKCS1_SHA384 = "rsa-pkcs1-sha384"
    RSA_PKCS1_SHA512 = "rsa-pkcs1-sha512"
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    RSA_PSS_SHA384 = "rsa-pss-sha384"
    RSA_PSS_SHA512 = "rsa-pss-sha512"
    ECDSA_SHA1 = "ecdsa-sha1"
    ECDSA_SHA256 = "ecdsa-sha256"
    ECDSA_SHA384 = "ecdsa-sha384"
    ECDSA_SHA512 = "ecdsa-sha512"
    ED25519 = "ed25519"
    ED448 = "ed448"


class DigestScheme(StrEnum):
    """IKEv1's: made of a digest that is there already, not of a message (RFC 2409 §5.1, RFC 4754).

    A type of its own, so that neither a certificate nor an IKEv2 peer nor the configuration can
    name one: the hash that was taken is not part of what is signed.
    """

    RSA_PKCS1 = "rsa-pkcs1-digest"
    """The padding of PKCS #1 version 1.5 around the digest alone, without a DigestInfo."""
    ECDSA = "ecdsa-digest"


AnyScheme = Scheme | DigestScheme


WEAK_SCHEMES = frozenset({Scheme.RSA_PKCS1_SHA1, Scheme.ECDSA_SHA1})
"""RFC 8247 §3.2: SHA-1 in signatures only where somebody names it and says that it is meant."""


class KeyKind(StrEnum):
    """What a public key is. Every kind can sign an AUTH payload and issue certificates."""

    RSA = "rsa"
    EC_P256 = "ecdsa-p256"
    EC_P384 = "ecdsa-p384"
    EC_P521 = "ecdsa-p521"
    ED25519 = "ed25519"
    ED448 = "ed448"


_RSA = (
    Scheme.RSA_PSS_SHA256,
    Scheme.RSA_PSS_SHA384,
    Scheme.RSA_PSS_SHA512,
    Scheme.RSA_PKCS1_SHA256,
    Scheme.RSA_PKCS1_SHA384,
    Scheme.RSA_PKCS1_SHA512,
    Scheme.RSA_PKCS1_SHA1,
)
_SCHEMES = {
    KeyKind.RSA: _RSA,
    KeyKind.EC_P256: (
        Scheme.ECDSA_SHA256,
        Scheme.ECDSA_SHA384,
        Scheme.ECDSA_SHA512,
        Scheme.ECDSA_SHA1,
    ),
    KeyKind.EC_P384: (
        Scheme.ECDSA_SHA384,
        Scheme.ECDSA_SHA512,
        Scheme.ECDSA_SHA256,
        Scheme.ECDSA_SHA1,
    ),
    KeyKind.EC_P521: (
        Scheme.ECDSA_SHA512,
        Scheme.ECDSA_SHA384,
        Scheme.ECDSA_SHA256,
        Scheme.ECDSA_SHA1,
    ),
    KeyKind.ED25519: (Scheme.ED25519,),
    KeyKind.ED448: (Scheme.ED448,),
}


_DIGEST_SCHEMES = {
    KeyKind.RSA: DigestScheme.RSA_PKCS1,
    KeyKind.EC_P256: DigestScheme.ECDSA,
    KeyKind.EC_P384: DigestScheme.ECDSA,
    KeyKind.EC_P521: DigestScheme.ECDSA,
}


def any_scheme(text: str) -> AnyScheme:
    """The scheme of a name. Raises ValueError for none."""
    try:
        return Scheme(text)
    except ValueError:
        return DigestScheme(text)


def digest_scheme_of(kind: KeyKind) -> DigestScheme | None:
    """How a key of this kind signs a digest; None for those that sign messages only."""
    return _DIGEST_SCHEMES.get(kind)


def schemes_of(kind: KeyKind) -> tuple[Scheme, ...]:
    """What a key of this kind can be used with, best first; weak ones stand last."""
    return _SCHEMES[kind]
