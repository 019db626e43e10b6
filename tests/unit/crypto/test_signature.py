"""Signatures: what is refused, and that every scheme of every key kind works both ways."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.crypto.signature import (
    BadKey,
    BadSignature,
    MemoryKey,
    PublicKey,
    ecdsa_from_raw,
    ecdsa_to_raw,
    verify,
)
from isthmus.values.errors import LocalFault
from isthmus.values.signature import (
    DigestScheme,
    KeyKind,
    Scheme,
    any_scheme,
    digest_scheme_of,
    schemes_of,
)

OCTETS = b"what both sides have seen"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of RFC 8017 §9.2 for SHA-256, before the digest."""

_RSA = rsa.generate_private_key(65_537, 2048)
_EC = {
    KeyKind.EC_P256: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.EC_P384: ec.generate_private_key(ec.SECP384R1()),
    KeyKind.EC_P521: ec.generate_private_key(ec.SECP521R1()),
}
KEYS = {
    KeyKind.RSA: MemoryKey(_RSA),
    **{kind: MemoryKey(private) for kind, private in _EC.items()},
    KeyKind.ED25519: MemoryKey(ed25519.Ed25519PrivateKey.generate()),
    KeyKind.ED448: MemoryKey(ed448.Ed448PrivateKey.generate()),
}
EVERY = [(kind, scheme) for kind in KeyKind for scheme in schemes_of(kind)]


@pytest.mark.parametrize(("kind", "scheme"), EVERY, ids=lambda value: str(value))
def test_what_is_signed_holds_and_nothing_else_does(kind: KeyKind, scheme: Scheme) -> None:
    key = KEYS[kind]
    signature = key.sign(scheme, OCTETS)
    verify(key.public, scheme, OCTETS, signature)
    with pytest.raises(BadSignature):
        verify(key.public, scheme, OCTETS + b"\0", signature)
    for other in set(schemes_of(kind)) - {scheme}:
        with pytest.raises(BadSignature):
            verify(key.public, other, OCTETS, signature)


@pytest.mark.parametrize("kind", KeyKind)
def test_no_key_takes_or_makes_a_signature_of_another_kind(kind: KeyKind) -> None:
    key = KEYS[kind]
    for scheme in set(Scheme) - set(schemes_of(kind)):
        with pytest.raises(BadSignature):
            verify(key.public, scheme, OCTETS, bytes(64))
        with pytest.raises(LocalFault):
            key.sign(scheme, OCTETS)
    for digest_scheme in set(DigestScheme) - {digest_scheme_of(kind)}:
        with pytest.raises(BadSignature):
            verify(key.public, digest_scheme, bytes(32), bytes(64))
        with pytest.raises(LocalFault):
            key.sign(digest_scheme, bytes(32))


@pytest.mark.parametrize("kind", KeyKind)
def test_damaged_signatures_are_refused(kind: KeyKind) -> None:
    """S-15: empty, short, long, zero, all ones."""
    key = KEYS[kind]
    scheme = schemes_of(kind)[0]
    good = key.sign(scheme, OCTETS)
    damaged = [
        b"",
        b"\0",
        good[:-1],
        good[1:],
        good + b"\0",
        b"\0" + good,
        bytes(len(good)),
        b"\xff" * len(good),
        good[:-1] + bytes((good[-1] ^ 1,)),
        good * 40,
    ]
    for bad in damaged:
        with pytest.raises(BadSignature):
            verify(key.public, scheme, OCTETS, bad)


def test_ecdsa_values_outside_their_range_are_refused() -> None:
    public = KEYS[KeyKind.EC_P256].public
    for r in (0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256):
        for s in (0, P256_ORDER, P256_ORDER + 1, 2**256):
            for pair in ((r, s), (s, r)):
                with pytest.raises(BadSignature, match="outside"):
                    verify(public, Scheme.ECDSA_SHA256, OCTETS, encode_dss_signature(*pair))


