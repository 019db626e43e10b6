"""AUTH payload (RFC 7296 §3.8), digital signatures inside it (RFC 7427), and what announces them.

A scheme is named by the DER of its AlgorithmIdentifier. They are few, so they are compared as
octets: nothing of a stranger's ASN.1 is parsed here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import AuthMethod, HashAlgorithm, PayloadType
from isthmus.values.signature import Scheme
from isthmus.wire.cursor import Reader, Writer

ALGORITHM_SIZE_MAX = 255
"""Octets: its length stands in one octet (RFC 7427 §3)."""
HASHES_MAX = 64
"""Hash algorithms that one notify may list; the registry has eight."""
ANNOUNCEMENTS_MAX = 64


@dataclass(frozen=True, slots=True)
class Authentication:
    """A proof of identity, not yet checked."""

    TYPE: ClassVar[PayloadType] = PayloadType.AUTH
    method: int
    data: bytes

    @classmethod
    def decode(cls, body: Reader) -> Self:
        """Raises Malformed when the method is cut off."""
        method = body.u8()
        body.skip(3)
        return cls(method, body.rest())

    def encode(self) -> bytes:
        """The payload's body."""
        return Writer().u8(self.method).zeros(3).put(self.data).octets()


# --- AlgorithmIdentifiers -------------------------------------------------------------------


def _sequence(*parts: bytes) -> bytes:
    """DER of a SEQUENCE of less than 128 octets."""
    return _tagged(0x30, b"".join(parts))


def _tagged(tag: int, content: bytes) -> bytes:
    """The values made here are all short: their length takes one octet."""
    return bytes((tag, len(content))) + content


_NULL = b"\x05\x00"
_PKCS1 = bytes.fromhex("06092a864886f70d0101")
_ECDSA_SHA2 = bytes.fromhex("06082a8648ce3d0403")
_SHA2 = bytes.fromhex("06096086480165030402")
_MGF1 = _PKCS1 + b"\x08"
_PSS_HASHES = {
    Scheme.RSA_PSS_SHA256: (b"\x01", 32),
    Scheme.RSA_PSS_SHA384: (b"\x02", 48),
    Scheme.RSA_PSS_SHA512: (b"\x03", 64),
}


def _pss(scheme: Scheme, *, null: bool, trailer: bool) -> bytes:
    """RSASSA-PSS-params (RFC 4055 §3.1): same hash twice, and a salt as long as the hash."""
    number, size = _PSS_HASHES[scheme]
    digest = _sequence(_SHA2 + number, _NULL if null else b"")
    return _sequence(
        _PKCS1 + b"\x0a",
        _sequence(
            _tagged(0xA0, digest),
            _tagged(0xA1, _sequence(_MGF1, digest)),
            _tagged(0xA2, bytes((2, 1, size))),
            _tagged(0xA3, bytes((2, 1, 1))) if trailer else b"",
        ),
    )


ALGORITHMS: dict[Scheme, bytes] = {
    Scheme.RSA_PKCS1_SHA1: _sequence(_PKCS1 + b"\x05", _NULL),
    Scheme.RSA_PKCS1_SHA256: _sequence(_PKCS1 + b"\x0b", _NULL),
    Scheme.RSA_PKCS1_SHA384: _sequence(_PKCS1 + b"\x0c", _NULL),
    Scheme.RSA_PKCS1_SHA512: _sequence(_PKCS1 + b"\x0d", _NULL),
    **{scheme: _pss(scheme, null=True, trailer=False) for scheme in _PSS_HASHES},
    Scheme.ECDSA_SHA1: _sequence(bytes.fromhex("06072a8648ce3d0401")),
    Scheme.ECDSA_SHA256: _sequence(_ECDSA_SHA2 + b"\x02"),
    Scheme.ECDSA_SHA384: _sequence(_ECDSA_SHA2 + b"\x03"),
    Scheme.ECDSA_SHA512: _sequence(_ECDSA_SHA2 + b"\x04"),
    Scheme.ED25519: _sequence(bytes.fromhex("06032b6570")),
    Scheme.ED448: _sequence(bytes.fromhex("06032b6571")),
}
"""AlgorithmIdentifiers as we write them. The default trailer of PSS is left out, as DER asks."""

_READ = {octets: scheme for scheme, octets in ALGORITHMS.items()} | {
    # RFC 7427 appendix A.4.3 writes the default trailer, RFC 4055 §2.1 allows hashes without NULL.
    _pss(scheme, null=null, trailer=trailer): scheme
    for scheme in _PSS_HASHES
    for null in (True, False)
    for trailer in (True, False)
}

