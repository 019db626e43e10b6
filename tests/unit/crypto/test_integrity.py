"""integrity: truncated MACs and their sizes."""

import hashlib
import hmac

import pytest

from isthmus.crypto.aes_mac import cmac, xcbc
from isthmus.crypto.integrity import INTEGS, icv, integrity_icv_size, integrity_key_size
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import Integ
from isthmus.values.secret import Secret

SIZES = {
    Integ.HMAC_MD5_96: (16, 12, "md5"),
    Integ.HMAC_SHA1_96: (20, 12, "sha1"),
    Integ.HMAC_SHA2_256_128: (32, 16, "sha256"),
    Integ.HMAC_SHA2_384_192: (48, 24, "sha384"),
    Integ.HMAC_SHA2_512_256: (64, 32, "sha512"),
    Integ.AES_XCBC_96: (16, 12, "xcbc"),
    Integ.AES_CMAC_96: (16, 12, "cmac"),
}


def test_every_integrity_algorithm_of_the_product_is_there() -> None:
    assert set(SIZES) == INTEGS


@pytest.mark.parametrize("number", sorted(INTEGS))
def test_is_the_front_of_the_whole_mac(number: Integ) -> None:
    key_size, icv_size, name = SIZES[number]
    key, data = bytes(range(key_size)), b"data" * 9
    whole = {
        "xcbc": lambda: xcbc(key, data),
        "cmac": lambda: cmac(key, data),
    }.get(name, lambda: hmac.new(key, data, getattr(hashlib, name)).digest())()
    assert integrity_key_size(number) == key_size
    assert integrity_icv_size(number) == icv_size
    assert icv(number, Secret(key), data) == whole[:icv_size]


@pytest.mark.parametrize("number", sorted(INTEGS))
def test_refuses_keys_of_another_size(number: Integ) -> None:
    size = SIZES[number][0]
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(ValueError, match="octets"):
            icv(number, Secret(bytes(wrong)), b"data")


def test_none_has_no_key_and_no_check_value() -> None:
    assert integrity_key_size(Integ.NONE) == integrity_icv_size(Integ.NONE) == 0
    with pytest.raises(LocalFault, match="NONE"):
        icv(Integ.NONE, Secret(b""), b"data")
