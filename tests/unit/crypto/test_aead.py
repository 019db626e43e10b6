"""aead: GCM with short tags, CCM, ChaCha20-Poly1305."""

import pytest

from isthmus.crypto.aead import aes_ccm, aes_gcm, chacha20_poly1305
from isthmus.values.errors import IntegrityFailed

KEY = bytes(range(16))
CIPHERS = {
    **{f"gcm{size}": (aes_gcm(KEY, size), 12, size) for size in (8, 12, 16)},
    **{f"ccm{size}": (aes_ccm(KEY, size), 11, size) for size in (8, 12, 16)},
    "chacha20poly1305": (chacha20_poly1305(KEY * 2), 12, 16),
}


@pytest.mark.parametrize("name", CIPHERS)
def test_opens_what_it_sealed_and_nothing_shorter(name: str) -> None:
    cipher, nonce_size, tag_size = CIPHERS[name]
    nonce = bytes(nonce_size)
    sealed = cipher.seal(nonce, b"aad", b"plain")
    assert cipher.tag_size == tag_size
    assert len(sealed) == 5 + tag_size
    assert cipher.open(nonce, b"aad", sealed) == b"plain"
    for cut in range(len(sealed)):
        with pytest.raises(IntegrityFailed):
            cipher.open(nonce, b"aad", sealed[:cut])


@pytest.mark.parametrize("name", CIPHERS)
def test_every_octet_counts(name: str) -> None:
    cipher, nonce_size, _ = CIPHERS[name]
    nonce = bytes(nonce_size)
    sealed = cipher.seal(nonce, b"aad", b"plain")
    for at in range(len(sealed)):
        damaged = sealed[:at] + bytes((sealed[at] ^ 0x80,)) + sealed[at + 1 :]
        with pytest.raises(IntegrityFailed):
            cipher.open(nonce, b"aad", damaged)
    with pytest.raises(IntegrityFailed):
        cipher.open(nonce, b"aae", sealed)
    with pytest.raises(IntegrityFailed):
        cipher.open(b"\x01" + nonce[1:], b"aad", sealed)


def test_short_gcm_tags_are_the_front_of_the_long_one() -> None:
    whole = aes_gcm(KEY, 16).seal(bytes(12), b"aad", b"plain")
    for size in (8, 12):
        assert aes_gcm(KEY, size).seal(bytes(12), b"aad", b"plain") == whole[: 5 + size]


def test_a_longer_tag_is_not_taken_for_a_short_one() -> None:
    whole = aes_gcm(KEY, 16).seal(bytes(12), b"aad", b"plain")
    with pytest.raises(IntegrityFailed):
        aes_gcm(KEY, 12).open(bytes(12), b"aad", whole)


@pytest.mark.parametrize("size", [0, 4, 6, 10, 13, 14, 15, 17])
def test_refuse_tags_that_ipsec_does_not_have(size: int) -> None:
    for make in (aes_gcm, aes_ccm):
        with pytest.raises(ValueError, match="ICV"):
            make(KEY, size)


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33])
def test_refuse_keys_of_another_size(size: int) -> None:
    makers: tuple[object, ...] = (chacha20_poly1305, lambda k: aes_gcm(k, 16))
    for make in (*makers, lambda k: aes_gcm(k, 8), lambda k: aes_ccm(k, 8)):
        assert callable(make)
        with pytest.raises(ValueError):
            make(bytes(size))
