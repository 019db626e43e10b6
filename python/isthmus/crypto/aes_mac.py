"""AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493) with AES-128, sixteen octets of output.

Integrity algorithms and PRFs are both made from these two.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK = 16
KEY_SIZE = 16
"""Octets: RFC 3566, 4434, 4493, 4494 and 4615 all use AES-128."""


def cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC (RFC 4493). `key` is 16 octets; raises ValueError otherwise."""
    _check(key)
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def xcbc(key: bytes, data: bytes) -> bytes:
    """AES-XCBC-MAC, whole (RFC 3566 §4). `key` is 16 octets; raises ValueError otherwise."""
    _check(key)
    # ECB of three constant blocks is the key derivation that RFC 3566 §4 step 1 prescribes.
    derive = Cipher(AES(key), modes.ECB()).encryptor()
    derived = derive.update(b"\x01" * BLOCK + b"\x02" * BLOCK + b"\x03" * BLOCK)
    k1, k2, k3 = derived[:BLOCK], derived[BLOCK : 2 * BLOCK], derived[2 * BLOCK :]
    cut = (len(data) - 1) // BLOCK * BLOCK if data else 0
    last = data[cut:]
    if len(last) == BLOCK:
        last = _xor(last, k2)
    else:
        last = _xor(last + b"\x80" + bytes(BLOCK - 1 - len(last)), k3)
    chain = Cipher(AES(k1), modes.CBC(bytes(BLOCK))).encryptor()
    return chain.update(data[:cut] + last)[-BLOCK:]


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(BLOCK, "big")


def _check(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise ValueError(f"an AES MAC key is {KEY_SIZE} octets, not {len(key)}")
