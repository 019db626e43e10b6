"""Chosen transforms to a ready cipher for whole messages, and the sizes that keys are cut to.

The sizes hold for IKE (RFC 7296 §2.14, RFC 5282, RFC 5930) and ESP alike.
"""

from dataclasses import dataclass
from typing import Protocol

from isthmus.crypto.aead import (
    CHACHA_KEY_SIZE,
    CHACHA_TAG,
    Aead,
    aes_ccm,
    aes_gcm,
    chacha20_poly1305,
)
from isthmus.crypto.cipher import (
    CTR_NONCE_SIZE,
    TRIPLE_DES_BLOCK,
    TRIPLE_DES_KEY_SIZE,
    CbcCipher,
    CtrCipher,
    PlainCipher,
    TripleDesCipher,
)
from isthmus.crypto.compare import same
from isthmus.crypto.integrity import icv, integrity_icv_size, integrity_key_size
from isthmus.values.errors import IntegrityFailed, LocalFault
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Encr, Integ, label
from isthmus.values.secret import Secret

__all__ = [
    "AES_KEY_BITS",
    "ENCRS",
    "MessageCipher",
    "block_size",
    "chained_cipher",
    "encryption_key_size",
    "icv_size",
    "integrity_key_size",
    "iv_size",
    "key_lengths",
    "message_cipher",
]

AES_KEY_BITS = (128, 192, 256)


@dataclass(frozen=True, slots=True)
class _Shape:
    salt: int
    iv: int
    tag: int
    block: int = 1


_SHAPES = {
    Encr.TRIPLE_DES: _Shape(salt=0, iv=TRIPLE_DES_BLOCK, tag=0, block=TRIPLE_DES_BLOCK),
    Encr.AES_CBC: _Shape(salt=0, iv=16, tag=0, block=16),
    Encr.AES_CTR: _Shape(salt=CTR_NONCE_SIZE, iv=8, tag=0),
    Encr.AES_CCM_8: _Shape(salt=3, iv=8, tag=8),
    Encr.AES_CCM_12: _Shape(salt=3, iv=8, tag=12),
    Encr.AES_CCM_16: _Shape(salt=3, iv=8, tag=16),
    Encr.AES_GCM_8: _Shape(salt=4, iv=8, tag=8),
    Encr.AES_GCM_12: _Shape(salt=4, iv=8, tag=12),
    Encr.AES_GCM_16: _Shape(salt=4, iv=8, tag=16),
    Encr.CHACHA20_POLY1305: _Shape(salt=4, iv=8, tag=CHACHA_TAG),
}
ENCRS = frozenset(_SHAPES)
"""What this file can do. DES and NULL are in the registry and not here."""

_ONE_KEY_SIZE = {
    Encr.TRIPLE_DES: TRIPLE_DES_KEY_SIZE,
    Encr.CHACHA20_POLY1305: CHACHA_KEY_SIZE,
}
"""Octets of key of the ciphers whose key length is not negotiated, salts not counted."""

_CCMS = (Encr.AES_CCM_8, Encr.AES_CCM_12, Encr.AES_CCM_16)


class MessageCipher(Protocol):
    """Confidentiality and integrity of one direction of an SA, under one key."""

    @property
    def iv_size(self) -> int:
        """Octets of IV that travel in front of the ciphertext."""
        ...

    @property
    def icv_size(self) -> int:
        """Octets of integrity check value behind the ciphertext."""
        ...

    @property
    def block_size(self) -> int:
        """What `seal` gets must be a multiple of this many octets."""
        ...

    @property
    def counter_iv(self) -> bool:
        """True: an IV must never come twice (a counter). False: it must be unpredictable."""
        ...

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Ciphertext and ICV. `aad` is authenticated and not encrypted.

        Raises ValueError for an IV of the wrong size or a plaintext that is not whole blocks.
        """
        ...

    def open(self, iv: bytes, aad: bytes, octets: bytes) -> bytes:
        """The plaintext, padding included. Raises IntegrityFailed, and never anything else."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class _AeadMessages:
    """RFC 5282: nonce = salt | IV, and the associated data is the message up to the IV."""

    aead: Aead
    salt: bytes
    iv_size: int
    icv_size: int
    block_size: int = 1
    counter_iv: bool = True

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if len(iv) != self.iv_size:
            raise ValueError(f"the IV is {self.iv_size} octets, not {len(iv)}")
        return self.aead.seal(self.salt + iv, aad, plaintext)

    def open(self, iv: bytes, aad: bytes, octets: bytes) -> bytes:
        if len(iv) != self.iv_size:
            raise IntegrityFailed("the IV has the wrong size")
        return self.aead.open(self.salt + iv, aad, octets)


