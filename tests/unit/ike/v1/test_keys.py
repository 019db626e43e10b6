"""keys and authoctets: which octets go into which function, told apart from the code under test.

The values themselves are held to published ones in tests/vectors.
"""

import hashlib
import hmac

import pytest

from isthmus.ike.v1 import authoctets, keys
from isthmus.values.errors import LocalFault
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Encr, Integ, KeMethod, Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi, Spi

COOKIE_I = IkeSpi(b"\x11" * 8)
COOKIE_R = IkeSpi(b"\x22" * 8)
NONCE_I, NONCE_R = b"initiator's nonce", b"responder's nonce"
KEY = Secret(bytes(range(20)))


def sha1(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha1).digest()


@pytest.mark.parametrize(
    ("encr", "bits", "size"),
    [(Encr.AES_CBC, 128, 16), (Encr.AES_CBC, 256, 32), (Encr.TRIPLE_DES, 0, 24)],
)
def test_the_ciphers_key_is_cut_or_stretched_to_what_it_takes(
    encr: Encr, bits: int, size: int
) -> None:
    suite = Suite(encr, bits, Integ.HMAC_SHA1_96, Prf.HMAC_SHA1, KeMethod.MODP_1024)
    found = keys.phase1_keys(suite, KEY, Secret(b"shared"), COOKIE_I, COOKIE_R)
    skeyid_e = found.skeyid_e.reveal()
    first = sha1(skeyid_e, b"\0")
    stretched = first + sha1(skeyid_e, first)
    assert found.cipher_key.reveal() == (skeyid_e[:16] if size == 16 else stretched[:size])


@pytest.mark.parametrize("shared", [None, Secret(b"a secret of its own")])
def test_one_direction_of_a_phase_2_has_keys_of_its_own(shared: Secret | None) -> None:
    suite = Suite(Encr.AES_CBC, 256, Integ.HMAC_SHA1_96)
    found = keys.quick_keys(suite, Prf.HMAC_SHA1, KEY, 3, Spi(0xC0FFEE00), NONCE_I, NONCE_R, shared)
    secret = b"" if shared is None else shared.reveal()
    seed = secret + b"\x03\xc0\xff\xee\x00" + NONCE_I + NONCE_R
    blocks = [sha1(KEY.reveal(), seed)]
    while len(blocks) < 3:
        blocks.append(sha1(KEY.reveal(), blocks[-1], seed))
    stream = b"".join(blocks)
    assert [part.reveal() for part in found] == [stream[:32], stream[32:52]]


def test_an_aead_takes_its_salt_from_keymat_and_no_integrity_key() -> None:
    suite = Suite(Encr.AES_GCM_16, 128)
    encryption, integrity = keys.quick_keys(
        suite, Prf.HMAC_SHA2_256, KEY, 3, Spi(256), NONCE_I, NONCE_R
    )
    assert (len(encryption), len(integrity)) == (20, 0)


def test_ivs_are_hashes_cut_to_a_block() -> None:
    first = keys.phase1_iv(Prf.HMAC_SHA2_256, b"g^xi", b"g^xr", 16)
    assert first == hashlib.sha256(b"g^xig^xr").digest()[:16]
    second = keys.phase2_iv(Prf.HMAC_MD5, b"lastblck", 0x01020304)
    assert second == hashlib.md5(b"lastblck\x01\x02\x03\x04").digest()[:8]


def test_a_prf_without_a_hash_gives_no_iv() -> None:
    with pytest.raises(LocalFault, match="names no hash"):
        keys.phase1_iv(Prf.AES128_XCBC, b"i", b"r", 16)


def test_the_two_sides_prove_the_same_offer_in_mirrored_order() -> None:
    arguments = (Prf.HMAC_SHA1, KEY, b"g^xi", b"g^xr", COOKIE_I, COOKIE_R, b"SAi", b"ID")
    key = KEY.reveal()
    assert authoctets.hash_i(*arguments) == sha1(
        key, b"g^xi", b"g^xr", COOKIE_I, COOKIE_R, b"SAi", b"ID"
    )
    assert authoctets.hash_r(*arguments) == sha1(
        key, b"g^xr", b"g^xi", COOKIE_R, COOKIE_I, b"SAi", b"ID"
    )


def test_each_message_of_a_quick_mode_has_a_hash_of_its_own() -> None:
    key, message_id = KEY.reveal(), 0x0A0B0C0D
    m_id = b"\x0a\x0b\x0c\x0d"
    assert authoctets.quick_hash_1(Prf.HMAC_SHA1, KEY, message_id, b"rest") == sha1(
        key, m_id, b"rest"
    )
    assert authoctets.quick_hash_2(Prf.HMAC_SHA1, KEY, message_id, NONCE_I, b"rest") == sha1(
        key, m_id, NONCE_I, b"rest"
    )
    assert authoctets.quick_hash_3(Prf.HMAC_SHA1, KEY, message_id, NONCE_I, NONCE_R) == sha1(
        key, b"\0", m_id, NONCE_I, NONCE_R
    )
    assert authoctets.informational_hash(Prf.HMAC_SHA1, KEY, message_id, b"rest") == sha1(
        key, m_id, b"rest"
    )
