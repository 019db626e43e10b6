"""AES-CBC (RFC 3602), 3DES-CBC (RFC 2451) and AES-CTR (RFC 3686, 5930): encryption alone.

`suite.py` puts an integrity algorithm around these in IKEv2 and ESP. IKEv1's phase 1 has CBC and
nothing around it (RFC 2409 appendix B): its HASH payloads stand inside.
"""

from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

BLOCK = 16
TRIPLE_DES_BLOCK = 8
TRIPLE_DES_KEY_SIZE = 24
"""Octets: three DES keys, parity bits included and never looked at (RFC 2451 §2.2)."""
CTR_NONCE_SIZE = 4
CTR_IV_SIZE = 8
_FIRST_COUNTER = b"\x00\x00\x00\x01"


class PlainCipher(Protocol):
    """Confidentiality alone; plaintext and ciphertext have the same length."""

    @property
    def iv_size(self) -> int:
        """Octets of IV in each message."""
        ...

    @property
    def block_size(self) -> int:
        """The plaintext is a multiple of this many octets."""
        ...

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """Raises ValueError for an IV or a plaintext of the wrong size."""
        ...

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        """Raises ValueError for an IV or a ciphertext of the wrong size."""
        ...


class CbcCipher:
    """AES-CBC without padding of its own; IVs must be unpredictable (RFC 3602 §3)."""

    __slots__ = ("_key",)
    iv_size = BLOCK
    block_size = BLOCK

    def __init__(self, key: bytes) -> None:
        self._key: AES | TripleDES = AES(key)

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """See `PlainCipher.encrypt`."""
        encryptor = Cipher(self._key, modes.CBC(iv)).encryptor()
        return encryptor.update(plaintext) + encryptor.finalize()

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        """See `PlainCipher.decrypt`."""
        decryptor = Cipher(self._key, modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()


class TripleDesCipher(CbcCipher):
    """3DES-CBC: encrypt, decrypt, encrypt (RFC 2451); IVs must be unpredictable here too.

    Blocks of eight octets begin to repeat after some 2**32 of them: for peers with nothing better.
    """

    __slots__ = ()
    iv_size = TRIPLE_DES_BLOCK
    block_size = TRIPLE_DES_BLOCK

    def __init__(self, key: bytes) -> None:
        if len(key) != TRIPLE_DES_KEY_SIZE:
            raise ValueError(f"a 3DES key is {TRIPLE_DES_KEY_SIZE} octets, not {len(key)}")
        self._key = TripleDES(key)


class CtrCipher:
    """AES-CTR; the key ends with a nonce of 4 octets and an IV must never repeat (RFC 3686 §2.1).

    The counter block is nonce, IV and a 32-bit counter from 1 (RFC 3686 §4, RFC 5930 §2.3).
    """

    __slots__ = ("_key", "_nonce")
    iv_size = CTR_IV_SIZE
    block_size = 1

    def __init__(self, key: bytes, nonce: bytes) -> None:
        if len(nonce) != CTR_NONCE_SIZE:
            raise ValueError(f"an AES-CTR nonce is {CTR_NONCE_SIZE} octets, not {len(nonce)}")
        self._key = AES(key)
        self._nonce = nonce

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """See `PlainCipher.encrypt`."""
        if len(iv) != CTR_IV_SIZE:
            raise ValueError(f"an AES-CTR IV is {CTR_IV_SIZE} octets, not {len(iv)}")
        stream = Cipher(self._key, modes.CTR(self._nonce + iv + _FIRST_COUNTER)).encryptor()
        return stream.update(plaintext) + stream.finalize()

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        """See `PlainCipher.decrypt`: the same key stream again."""
        return self.encrypt(iv, ciphertext)