@dataclass(frozen=True, slots=True, repr=False)
class _EncryptThenMac:
    """RFC 7296 §3.14: the ICV covers the message up to and with the ciphertext."""

    cipher: PlainCipher
    integ: Integ
    integrity_key: Secret
    iv_size: int
    icv_size: int
    block_size: int
    counter_iv: bool

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if len(iv) != self.iv_size:
            raise ValueError(f"the IV is {self.iv_size} octets, not {len(iv)}")
        if len(plaintext) % self.block_size:
            raise ValueError(f"the plaintext is not a multiple of {self.block_size} octets")
        ciphertext = self.cipher.encrypt(iv, plaintext)
        return ciphertext + icv(self.integ, self.integrity_key, aad + iv + ciphertext)

    def open(self, iv: bytes, aad: bytes, octets: bytes) -> bytes:
        size = len(octets) - self.icv_size
        if len(iv) != self.iv_size or size < 0 or size % self.block_size:
            raise IntegrityFailed("the IV or the ciphertext has the wrong size")
        ciphertext = octets[:size]
        expected = icv(self.integ, self.integrity_key, aad + iv + ciphertext)
        if not same(expected, octets[size:]):
            raise IntegrityFailed("the integrity check value does not verify")
        return self.cipher.decrypt(iv, ciphertext)


def key_lengths(encr: Encr) -> tuple[int, ...]:
    """The key lengths in bits that a cipher has; empty where no length is negotiated."""
    _shape(encr)
    return () if encr in _ONE_KEY_SIZE else AES_KEY_BITS


def encryption_key_size(encr: Encr, key_bits: int) -> int:
    """Octets of SK_e or of an ESP encryption key, salt or nonce included.

    `key_bits` is 0 or the only length for ChaCha20-Poly1305 and 3DES. Raises ValueError for a
    length that the cipher does not have, LocalFault for a cipher that is not supported.
    """
    shape = _shape(encr)
    if encr in _ONE_KEY_SIZE:
        if key_bits not in (0, 8 * _ONE_KEY_SIZE[encr]):
            raise ValueError(f"{encr.name} has no keys of {key_bits} bits")
        return _ONE_KEY_SIZE[encr] + shape.salt
    if key_bits not in AES_KEY_BITS:
        raise ValueError(f"{encr.name} has no keys of {key_bits} bits")
    return key_bits // 8 + shape.salt


def iv_size(encr: Encr) -> int:
    """Octets of IV in each message. Raises LocalFault for a cipher that is not supported."""
    return _shape(encr).iv


def block_size(encr: Encr) -> int:
    """Octets that a plaintext is padded to a multiple of; 1 where any length will do."""
    return _shape(encr).block


def icv_size(suite: Suite) -> int:
    """Octets of integrity check value in each message under this suite."""
    return _shape(suite.encr).tag or integrity_icv_size(suite.integ)


def message_cipher(suite: Suite, encryption_key: Secret, integrity_key: Secret) -> MessageCipher:
    """The cipher of one direction. `integrity_key` is empty beside an AEAD cipher.

    Raises ValueError for keys of the wrong size and for encryption without integrity (S-28),
    LocalFault for algorithms that are not supported.
    """
    shape = _shape(suite.encr)
    expected = encryption_key_size(suite.encr, suite.key_bits)
    if len(encryption_key) != expected:
        raise ValueError(
            f"{suite.encr.name} wants {expected} octets of key, not {len(encryption_key)}"
        )
    cut = expected - shape.salt
    key, salt = encryption_key.reveal()[:cut], encryption_key.reveal()[cut:]
    if suite.is_aead:
        if suite.integ != Integ.NONE or integrity_key:
            raise ValueError(f"{suite.encr.name} stands alone, without {suite.integ.name}")
        return _AeadMessages(_aead(suite.encr, key, shape.tag), salt, shape.iv, shape.tag)
    if suite.integ == Integ.NONE:
        raise ValueError(f"{suite.encr.name} without integrity is refused")
    if len(integrity_key) != integrity_key_size(suite.integ):
        raise ValueError(f"{suite.integ.name} does not take {len(integrity_key)} octets of key")
    return _EncryptThenMac(
        CtrCipher(key, salt) if suite.encr == Encr.AES_CTR else _cbc(suite.encr, key),
        suite.integ,
        integrity_key,
        iv_size=shape.iv,
        icv_size=integrity_icv_size(suite.integ),
        block_size=shape.block,
        counter_iv=suite.encr == Encr.AES_CTR,
    )


def chained_cipher(encr: Encr, key: Secret) -> PlainCipher:
    """CBC with nothing around it, as IKEv1's phase 1 uses it (RFC 2409 appendix B).

    Raises ValueError for a key of the wrong size, LocalFault for a cipher that is none of CBC.
    """
    shape = _shape(encr)
    if shape.block == 1:
        raise LocalFault(f"{label(Encr, encr)} is no cipher for phase 1 of IKEv1")
    return _cbc(encr, key.reveal())


def _cbc(encr: Encr, key: bytes) -> CbcCipher:
    return TripleDesCipher(key) if encr == Encr.TRIPLE_DES else CbcCipher(key)


def _aead(encr: Encr, key: bytes, tag: int) -> Aead:
    if encr == Encr.CHACHA20_POLY1305:
        return chacha20_poly1305(key)
    return aes_ccm(key, tag) if encr in _CCMS else aes_gcm(key, tag)


def _shape(encr: Encr) -> _Shape:
    try:
        return _SHAPES[encr]
    except KeyError:
        raise LocalFault(f"{label(Encr, encr)} is not supported for encryption") from None
