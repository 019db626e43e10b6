"""prf: sizes, keys of any length, prf+."""

import hashlib

import pytest

from isthmus.crypto.aes_mac import cmac, xcbc
from isthmus.crypto.prf import (
    PRF_PLUS_ROUNDS_MAX,
    PRFS,
    digest,
    prf,
    prf_key_size,
    prf_plus,
    prf_size,
)
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret

SIZES = {
    Prf.HMAC_MD5: 16,
    Prf.HMAC_SHA1: 20,
    Prf.HMAC_SHA2_256: 32,
    Prf.HMAC_SHA2_384: 48,
    Prf.HMAC_SHA2_512: 64,
    Prf.AES128_XCBC: 16,
    Prf.AES128_CMAC: 16,
}


def test_every_prf_of_the_product_is_there() -> None:
    assert set(SIZES) == PRFS


@pytest.mark.parametrize("number", sorted(PRFS))
def test_output_and_preferred_key_have_the_stated_size(number: Prf) -> None:
    assert prf_size(number) == prf_key_size(number) == SIZES[number]
    assert len(prf(number, b"key", b"data")) == SIZES[number]


@pytest.mark.parametrize("number", sorted(PRFS))
def test_takes_a_secret_as_it_takes_octets(number: Prf) -> None:
    assert prf(number, Secret(b"key"), b"data") == prf(number, b"key", b"data")


def test_hmac_is_the_construction_of_rfc_2104() -> None:
    key, data = b"k" * 20, b"data"
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + data).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()
    assert prf(Prf.HMAC_SHA2_256, key, data) == outer


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 64])
def test_xcbc_keys_of_other_sizes_follow_rfc_4434(size: int) -> None:
    key = bytes(range(1, size + 1))
    fixed = xcbc(bytes(16), key) if size > 16 else key + bytes(16 - size)
    assert prf(Prf.AES128_XCBC, key, b"data") == xcbc(fixed, b"data")


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 64])
def test_cmac_keys_of_other_sizes_follow_rfc_4615(size: int) -> None:
    key = bytes(range(1, size + 1))
    fixed = key if size == 16 else cmac(bytes(16), key)
    assert prf(Prf.AES128_CMAC, key, b"data") == cmac(fixed, b"data")


@pytest.mark.parametrize("number", sorted(PRFS))
def test_prf_plus_chains_its_blocks(number: Prf) -> None:
    """RFC 7296 §2.13: T1 = prf(K, S | 1), Tn = prf(K, Tn-1 | S | n)."""
    size = SIZES[number]
    t1 = prf(number, b"key", b"seed\x01")
    t2 = prf(number, b"key", t1 + b"seed\x02")
    t3 = prf(number, b"key", t2 + b"seed\x03")
    for length in (0, 1, size, size + 1, 3 * size):
        assert prf_plus(number, b"key", b"seed", length) == (t1 + t2 + t3)[:length]


def test_prf_plus_ends_after_255_rounds() -> None:
    limit = PRF_PLUS_ROUNDS_MAX * SIZES[Prf.HMAC_SHA1]
    assert len(prf_plus(Prf.HMAC_SHA1, b"key", b"seed", limit)) == limit
    for length in (limit + 1, -1):
        with pytest.raises(ValueError, match="prf"):
            prf_plus(Prf.HMAC_SHA1, b"key", b"seed", length)


@pytest.mark.parametrize("number", sorted(PRFS - {Prf.AES128_XCBC, Prf.AES128_CMAC}))
def test_the_hash_of_an_hmac_is_as_long_as_its_output(number: Prf) -> None:
    assert len(digest(number, b"data")) == SIZES[number]


def test_the_hash_is_the_one_that_the_hmac_is_made_of() -> None:
    assert digest(Prf.HMAC_SHA2_384, b"data") == hashlib.sha384(b"data").digest()
    for number in (Prf.AES128_XCBC, Prf.AES128_CMAC):
        with pytest.raises(LocalFault, match="names no hash"):
            digest(number, b"data")