def test_an_ecdsa_signature_has_one_encoding() -> None:
    """A valid r and s with a length in long form, or more octets behind."""
    key = KEYS[KeyKind.EC_P256]
    good = key.sign(Scheme.ECDSA_SHA256, OCTETS)
    for bad in (b"\x30\x81" + good[1:], good + b"\0\0", good[:1] + b"\x80" + good[2:] + b"\0\0"):
        with pytest.raises(BadSignature):
            verify(key.public, Scheme.ECDSA_SHA256, OCTETS, bad)


@pytest.mark.parametrize("kind", _EC)
def test_the_raw_form_of_rfc_4754_has_a_fixed_size(kind: KeyKind) -> None:
    key = KEYS[kind]
    scheme = schemes_of(kind)[0]
    raw = ecdsa_to_raw(kind, key.sign(scheme, OCTETS))
    assert len(raw) == {KeyKind.EC_P256: 64, KeyKind.EC_P384: 96, KeyKind.EC_P521: 132}[kind]
    verify(key.public, scheme, OCTETS, ecdsa_from_raw(kind, raw))
    for bad in (b"", raw[:-1], raw + b"\0"):
        with pytest.raises(BadSignature):
            ecdsa_from_raw(kind, bad)
    with pytest.raises(BadSignature):
        ecdsa_to_raw(kind, b"\x30\x00")


def _raw_rsa(block: bytes) -> bytes:
    """What the private key makes of a padded block, right or wrong."""
    numbers = _RSA.private_numbers()
    modulus = numbers.public_numbers.n
    return pow(int.from_bytes(block), numbers.d, modulus).to_bytes(256)


def _block(info: bytes, *, start: bytes = b"\0\x01", fill: bytes = b"\xff") -> bytes:
    return start + fill * (256 - len(start) - 1 - len(info)) + b"\0" + info


def test_pkcs1_padding_is_built_and_compared() -> None:
    """S-16: the tricks of Bleichenbacher 2006 and after; the first block shows the way works."""
    digest = hashlib.sha256(OCTETS).digest()
    info = SHA256_INFO + digest
    public = KEYS[KeyKind.RSA].public
    verify(public, Scheme.RSA_PKCS1_SHA256, OCTETS, _raw_rsa(_block(info)))
    short = b"\0\x01" + b"\xff" * 8 + b"\0" + info
    without_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest
    garbage_in_null = bytes.fromhex("3033300f060960864801650304020105020000") + b"\x04\x20" + digest
    tricks = {
        "short PS, garbage behind": short + bytes(256 - len(short)),
        "garbage at the front": bytes(256 - len(short)) + short,
        "trailing garbage in the DigestInfo": _block(info + b"\0"),
        "another hash's DigestInfo": _block(SHA256_INFO.replace(b"\x02\x01\x05", b"\x02\x02\x05")),
        "digest without DigestInfo": _block(digest),
        "DigestInfo without NULL": _block(without_null),
        "NULL with content": _block(garbage_in_null),
        "length in long form": _block(b"\x30\x81" + info[1:]),
        "block type 0": _block(info, start=b"\0\0"),
        "block type 2": _block(info, start=b"\0\x02"),
        "PS of zeros": _block(info, fill=b"\0"),
        "no leading zero": _block(info, start=b"\x01\x01"),
    }
    for name, block in tricks.items():
        with pytest.raises(BadSignature):
            verify(public, Scheme.RSA_PKCS1_SHA256, OCTETS, _raw_rsa(block))
            pytest.fail(name)


def test_an_rsa_signature_beyond_the_modulus_is_refused() -> None:
    """s + n gives the same block, so without the check one signature would have two forms."""
    key = KEYS[KeyKind.RSA]
    modulus = _RSA.public_key().public_numbers().n
    for number in range(64):
        octets = OCTETS + bytes((number,))
        beyond = int.from_bytes(key.sign(Scheme.RSA_PKCS1_SHA256, octets)) + modulus
        if beyond < 2**2048:
            break
    else:
        pytest.skip("this modulus is so near to 2^2048 that no signature fits above it")
    with pytest.raises(BadSignature, match="below the modulus"):
        verify(key.public, Scheme.RSA_PKCS1_SHA256, octets, beyond.to_bytes(256))


