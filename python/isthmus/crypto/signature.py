"""Signatures: public keys within bounds, checks that raise, and keys that sign.

What comes from a peer is bounded before it costs anything (S-09, S-16): RSA moduli and exponents,
named curves, sizes of keys and signatures. A check raises and returns nothing, so that its outcome
cannot be mistaken for a truth value (S-15).
"""

from typing import Protocol, Self, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    NoDigestInfo,
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from isthmus.values.errors import IsthmusError, LocalFault
from isthmus.values.signature import (
    AnyScheme,
    DigestScheme,
    KeyKind,
    Scheme,
    digest_scheme_of,
    schemes_of,
)

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
RSA_EXPONENT_MIN = 65_537
RSA_EXPONENT_BITS_MAX = 64
"""A long exponent makes a check as slow as signing: a stranger could have us compute for long."""
SPKI_SIZE_MAX = 2048
"""Octets: the largest RSA key allowed needs 1062, its exponent a few more."""

_CURVES: dict[str, tuple[KeyKind, int]] = {
    "secp256r1": (
        KeyKind.EC_P256,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    "secp384r1": (
        KeyKind.EC_P384,
        2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    ),
    "secp521r1": (
        KeyKind.EC_P521,
        (2**265 - 6) << 256 | 0x51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    ),
}
_ORDERS = dict(_CURVES.values())
_PSS_ONLY = bytes.fromhex("06092a864886f70d01010a")
"""id-RSASSA-PSS as a key's algorithm (RFC 4055 §1.2): such a key may do nothing else."""
_HASHES: dict[Scheme, hashes.HashAlgorithm] = {
    Scheme.RSA_PKCS1_SHA1: hashes.SHA1(),
    Scheme.RSA_PKCS1_SHA256: hashes.SHA256(),
    Scheme.RSA_PKCS1_SHA384: hashes.SHA384(),
    Scheme.RSA_PKCS1_SHA512: hashes.SHA512(),
    Scheme.RSA_PSS_SHA256: hashes.SHA256(),
    Scheme.RSA_PSS_SHA384: hashes.SHA384(),
    Scheme.RSA_PSS_SHA512: hashes.SHA512(),
    Scheme.ECDSA_SHA1: hashes.SHA1(),
    Scheme.ECDSA_SHA256: hashes.SHA256(),
    Scheme.ECDSA_SHA384: hashes.SHA384(),
    Scheme.ECDSA_SHA512: hashes.SHA512(),
}
_DIGESTS: dict[int, hashes.HashAlgorithm] = {
    hash_.digest_size: hash_
    for hash_ in (
        hashes.MD5(),
        hashes.SHA1(),
        hashes.SHA256(),
        hashes.SHA384(),
        hashes.SHA512(),
    )
}
"""By its octets, what is a digest. A DigestInfo is longer and has none of these sizes: no signature
by RSA over a digest is one over a message as well."""
_CURVE_DIGEST = {KeyKind.EC_P256: 32, KeyKind.EC_P384: 48, KeyKind.EC_P521: 64}
"""RFC 4754 §4. Of a digest longer than the curve ECDSA would leave the end unsigned."""
_PSS = frozenset({Scheme.RSA_PSS_SHA256, Scheme.RSA_PSS_SHA384, Scheme.RSA_PSS_SHA512})

_Public = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)
_Private = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


class BadKey(IsthmusError):
    """A public key that is not what it says, or outside the bounds."""


class BadSignature(IsthmusError):
    """The signature does not hold over these octets under this key and scheme."""


@final
class PublicKey:
    """A public key whose bounds were checked. Two are equal when their octets are."""

    __slots__ = ("_key", "bits", "kind", "spki")

    def __init__(self, spki: bytes, kind: KeyKind, bits: int, key: _Public) -> None:
        self.spki = spki
        """SubjectPublicKeyInfo in DER (RFC 5280 §4.1)."""
        self.kind = kind
        self.bits = bits
        self._key = key

    @classmethod
    def from_spki(cls, der: bytes, *, rsa_bits_min: int = RSA_BITS_MIN) -> Self:
        """Read a SubjectPublicKeyInfo. Raises BadKey, and nothing else."""
        if len(der) > SPKI_SIZE_MAX:
            raise BadKey(f"a public key of {len(der)} octets is too long")
        if _PSS_ONLY in der[:32]:
            raise BadKey("an RSA key that is bound to PSS by its own algorithm is not supported")
        try:
            key = load_der_public_key(der)
        except Exception as error:
            # The library names no complete set of what it raises on a stranger's octets.
            raise BadKey(f"it is no public key that can be read ({type(error).__name__})") from None
        kind, bits = _judged(key, rsa_bits_min)
        assert isinstance(key, _Public)
        return cls(bytes(der), kind, bits, key)

    @property
    def key(self) -> _Public:
        """The key as the `cryptography` package has it, for this room only."""
        return self._key

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self.spki == other.spki

    def __hash__(self) -> int:
        return hash(self.spki)

    def __repr__(self) -> str:
        return f"PublicKey({self})"

    def __str__(self) -> str:
        return f"RSA-{self.bits}" if self.kind is KeyKind.RSA else _SHOWN[self.kind]


