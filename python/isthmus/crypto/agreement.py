"""Key agreement: MODP, ECP, Curve25519 and Curve448, with the checks of RFC 6989.

One private value serves one exchange (S-24): `generate` makes it, `agree` uses it, the caller
forgets it. Operations on MODP groups run in the native module without the interpreter lock;
`is_slow` tells which of all take so long that they belong on a worker.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from isthmus.crypto import modp
from isthmus.crypto.entropy import Entropy
from isthmus.values.errors import IsthmusError, LocalFault
from isthmus.values.registry.ikev2 import KeMethod, label
from isthmus.values.secret import Secret

_NativePublic = Callable[[int, bytes], bytes]
_NativeShared = Callable[[int, bytes, bytes], bytes]
_native: tuple[_NativePublic, _NativeShared] | None
try:
    from isthmus._dataplane import modp_public, modp_shared
except ImportError:
    # A tree that was not built yet still imports; using a MODP group then raises LocalFault.
    _native = None
else:
    _native = (modp_public, modp_shared)


class BadPublicValue(IsthmusError):
    """The peer's public value fails a check of RFC 6989 or RFC 8031; no key may come of it.

    In IKE_SA_INIT the message is dropped; later INVALID_SYNTAX is the answer (RFC 6989 §2.5).
    """

    def __init__(self, method: KeMethod, reason: str) -> None:
        super().__init__(f"{method.name}: {reason}")
        self.method = method
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Curve:
    curve: ec.EllipticCurve
    size: int
    """Octets of one coordinate."""
    field: int
    order: int


_CURVES = {
    KeMethod.ECP_256: _Curve(
        ec.SECP256R1(),
        32,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    KeMethod.ECP_384: _Curve(
        ec.SECP384R1(),
        48,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    ),
    KeMethod.ECP_521: _Curve(
        ec.SECP521R1(),
        66,
        2**521 - 1,
        (2**265 - 6) << 256 | 0x51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ),
}
_MONTGOMERY_SIZE = {KeMethod.CURVE25519: 32, KeMethod.CURVE448: 56}

METHODS = frozenset({*modp.METHODS, *_CURVES, *_MONTGOMERY_SIZE})
"""What this file can do."""

WEAK_METHODS = frozenset({KeMethod.MODP_1024, KeMethod.MODP_1536})
"""RFC 8247 §2.4: only for those who name them and say that they mean it; policy sees to that."""

_SLOW = frozenset({KeMethod.MODP_3072, KeMethod.MODP_4096, KeMethod.MODP_6144, KeMethod.MODP_8192})


def is_slow(method: KeMethod) -> bool:
    """One operation takes from one millisecond (MODP-3072) to ten (MODP-8192): use a worker.

    All of these run in the native module, which gives the interpreter lock away meanwhile; the
    others stay below a millisecond.
    """
    return method in _SLOW


def public_size(method: KeMethod) -> int:
    """Octets of Key Exchange Data (RFC 7296 §3.4, RFC 5903 §7, RFC 8031 §3.1).

    Raises LocalFault for a method that is not supported.
    """
    if method in modp.METHODS:
        return modp.size(method)
    if method in _CURVES:
        return 2 * _CURVES[method].size
    _require(method)
    return _MONTGOMERY_SIZE[method]


def shared_size(method: KeMethod) -> int:
    """Octets of shared secret, leading zeros included."""
    return _CURVES[method].size if method in _CURVES else public_size(method)


def generate(method: KeMethod, entropy: Entropy) -> tuple[Secret, bytes]:
    """A fresh private value and the Key Exchange Data that goes with it.

    Same entropy, same pair. Raises LocalFault for a method that cannot be used here.
    """
    if method in modp.METHODS:
        private = bytearray(entropy.octets(modp.private_size(method)))
        # A fixed top bit: the exponent's length in bits, which timing may tell, says nothing.
        private[0] |= 0x80
        secret = Secret(bytes(private))
    elif method in _CURVES:
        secret = _scalar(_CURVES[method], entropy)
    else:
        _require(method)
        secret = Secret(entropy.octets(_MONTGOMERY_SIZE[method]))
    return secret, public_value(method, secret)


def public_value(method: KeMethod, private: Secret) -> bytes:
    """The Key Exchange Data of a private value.

    Raises ValueError for a private value that the method does not have, LocalFault for a method
    that cannot be used here.
    """
    octets = private.reveal()
    if method in modp.METHODS:
        return _modp()[0](int(method), octets)
    if method in _CURVES:
        numbers = _ecp_private(_CURVES[method], octets).public_key().public_numbers()
        size = _CURVES[method].size
        return numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
    _require(method)
    if method == KeMethod.CURVE25519:
        return X25519PrivateKey.from_private_bytes(octets).public_key().public_bytes_raw()
    return X448PrivateKey.from_private_bytes(octets).public_key().public_bytes_raw()


def check_public(method: KeMethod, peer: bytes) -> None:
    """The checks that need no private value: length, range, on the curve (RFC 6989 §2).

    Raises BadPublicValue. `agree` makes the same checks; this one is for who wants to know early.
    """
    expected = public_size(method)
    if len(peer) != expected:
        raise BadPublicValue(method, f"the value is {len(peer)} octets and not {expected}")
    if method in modp.METHODS:
        value = int.from_bytes(peer, "big")
        if not 1 < value < modp.prime(method) - 1:
            raise BadPublicValue(method, "the value is not between 1 and p - 1")
    elif method in _CURVES:
        _ecp_public(method, peer)


def agree(method: KeMethod, private: Secret, peer: bytes) -> Secret:
    """The shared secret g^ir, as long as the group says, leading zeros kept.

    MODP: RFC 7296 §2.14. ECP: the x coordinate (RFC 5903 §7). Curve25519 and Curve448: refused
    when all zero (RFC 8031 §2, RFC 7748 §6). Raises BadPublicValue before any key exists.
    """
    check_public(method, peer)
    octets = private.reveal()
    if method in modp.METHODS:
        shared = _modp()[1](int(method), octets, peer)
    elif method in _CURVES:
        key = _ecp_private(_CURVES[method], octets)
        shared = key.exchange(ec.ECDH(), _ecp_public(method, peer))
    else:
        shared = _montgomery(method, octets, peer)
    return Secret(shared)


def generate_and_agree(method: KeMethod, entropy: Entropy, peer: bytes) -> tuple[bytes, Secret]:
    """Key Exchange Data of a fresh private value that serves `peer` alone, and the shared secret:
    `generate` and `agree` in one, checks first. Raises as they do."""
    check_public(method, peer)
    if method != KeMethod.CURVE25519:
        private, public = generate(method, entropy)
        return public, agree(method, private, peer)
    # Each look at the private octets costs the library a multiplication: one is enough.
    key = X25519PrivateKey.from_private_bytes(entropy.octets(_MONTGOMERY_SIZE[method]))
    return key.public_key().public_bytes_raw(), Secret(_x25519(key, peer))


def _x25519(key: X25519PrivateKey, peer: bytes) -> bytes:
    shared = _or_zero(lambda: key.exchange(X25519PublicKey.from_public_bytes(peer)))
    if not any(shared):
        raise BadPublicValue(KeMethod.CURVE25519, "the value is a point of low order")
    return shared


def _montgomery(method: KeMethod, private: bytes, peer: bytes) -> bytes:
    if method == KeMethod.CURVE25519:
        return _x25519(X25519PrivateKey.from_private_bytes(private), peer)
    x448 = X448PrivateKey.from_private_bytes(private)
    shared = _or_zero(lambda: x448.exchange(X448PublicKey.from_public_bytes(peer)))
    if not any(shared):
        raise BadPublicValue(method, "the value is a point of low order")
    return shared


def _or_zero(exchange: Callable[[], bytes]) -> bytes:
    """The library refuses an all-zero result with ValueError, and has no other reason for one."""
    try:
        return exchange()
    except ValueError:
        return b""


def _scalar(curve: _Curve, entropy: Entropy) -> Secret:
    """A scalar of 1 to n - 1, even over the range, by rejection (FIPS 186-5 A.2.2)."""
    spare_bits = 8 * curve.size - curve.order.bit_length()
    while True:
        octets = bytearray(entropy.octets(curve.size))
        octets[0] &= 0xFF >> spare_bits
        if 0 < int.from_bytes(octets, "big") < curve.order:
            return Secret(bytes(octets))


def _ecp_private(curve: _Curve, octets: bytes) -> ec.EllipticCurvePrivateKey:
    if len(octets) != curve.size:
        raise ValueError(f"a private value of this group is {curve.size} octets")
    return ec.derive_private_key(int.from_bytes(octets, "big"), curve.curve)


def _ecp_public(method: KeMethod, peer: bytes) -> ec.EllipticCurvePublicKey:
    curve = _CURVES[method]
    x = int.from_bytes(peer[: curve.size], "big")
    y = int.from_bytes(peer[curve.size :], "big")
    if x >= curve.field or y >= curve.field:
        raise BadPublicValue(method, "a coordinate is not below the field's prime")
    try:
        # Loading refuses points off the curve; the point at infinity has no such form at all.
        return ec.EllipticCurvePublicNumbers(x, y, curve.curve).public_key()
    except ValueError:
        raise BadPublicValue(method, "the point is not on the curve") from None


def _modp() -> tuple[_NativePublic, _NativeShared]:
    if _native is None:
        raise LocalFault("the native module is not built, so MODP groups cannot be used")
    return _native


def _require(method: KeMethod) -> None:
    if method not in METHODS:
        raise LocalFault(f"{label(KeMethod, method)} is not supported for key exchange")