def test_pss_needs_a_salt_as_long_as_its_hash() -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    for salt in (0, 31, 33, padding.PSS.MAX_LENGTH):
        signature = _RSA.sign(
            OCTETS, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256()
        )
        with pytest.raises(BadSignature):
            verify(KEYS[KeyKind.RSA].public, Scheme.RSA_PSS_SHA256, OCTETS, signature)
    other_mgf = _RSA.sign(OCTETS, padding.PSS(padding.MGF1(hashes.SHA1()), 32), hashes.SHA256())
    with pytest.raises(BadSignature):
        verify(KEYS[KeyKind.RSA].public, Scheme.RSA_PSS_SHA256, OCTETS, other_mgf)


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    def integer(value: int) -> bytes:
        octets = value.to_bytes(value.bit_length() // 8 + 1)
        return b"\x02" + _length(octets)

    def _length(content: bytes) -> bytes:
        if len(content) < 128:
            return bytes((len(content),)) + content
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8)
        return bytes((0x80 | len(size),)) + size + content

    numbers = b"\x30" + _length(integer(modulus) + integer(exponent))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return b"\x30" + _length(algorithm + b"\x03" + _length(b"\0" + numbers))


def test_rsa_keys_outside_the_bounds_are_refused() -> None:
    """S-09: e of 0 to 3 and even, n even, n of 1 to 20,000 bits."""
    modulus = _RSA.public_key().public_numbers().n
    assert PublicKey.from_spki(_rsa_spki(modulus, 65_537)).bits == 2048
    assert PublicKey.from_spki(_rsa_spki(modulus, 2**32 + 1)).kind is KeyKind.RSA
    for exponent in (0, 1, 2, 3, 17, 65_535, 65_536, 2**65 + 1, modulus - 2):
        with pytest.raises(BadKey):
            PublicKey.from_spki(_rsa_spki(modulus, exponent))
    for bits in (1, 8, 512, 1024, 2047, 8193, 16_384, 20_000):
        with pytest.raises(BadKey):
            PublicKey.from_spki(_rsa_spki(2**bits - 1, 65_537))
    with pytest.raises(BadKey):
        PublicKey.from_spki(_rsa_spki(modulus - 1, 65_537))
    assert PublicKey.from_spki(_rsa_spki(2**1024 - 1, 65_537), rsa_bits_min=1024).bits == 1024


def test_other_keys_are_refused() -> None:
    for private in (
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.BrainpoolP256R1()),
        ec.generate_private_key(ec.SECP224R1()),
        dsa.generate_private_key(2048),
    ):
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(BadKey):
            PublicKey.from_spki(spki)
        with pytest.raises(BadKey):
            MemoryKey(private)
    with pytest.raises(BadKey):
        MemoryKey("text")


def test_octets_that_are_no_key_are_refused() -> None:
    for kind, key in KEYS.items():
        spki = key.public.spki
        assert PublicKey.from_spki(spki) == key.public, kind
        for at in range(len(spki)):
            for flip in (0x01, 0x80):
                damaged = spki[:at] + bytes((spki[at] ^ flip,)) + spki[at + 1 :]
                try:
                    read = PublicKey.from_spki(damaged)
                except BadKey:
                    continue
                assert read != key.public
        for size in range(0, len(spki), 7):
            with pytest.raises(BadKey):
                PublicKey.from_spki(spki[:size])
        with pytest.raises(BadKey):
            PublicKey.from_spki(spki + bytes(4096))


def test_private_keys_show_nothing() -> None:
    key = KEYS[KeyKind.EC_P256]
    assert repr(key) == "MemoryKey(<ECDSA P-256>)"
    assert str(KEYS[KeyKind.RSA].public) == "RSA-2048"
    with pytest.raises(TypeError):
        key.__reduce__()


DIGESTS = [
    *((KeyKind.RSA, size) for size in (16, 20, 32, 48, 64)),
    (KeyKind.EC_P256, 32),
    (KeyKind.EC_P384, 48),
    (KeyKind.EC_P521, 64),
]
OTHER_SIZES = [(k, n) for k in _EC for n in (20, 32, 48, 64) if (k, n) not in DIGESTS]