HASH_OF: dict[Scheme, HashAlgorithm] = {
    Scheme.RSA_PKCS1_SHA1: HashAlgorithm.SHA1,
    Scheme.ECDSA_SHA1: HashAlgorithm.SHA1,
    Scheme.RSA_PKCS1_SHA256: HashAlgorithm.SHA2_256,
    Scheme.RSA_PSS_SHA256: HashAlgorithm.SHA2_256,
    Scheme.ECDSA_SHA256: HashAlgorithm.SHA2_256,
    Scheme.RSA_PKCS1_SHA384: HashAlgorithm.SHA2_384,
    Scheme.RSA_PSS_SHA384: HashAlgorithm.SHA2_384,
    Scheme.ECDSA_SHA384: HashAlgorithm.SHA2_384,
    Scheme.RSA_PKCS1_SHA512: HashAlgorithm.SHA2_512,
    Scheme.RSA_PSS_SHA512: HashAlgorithm.SHA2_512,
    Scheme.ECDSA_SHA512: HashAlgorithm.SHA2_512,
    Scheme.ED25519: HashAlgorithm.IDENTITY,
    Scheme.ED448: HashAlgorithm.IDENTITY,
}


@dataclass(frozen=True, slots=True)
class DigitalSignature:
    """The data of an AUTH payload of method 14 (RFC 7427 §3): how it was made, and the octets."""

    algorithm: bytes
    """DER of an AlgorithmIdentifier."""
    signature: bytes

    @classmethod
    def of(cls, scheme: Scheme, signature: bytes) -> Self:
        """A signature made by `scheme`."""
        return cls(ALGORITHMS[scheme], signature)

    @property
    def scheme(self) -> Scheme | None:
        """None for an algorithm, or for parameters of one, that nobody here can do."""
        return _READ.get(self.algorithm)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises Malformed where the AlgorithmIdentifier is cut off."""
        reader = Reader(data)
        algorithm = reader.take(reader.u8())
        return cls(algorithm, reader.rest())

    def encode(self) -> bytes:
        """The data of the AUTH payload."""
        return Writer().u8(len(self.algorithm)).put(self.algorithm).put(self.signature).octets()


# --- notify data ----------------------------------------------------------------------------


def decode_hashes(data: bytes) -> frozenset[int]:
    """What SIGNATURE_HASH_ALGORITHMS lists (RFC 7427 §4), unknown numbers too.

    Raises Malformed for half a number, and for more than anybody needs.
    """
    if len(data) % 2 or len(data) > 2 * HASHES_MAX:
        raise Malformed(f"SIGNATURE_HASH_ALGORITHMS of {len(data)} octets")
    return frozenset(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))


def encode_hashes(hashes: Iterable[HashAlgorithm]) -> bytes:
    """The data of SIGNATURE_HASH_ALGORITHMS."""
    return b"".join(number.to_bytes(2) for number in hashes)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One way to authenticate that the sender accepts (RFC 9593 §3.2)."""

    method: int
    link: int | None = None
    """The CA of the sender's CERTREQ that it goes with, counted from 1; 0: with every one. None
    where the method has nothing to do with certificates."""
    algorithm: bytes = b""
    """DER of an AlgorithmIdentifier, for digital signatures."""

    @property
    def scheme(self) -> Scheme | None:
        """The scheme of a digital signature, if it is one that somebody here can do."""
        signs = self.method == AuthMethod.DIGITAL_SIGNATURE
        return _READ.get(self.algorithm) if signs else None

    def encode(self) -> bytes:
        """With its length in front."""
        link = b"" if self.link is None else bytes((self.link,))
        body = bytes((self.method,)) + link + self.algorithm
        return bytes((1 + len(body),)) + body


def decode_announcements(data: bytes) -> tuple[Announcement, ...]:
    """What SUPPORTED_AUTH_METHODS lists, in order of the sender's preference.

    Raises Malformed for an announcement that is cut off, and for too many of them.
    """
    reader = Reader(data)
    found: list[Announcement] = []
    while reader.remaining:
        length = reader.u8()
        if length < 2 or len(found) == ANNOUNCEMENTS_MAX:
            raise Malformed("SUPPORTED_AUTH_METHODS cannot be read", at=reader.offset)
        method = reader.u8()
        link = reader.u8() if length > 2 else None
        found.append(Announcement(method, link, reader.take(length - 3) if length > 3 else b""))
    return tuple(found)


def encode_announcements(announcements: Iterable[Announcement]) -> bytes:
    """The data of SUPPORTED_AUTH_METHODS."""
    return b"".join(announcement.encode() for announcement in announcements)
