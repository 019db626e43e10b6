"""Private keys: their kinds, making them, and as PEM (PKCS#8)."""

from enum import StrEnum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from isthmus.authority.errors import AuthorityError
from isthmus.values.secret import Secret

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA_EXPONENT = 65_537


class Kind(StrEnum):
    """What a key is, as it is written on the command line."""

    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    P256 = "ecdsa-p256"
    P384 = "ecdsa-p384"
    P521 = "ecdsa-p521"
    ED25519 = "ed25519"


DEFAULT = Kind.RSA_3072
"""What every peer reads: strongSwan, Windows, Apple, the clouds."""


def generate(kind: Kind) -> PrivateKey:
    """A new private key."""
    match kind:
        case Kind.RSA_2048 | Kind.RSA_3072 | Kind.RSA_4096:
            return rsa.generate_private_key(RSA_EXPONENT, int(kind.removeprefix("rsa-")))
        case Kind.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case Kind.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case Kind.P521:
            return ec.generate_private_key(ec.SECP521R1())
        case Kind.ED25519:
            return ed25519.Ed25519PrivateKey.generate()


def hash_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """What the key signs certificates with, as strong as the key; Ed25519 has its own (None)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()


def to_pem(key: PrivateKey, passphrase: Secret | None = None) -> bytes:
    """PKCS#8, encrypted when there is a passphrase."""
    lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.reveal())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


def is_encrypted(pem: bytes) -> bool:
    """Does it take a passphrase to read this?"""
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem


def from_pem(pem: bytes, passphrase: Secret | None, file: str) -> PrivateKey:
    """A key that `to_pem` has written. Raises AuthorityError when it cannot be read."""
    try:
        key = load_pem_private_key(pem, passphrase.reveal() if passphrase is not None else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = (
            "The passphrase does not open it."
            if passphrase is not None and is_encrypted(pem)
            else "It holds no private key that can be read as it is."
        )
        raise AuthorityError(
            f"{file} could not be opened.",
            why,
            "Give the passphrase that `isthmus ca init` was given, or restore the file.",
        ) from None
    if not isinstance(key, PrivateKey):
        raise AuthorityError(
            f"{file} holds a key of another kind.",
            f"An authority signs by {', '.join(Kind)}.",
            "Restore the file that `isthmus ca init` has written.",
        )
    return key