@pytest.mark.parametrize(("kind", "size"), DIGESTS)
def test_a_signed_digest_holds_and_nothing_else_does(kind: KeyKind, size: int) -> None:
    key, scheme, digest = KEYS[kind], digest_scheme_of(kind), bytes(range(size))
    assert scheme is not None
    signature = key.sign(scheme, digest)
    verify(key.public, scheme, digest, signature)
    for other in (digest[:-1] + b"x", b"x" + digest[1:], bytes(size)):
        with pytest.raises(BadSignature):
            verify(key.public, scheme, other, signature)
    for damaged in (b"", signature[:-1], signature + b"\0", b"\0" + signature, bytes(256)):
        with pytest.raises(BadSignature):
            verify(key.public, scheme, digest, damaged)


@pytest.mark.parametrize("kind", _EC)
def test_an_ecdsa_signature_over_a_digest_is_one_over_the_message(kind: KeyKind) -> None:
    """RFC 4754 §3: what IKEv1 hashes first is what ECDSA would hash itself."""
    key, scheme = KEYS[kind], schemes_of(kind)[0]
    digest = hashlib.new(scheme.removeprefix("ecdsa-"), OCTETS).digest()
    verify(key.public, scheme, OCTETS, key.sign(DigestScheme.ECDSA, digest))
    verify(key.public, DigestScheme.ECDSA, digest, key.sign(scheme, OCTETS))


def test_an_rsa_signature_over_a_digest_has_no_digest_info() -> None:
    """RFC 2409 §5.1. The block is 00 01 FF ... FF 00 and the digest, in this form and no other."""
    key, digest = KEYS[KeyKind.RSA], hashlib.sha256(OCTETS).digest()
    right = b"\0\1" + b"\xff" * 221 + b"\0" + digest
    assert key.sign(DigestScheme.RSA_PKCS1, digest) == _raw_rsa(right)
    verify(key.public, DigestScheme.RSA_PKCS1, digest, _raw_rsa(right))
    for wrong in (
        b"\0\2" + right[2:],
        b"\0\1" + b"\xff" * 8 + b"\0" + digest + bytes(213),
        b"\0\1" + b"\xff" * 202 + b"\0" + SHA256_INFO + digest,
        b"\0\1" + b"\xff" * 220 + b"\xfe\0" + digest,
        b"\0\1" + b"\xff" * 220 + b"\0\0" + digest,
    ):
        with pytest.raises(BadSignature):
            verify(key.public, DigestScheme.RSA_PKCS1, digest, _raw_rsa(wrong))


@pytest.mark.parametrize("kind", [KeyKind.RSA, KeyKind.EC_P256])
@pytest.mark.parametrize("octets", [b"", bytes(19), bytes(33), SHA256_INFO + bytes(32)])
def test_what_has_no_digests_size_is_not_signed_as_one(kind: KeyKind, octets: bytes) -> None:
    """A DigestInfo above all: then it would be a signature over a message that nobody has seen."""
    key, scheme = KEYS[kind], digest_scheme_of(kind)
    assert scheme is not None
    with pytest.raises(LocalFault, match="no digest"):
        key.sign(scheme, octets)
    with pytest.raises(BadSignature, match="no digest"):
        verify(key.public, scheme, octets, bytes(256))


@pytest.mark.parametrize(("kind", "size"), OTHER_SIZES)
def test_a_curve_signs_digests_of_its_own_size_alone(kind: KeyKind, size: int) -> None:
    """ECDSA cuts what is longer than the order: the end of such a digest would not be signed."""
    with pytest.raises(LocalFault, match="no digest"):
        KEYS[kind].sign(DigestScheme.ECDSA, bytes(size))
    with pytest.raises(BadSignature, match="no digest"):
        verify(KEYS[kind].public, DigestScheme.ECDSA, bytes(size), bytes(70))


def test_every_scheme_has_a_name_of_its_own() -> None:
    every = (*Scheme, *DigestScheme)
    assert [any_scheme(scheme.value) for scheme in every] == list(every)
    assert len({scheme.value for scheme in every}) == len(every)
    with pytest.raises(ValueError):
        any_scheme("rsa-pkcs1")
