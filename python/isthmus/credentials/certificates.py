"""Octets of files become certificates, public keys and private keys: PEM, DER, PKCS#8, PKCS#12."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from isthmus.credentials.store import Own
from isthmus.crypto.signature import (
    BadKey,
    BadSignature,
    MemoryKey,
    PublicKey,
    SigningKey,
    verify,
)
from isthmus.values.errors import LocalFault
from isthmus.values.secret import Secret
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.errors import BadCertificate, BadCrl

T = TypeVar("T")

CERTIFICATES_MAX = 1024
"""In one file: the bundles of browsers' roots have a few hundred."""
CHAIN_MAX = 8
"""Certificates of our own that are sent."""

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_KEY_LABELS = (
    "PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
)


class Unusable(LocalFault):
    """A file holds nothing that can be used. The three sentences are for the user and hold no
    secret."""

    def __init__(self, message: str, why: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint


class Block(NamedTuple):
    """One PEM block (RFC 7468): its label, what it holds, and all of it."""

    label: str
    octets: bytes
    whole: bytes


def blocks(octets: bytes) -> Iterator[Block]:
    """The PEM blocks of a file in their order; text around them is passed over. Raises Unusable."""
    at = octets.find(_BEGIN)
    while at >= 0:
        label_end = octets.find(_DASHES, at + len(_BEGIN))
        label = octets[at + len(_BEGIN) : label_end] if label_end >= 0 else b""
        end = octets.find(_END + label + _DASHES, label_end) if label else -1
        if end < 0 or len(label) > 64 or not label.isascii():
            raise Unusable(
                "a PEM block has no end",
                "the file was cut short, or edited by hand",
                "copy it again, with its last line",
            )
        stop = end + len(_END) + len(label) + len(_DASHES)
        body = octets[label_end + len(_DASHES) : end]
        # Old encrypted keys have lines of their own before the base64: their reader knows those.
        text = b"" if b":" in body else b"".join(body.split())
        try:
            content = b64decode(text, validate=True)
        except binascii.Error:
            raise Unusable(
                "a PEM block is no base64",
                "the file was damaged on its way",
                "copy it again, as it was",
            ) from None
        yield Block(label.decode("ascii"), content, octets[at:stop])
        at = octets.find(_BEGIN, stop)


def is_pem(octets: bytes) -> bool:
    """Does the file have a PEM block?"""
    return _BEGIN in octets


def read_certificates(octets: bytes) -> tuple[Certificate, ...]:
    """All certificates of a PEM file, or the one of a DER file, each once. Raises Unusable."""
    found = [octets]
    if is_pem(octets):
        labels = ("CERTIFICATE", "X509 CERTIFICATE")
        found = [block.octets for block in blocks(octets) if block.label in labels]
        if not found:
            raise Unusable(
                "it holds no certificate",
                "a certificate begins with -----BEGIN CERTIFICATE-----",
                "name the file that the CA gave out",
            )
    return _parsed(found)


def _parsed(found: Sequence[bytes]) -> tuple[Certificate, ...]:
    if len(found) > CERTIFICATES_MAX:
        raise Unusable(
            f"it holds {len(found)} certificates",
            f"at most {CERTIFICATES_MAX} are read",
            "name the few that are needed",
        )
    try:
        return tuple(dict.fromkeys(Certificate.parse(der) for der in found))
    except BadCertificate as error:
        raise Unusable(
            f"a certificate in it is refused: {error.reason} ({error.code})",
            "what cannot be read cannot be judged",
            "look at it with: openssl x509 -text",
        ) from None


def read_public_keys(octets: bytes) -> tuple[PublicKey, ...]:
    """SubjectPublicKeyInfo in PEM or DER. Raises Unusable."""
    found = [octets]
    if is_pem(octets):
        found = [block.octets for block in blocks(octets) if block.label == "PUBLIC KEY"]
    try:
        keys = tuple(dict.fromkeys(PublicKey.from_spki(der) for der in found[:CERTIFICATES_MAX]))
    except BadKey as error:
        raise Unusable(
            f"its public key is refused: {error}",
            "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, Ed25519 and Ed448 are used",
            "make it with: openssl pkey -in KEY -pubout",
        ) from None
    if not keys:
        raise Unusable(
            "it holds no public key",
            "a public key begins with -----BEGIN PUBLIC KEY-----",
            "make it with: openssl pkey -in KEY -pubout",
        )
    return keys


def read_lists(octets: bytes) -> tuple[Crl, ...]:
    """Revocation lists in PEM, or the one of a DER file. Raises Unusable."""
    found = [octets]
    if is_pem(octets):
        found = [block.octets for block in blocks(octets) if block.label == "X509 CRL"]
        if not found:
            raise Unusable(
                "it holds no revocation list",
                "a revocation list begins with -----BEGIN X509 CRL-----",
                "name the file that the CA publishes",
            )
    try:
        return tuple(Crl.parse(der) for der in found[:CERTIFICATES_MAX])
    except BadCrl as error:
        raise Unusable(
            f"it is refused: {error.reason} ({error.code})",
            "what cannot be read cannot be judged",
            "look at it with: openssl crl -text",
        ) from None


class PrivateFile(NamedTuple):
    """What a file with a private key holds; certificates too if it is PKCS#12."""

    key: MemoryKey
    certificates: tuple[Certificate, ...]


def read_private_key(octets: bytes, passphrase: Secret | None) -> PrivateFile:
    """A PEM or DER key (PKCS#8, encrypted or not, PKCS#1, SEC 1), or PKCS#12. Raises Unusable."""
    password = passphrase.reveal() if passphrase is not None else None
    if is_pem(octets):
        block = next((b for b in blocks(octets) if b.label in _KEY_LABELS), None)
        if block is None:
            raise Unusable(
                "it holds no private key",
                "a private key begins with -----BEGIN PRIVATE KEY-----",
                "name the file that was made with the certificate request",
            )
        key = _opened(lambda: load_pem_private_key(block.whole, password), password)
        return PrivateFile(_memory_key(key), ())
    try:
        return PrivateFile(_memory_key(load_der_private_key(octets, password)), ())
    except (ValueError, TypeError):
        # Its format is told by reading it: both are a SEQUENCE. PKCS#12 is the other one.
        bundle = _opened(lambda: pkcs12.load_pkcs12(octets, password), password)
    found = [bundle.cert] if bundle.cert is not None else []
    found += bundle.additional_certs
    if bundle.key is None:
        raise Unusable(
            "it is PKCS#12 without a private key",
            "we prove who we are by a signature",
            "export it again, with its key",
        )
    ders = [entry.certificate.public_bytes(Encoding.DER) for entry in found]
    return PrivateFile(_memory_key(bundle.key), _parsed(ders))


def _opened(read: Callable[[], T], password: bytes | None) -> T:
    try:
        return read()
    except TypeError:
        # How the library says that a passphrase is missing, or given where there is none.
        if password is None:
            raise Unusable(
                "the private key is encrypted",
                "it opens with a passphrase only",
                'add passphrase = { credential = "NAME" } to key',
            ) from None
        raise Unusable(
            "the private key is not encrypted",
            "a passphrase is given that nothing needs",
            "take passphrase out",
        ) from None
    except Exception as error:
        # The library names no complete set of what it raises for octets that are no key.
        raise Unusable(
            f"the private key cannot be read ({type(error).__name__})",
            "the passphrase is another one, or it is no key that is known here"
            if password is not None
            else "it is no key in PKCS#8, PKCS#1, SEC 1 or PKCS#12 without a passphrase",
            "try: openssl pkey -in FILE -noout",
        ) from None


def _memory_key(private: object) -> MemoryKey:
    try:
        return MemoryKey(private)
    except BadKey as error:
        raise Unusable(
            f"the private key is refused: {error}",
            "RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 and P-521, Ed25519 and Ed448 are used",
            "make another key and have it certified",
        ) from None


def make_own(
    key: SigningKey, certificates: Sequence[Certificate], extra: Sequence[Certificate] = ()
) -> Own:
    """Our key with its certificate, and the CAs above that as far as `certificates` and `extra`
    have them. A root is left out: whoever trusts it has it. Raises Unusable."""
    leaf = next((c for c in certificates if c.public_key == key.public), None)
    if leaf is None:
        held = ", ".join(dict.fromkeys(c.subject_text for c in certificates[:4]))
        raise Unusable(
            "the private key belongs to none of our certificates"
            + (f" ({held})" if held else ": there is none"),
            f"a certificate is for one key, and this one is {key.public}",
            "name the key that the certificate was requested with",
        )
    chain = [leaf]
    pool = [c for c in (*certificates, *extra) if c.is_authority]
    while not chain[-1].self_issued and len(chain) < CHAIN_MAX:
        above = next((c for c in pool if c not in chain and is_issuer(c, chain[-1])), None)
        if above is None or above.self_issued:
            break
        chain.append(above)
    return Own(key, tuple(chain))


def is_issuer(issuer: Certificate, certificate: Certificate) -> bool:
    """Is the name the issuer's, and does its key hold the signature?"""
    if issuer.subject != certificate.issuer or certificate.scheme is None:
        return False
    try:
        verify(issuer.public_key, certificate.scheme, certificate.signed, certificate.signature)
    except BadSignature:
        return False
    return True
