"""Integrity algorithms (RFC 2403, RFC 2404, RFC 3566, RFC 4494, RFC 4868): truncated MACs."""

import hmac
from dataclasses import dataclass

from isthmus.crypto.aes_mac import cmac, xcbc
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import Integ, label
from isthmus.values.secret import Secret


@dataclass(frozen=True, slots=True)
class _Shape:
    key_size: int
    icv_size: int
    digest: str = ""


_SHAPES = {
    Integ.HMAC_MD5_96: _Shape(16, 12, "md5"),
    Integ.HMAC_SHA1_96: _Shape(20, 12, "sha1"),
    Integ.HMAC_SHA2_256_128: _Shape(32, 16, "sha256"),
    Integ.HMAC_SHA2_384_192: _Shape(48, 24, "sha384"),
    Integ.HMAC_SHA2_512_256: _Shape(64, 32, "sha512"),
    Integ.AES_XCBC_96: _Shape(16, 12),
    Integ.AES_CMAC_96: _Shape(16, 12),
}
INTEGS = frozenset(_SHAPES)
"""What this file can do. HMAC-MD5-96 and HMAC-SHA1-96 are weak: policy sees to that."""


def integrity_key_size(integ: Integ) -> int:
    """Octets of key, 0 for NONE. Raises LocalFault for what is not supported."""
    return 0 if integ == Integ.NONE else _shape(integ).key_size


def integrity_icv_size(integ: Integ) -> int:
    """Octets of the integrity check value, 0 for NONE. Raises LocalFault if not supported."""
    return 0 if integ == Integ.NONE else _shape(integ).icv_size


def icv(integ: Integ, key: Secret, data: bytes) -> bytes:
    """The integrity check value of `data`. Raises ValueError for a key of the wrong size."""
    shape = _shape(integ)
    octets = key.reveal()
    if len(octets) != shape.key_size:
        raise ValueError(f"{integ.name} has a key of {shape.key_size} octets, not {len(octets)}")
    if integ == Integ.AES_XCBC_96:
        full = xcbc(octets, data)
    elif integ == Integ.AES_CMAC_96:
        full = cmac(octets, data)
    else:
        full = hmac.digest(octets, data, shape.digest)
    return full[: shape.icv_size]


def _shape(integ: Integ) -> _Shape:
    try:
        return _SHAPES[integ]
    except KeyError:
        raise LocalFault(f"{label(Integ, integ)} is not supported for integrity") from None