_SHOWN = {
    KeyKind.EC_P256: "ECDSA P-256",
    KeyKind.EC_P384: "ECDSA P-384",
    KeyKind.EC_P521: "ECDSA P-521",
    KeyKind.ED25519: "Ed25519",
    KeyKind.ED448: "Ed448",
}


def _judged(key: object, rsa_bits_min: int) -> tuple[KeyKind, int]:
    """What kind of key it is and how long. Raises BadKey for what is outside the bounds."""
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            _check_rsa(numbers.n, numbers.e, rsa_bits_min)
            return KeyKind.RSA, numbers.n.bit_length()
        case ec.EllipticCurvePublicKey():
            found = _CURVES.get(key.curve.name)
            if found is None:
                raise BadKey(f"curve {key.curve.name} is none of P-256, P-384 and P-521")
            return found[0], key.curve.key_size
        case ed25519.Ed25519PublicKey():
            return KeyKind.ED25519, 256
        case ed448.Ed448PublicKey():
            return KeyKind.ED448, 456
        case _:
            raise BadKey("the key is none of RSA, ECDSA, Ed25519 and Ed448")


def _check_rsa(modulus: int, exponent: int, bits_min: int) -> None:
    bits = modulus.bit_length()
    if not bits_min <= bits <= RSA_BITS_MAX:
        raise BadKey(f"an RSA key of {bits} bits is outside {bits_min} to {RSA_BITS_MAX}")
    if modulus % 2 == 0:
        raise BadKey("the RSA modulus is even")
    if exponent % 2 == 0 or exponent < RSA_EXPONENT_MIN:
        raise BadKey("the RSA exponent is even or below 65537")
    if exponent.bit_length() > RSA_EXPONENT_BITS_MAX:
        raise BadKey(f"the RSA exponent has more than {RSA_EXPONENT_BITS_MAX} bits")


def verify(key: PublicKey, scheme: AnyScheme, octets: bytes, signature: bytes) -> None:
    """Returns when `signature` holds over `octets`; raises BadSignature in every other case.

    ECDSA signatures are the DER form of RFC 3279 §2.2.3; `ecdsa_from_raw` makes it. By a digest
    scheme `octets` are the digest.
    """
    if not _can(key.kind, scheme):
        raise BadSignature(f"{scheme} is no scheme of an {key} key")
    if isinstance(scheme, DigestScheme) and not _is_digest(key.kind, octets):
        raise BadSignature(f"{len(octets)} octets are no digest for an {key} key")
    native = key.key
    try:
        match native:
            case rsa.RSAPublicKey():
                _check_rsa_range(native, signature)
                if isinstance(scheme, DigestScheme):
                    _check_padded(native, octets, signature)
                else:
                    native.verify(signature, octets, _padding(scheme), _HASHES[scheme])
            case ec.EllipticCurvePublicKey():
                _check_ecdsa_range(key.kind, signature)
                native.verify(signature, octets, ec.ECDSA(_ecdsa_hash(scheme, octets)))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                native.verify(signature, octets)
    except InvalidSignature:
        raise BadSignature(f"the {scheme} signature does not hold under the {key} key") from None
    except ValueError as error:
        raise BadSignature(f"the {scheme} signature cannot be read: {error}") from None


def _can(kind: KeyKind, scheme: AnyScheme) -> bool:
    return scheme in schemes_of(kind) or scheme is digest_scheme_of(kind)


def _is_digest(kind: KeyKind, octets: bytes) -> bool:
    expected = _CURVE_DIGEST.get(kind)
    return len(octets) in _DIGESTS if expected is None else len(octets) == expected


def _rsa_hash(scheme: AnyScheme) -> hashes.HashAlgorithm | NoDigestInfo:
    return NoDigestInfo() if isinstance(scheme, DigestScheme) else _HASHES[scheme]


def _ecdsa_hash(scheme: AnyScheme, octets: bytes) -> hashes.HashAlgorithm | Prehashed:
    return Prehashed(_DIGESTS[len(octets)]) if isinstance(scheme, DigestScheme) else _HASHES[scheme]


