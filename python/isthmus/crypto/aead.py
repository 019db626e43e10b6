"""AEAD ciphers: AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634).

They know nothing of salts and IVs: the nonce comes whole, and `suite.py` makes it.
"""

from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from isthmus.values.errors import IntegrityFailed

GCM_FULL_TAG = 16
CHACHA_KEY_SIZE = 32
CHACHA_TAG = 16


class Aead(Protocol):
    """Seals under a nonce that the caller never uses twice."""

    @property
    def tag_size(self) -> int:
        """Octets of integrity check value that `seal` adds."""
        ...

    def seal(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Ciphertext followed by the tag."""
        ...

    def open(self, nonce: bytes, aad: bytes, octets: bytes) -> bytes:
        """The plaintext of ciphertext and tag. Raises IntegrityFailed."""
        ...


class _LibraryAead:
    """One of the library's own AEAD objects, its error turned into ours."""

    __slots__ = ("_aead", "tag_size")

    def __init__(self, aead: AESGCM | AESCCM | ChaCha20Poly1305, tag_size: int) -> None:
        self._aead = aead
        self.tag_size = tag_size

    def seal(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return self._aead.encrypt(nonce, plaintext, aad)

    def open(self, nonce: bytes, aad: bytes, octets: bytes) -> bytes:
        if len(octets) < self.tag_size:
            raise IntegrityFailed("shorter than its integrity check value")
        try:
            return self._aead.decrypt(nonce, octets, aad)
        except InvalidTag:
            raise IntegrityFailed("the integrity check value does not verify") from None


class _ShortGcm:
    """AES-GCM with a tag of 8 or 12 octets, which the library's AEAD class does not offer."""

    __slots__ = ("_key", "tag_size")

    def __init__(self, key: bytes, tag_size: int) -> None:
        self._key = AES(key)
        self.tag_size = tag_size

    def seal(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        encryptor = Cipher(self._key, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(aad)
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        return ciphertext + encryptor.tag[: self.tag_size]

    def open(self, nonce: bytes, aad: bytes, octets: bytes) -> bytes:
        if len(octets) < self.tag_size:
            raise IntegrityFailed("shorter than its integrity check value")
        ciphertext, tag = octets[: -self.tag_size], octets[-self.tag_size :]
        mode = modes.GCM(nonce, tag, min_tag_length=self.tag_size)
        decryptor = Cipher(self._key, mode).decryptor()
        decryptor.authenticate_additional_data(aad)
        plaintext = decryptor.update(ciphertext)
        try:
            return plaintext + decryptor.finalize()
        except InvalidTag:
            raise IntegrityFailed("the integrity check value does not verify") from None


def aes_gcm(key: bytes, tag_size: int) -> Aead:
    """AES-GCM with an ICV of 8, 12 or 16 octets. Raises ValueError for other sizes."""
    if tag_size == GCM_FULL_TAG:
        return _LibraryAead(AESGCM(key), tag_size)
    if tag_size not in (8, 12):
        raise ValueError(f"AES-GCM has an ICV of 8, 12 or 16 octets, not {tag_size}")
    return _ShortGcm(key, tag_size)


def aes_ccm(key: bytes, tag_size: int) -> Aead:
    """AES-CCM with an ICV of 8, 12 or 16 octets. Raises ValueError for other sizes."""
    if tag_size not in (8, 12, 16):
        raise ValueError(f"AES-CCM has an ICV of 8, 12 or 16 octets, not {tag_size}")
    return _LibraryAead(AESCCM(key, tag_length=tag_size), tag_size)


def chacha20_poly1305(key: bytes) -> Aead:
    """ChaCha20-Poly1305. Raises ValueError unless the key is 32 octets."""
    return _LibraryAead(ChaCha20Poly1305(key), CHACHA_TAG)
