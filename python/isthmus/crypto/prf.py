"""Pseudorandom functions and prf+ (RFC 7296 §2.13, RFC 4434, RFC 4615, RFC 4868)."""

import hashlib
import hmac

from isthmus.crypto.aes_mac import KEY_SIZE, cmac, xcbc
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import Prf, label
from isthmus.values.secret import Secret

_HASHES = {
    Prf.HMAC_MD5: ("md5", 16),
    Prf.HMAC_SHA1: ("sha1", 20),
    Prf.HMAC_SHA2_256: ("sha256", 32),
    Prf.HMAC_SHA2_384: ("sha384", 48),
    Prf.HMAC_SHA2_512: ("sha512", 64),
}
_AES_SIZE = 16
PRFS = frozenset({*_HASHES, Prf.AES128_XCBC, Prf.AES128_CMAC})
"""What this file can do. HMAC-MD5 and HMAC-SHA1 are weak (RFC 8247 §2.2): policy sees to that."""

PRF_PLUS_ROUNDS_MAX = 255
"""RFC 7296 §2.13: the counter is one octet."""


def prf_size(prf: Prf) -> int:
    """Octets of output. Raises LocalFault for a PRF that is not supported."""
    if prf in _HASHES:
        return _HASHES[prf][1]
    _require(prf)
    return _AES_SIZE


def prf_key_size(prf: Prf) -> int:
    """Octets of the preferred key: the size of SK_d, SK_pi and SK_pr (RFC 7296 §2.14)."""
    return prf_size(prf)


def prf(prf: Prf, key: Secret | bytes, data: bytes) -> bytes:
    """prf(key, data). Keys may have any length, as RFC 4434 §2 and RFC 4615 §3 define it."""
    octets = key.reveal() if isinstance(key, Secret) else key
    if prf in _HASHES:
        return hmac.digest(octets, data, _HASHES[prf][0])
    _require(prf)
    if prf == Prf.AES128_XCBC:
        return xcbc(_xcbc_key(octets), data)
    return cmac(_cmac_key(octets), data)


def digest(prf: Prf, data: bytes) -> bytes:
    """The hash that an HMAC is made of: what IKEv1 negotiates beside its cipher (RFC 2409 §4).

    Raises LocalFault for a PRF that is no HMAC, or not supported.
    """
    if prf not in _HASHES:
        raise LocalFault(f"{label(Prf, prf)} is no HMAC, so it names no hash")
    return hashlib.new(_HASHES[prf][0], data, usedforsecurity=False).digest()


def prf_plus(prf_number: Prf, key: Secret | bytes, seed: bytes, length: int) -> bytes:
    """The first `length` octets of prf+(key, seed) (RFC 7296 §2.13).

    Raises ValueError beyond 255 rounds, where RFC 7296 leaves prf+ undefined.
    """
    if not 0 <= length <= PRF_PLUS_ROUNDS_MAX * prf_size(prf_number):
        raise ValueError(f"prf+ cannot give {length} octets")
    stream = bytearray()
    block = b""
    counter = 0
    while len(stream) < length:
        counter += 1
        block = prf(prf_number, key, block + seed + bytes((counter,)))
        stream += block
    return bytes(stream[:length])


def _xcbc_key(key: bytes) -> bytes:
    """RFC 4434 §2: short keys are padded with zeros, long ones hashed under the zero key."""
    return xcbc(bytes(KEY_SIZE), key) if len(key) > KEY_SIZE else key.ljust(KEY_SIZE, b"\0")


def _cmac_key(key: bytes) -> bytes:
    """RFC 4615 §3: every length but 16 octets is hashed under the zero key, shorter ones too."""
    return key if len(key) == KEY_SIZE else cmac(bytes(KEY_SIZE), key)


def _require(prf: Prf) -> None:
    if prf not in PRFS:
        raise LocalFault(f"{label(Prf, prf)} is not supported as a PRF")