def _padding(scheme: AnyScheme) -> padding.PKCS1v15 | padding.PSS:
    if isinstance(scheme, DigestScheme) or scheme not in _PSS:
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_HASHES[scheme]), _HASHES[scheme].digest_size)


def _check_rsa_range(key: rsa.RSAPublicKey, signature: bytes) -> None:
    """RFC 8017 §8.1.2 and §8.2.2: exactly as long as the modulus, and below it."""
    numbers = key.public_numbers()
    if len(signature) != (numbers.n.bit_length() + 7) // 8:
        raise BadSignature("the RSA signature has another length than the modulus")
    if int.from_bytes(signature) >= numbers.n:
        raise BadSignature("the RSA signature is not below the modulus")


def _check_padded(key: rsa.RSAPublicKey, digest: bytes, signature: bytes) -> None:
    """The block of RFC 8017 §9.2 with the digest in DigestInfo's place, built and compared (S-16):
    the library recovers what such a signature holds and does not check it. Nothing here is secret.
    """
    numbers, size = key.public_numbers(), len(signature)
    block = b"\x00\x01".ljust(size - len(digest) - 1, b"\xff") + b"\x00" + digest
    if pow(int.from_bytes(signature), numbers.e, numbers.n) != int.from_bytes(block):
        raise InvalidSignature


def _check_ecdsa_range(kind: KeyKind, signature: bytes) -> None:
    """r and s within [1, n-1], in the one DER form that they have. Raises ValueError otherwise."""
    r, s = decode_dss_signature(signature)
    order = _ORDERS[kind]
    if not (0 < r < order and 0 < s < order):
        raise BadSignature("r or s of the ECDSA signature is outside 1 to n-1")
    if encode_dss_signature(r, s) != signature:
        raise BadSignature("the ECDSA signature is not in DER")


def _raw_size(kind: KeyKind) -> int:
    return (_ORDERS[kind].bit_length() + 7) // 8


def ecdsa_from_raw(kind: KeyKind, raw: bytes) -> bytes:
    """r | s of fixed size (RFC 4754 §7) to DER. Raises BadSignature for another size."""
    size = _raw_size(kind)
    if len(raw) != 2 * size:
        raise BadSignature(f"an ECDSA signature of {len(raw)} octets instead of {2 * size}")
    return encode_dss_signature(int.from_bytes(raw[:size]), int.from_bytes(raw[size:]))


def ecdsa_to_raw(kind: KeyKind, der: bytes) -> bytes:
    """DER to r | s of fixed size (RFC 4754 §7). Raises BadSignature for what is no DER."""
    try:
        r, s = decode_dss_signature(der)
        return r.to_bytes(_raw_size(kind)) + s.to_bytes(_raw_size(kind))
    except (ValueError, OverflowError):
        raise BadSignature("the ECDSA signature is not in DER") from None


class SigningKey(Protocol):
    """Something that signs: a key in memory, in a token, or in another process.

    `sign` may block, so it is called in a worker.
    """

    @property
    def public(self) -> PublicKey:
        """The key that others check with."""
        ...

    def sign(self, scheme: AnyScheme, octets: bytes) -> bytes:
        """A signature over `octets`; ECDSA in DER. Raises LocalFault when it cannot be made."""
        ...


@final
class MemoryKey:
    """A private key in this process's memory. It shows nothing of itself."""

    __slots__ = ("_private", "_public")

    def __init__(self, private: object) -> None:
        """`private` is a key as the `cryptography` package reads it. Raises BadKey."""
        if not isinstance(private, _Private):
            raise BadKey("the private key is none of RSA, ECDSA, Ed25519 and Ed448")
        self._private = private
        self._public = PublicKey.from_spki(
            private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    @property
    def public(self) -> PublicKey:
        """The key that others check with."""
        return self._public

    def sign(self, scheme: AnyScheme, octets: bytes) -> bytes:
        """A signature over `octets`; ECDSA in DER.

        Raises LocalFault for a scheme of other keys, and for a digest scheme without a digest.
        """
        if not _can(self._public.kind, scheme):
            raise LocalFault(f"an {self._public} key cannot sign by {scheme}")
        if isinstance(scheme, DigestScheme) and not _is_digest(self._public.kind, octets):
            raise LocalFault(f"{len(octets)} octets are no digest for an {self._public} key")
        match self._private:
            case rsa.RSAPrivateKey():
                return self._private.sign(octets, _padding(scheme), _rsa_hash(scheme))
            case ec.EllipticCurvePrivateKey():
                return self._private.sign(octets, ec.ECDSA(_ecdsa_hash(scheme, octets)))
            case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
                return self._private.sign(octets)

    def __repr__(self) -> str:
        return f"MemoryKey(<{self._public}>)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a MemoryKey is not pickled")
