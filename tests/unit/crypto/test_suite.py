"""suite: sizes of keys, and message ciphers made from chosen transforms."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.crypto.integrity import INTEGS, icv
from isthmus.crypto.suite import (
    ENCRS,
    MessageCipher,
    block_size,
    chained_cipher,
    encryption_key_size,
    icv_size,
    integrity_key_size,
    iv_size,
    key_lengths,
    message_cipher,
)
from isthmus.values.errors import IntegrityFailed, LocalFault
from isthmus.values.proposal import AEAD_ENCR, Suite
from isthmus.values.registry.ikev2 import Encr, Integ
from isthmus.values.secret import Secret

EMPTY = Secret(b"")
SUITES = [
    Suite(encr, bits, integ)
    for encr in sorted(ENCRS)
    for bits, integ in product(
        key_lengths(encr) or (0,), (Integ.NONE,) if encr in AEAD_ENCR else sorted(INTEGS)
    )
]


def keys(suite: Suite) -> tuple[Secret, Secret]:
    """Keys of the right sizes, every octet another."""
    encryption = encryption_key_size(suite.encr, suite.key_bits)
    integrity = integrity_key_size(suite.integ)
    return Secret(bytes(range(encryption))), Secret(bytes(range(100, 100 + integrity)))


def cipher_of(suite: Suite) -> MessageCipher:
    return message_cipher(suite, *keys(suite))


def plaintext_of(suite: Suite, blocks: int) -> bytes:
    return bytes(range(blocks)) * block_size(suite.encr)


@pytest.mark.parametrize(
    ("encr", "bits", "octets", "iv", "block"),
    [
        (Encr.AES_CBC, 128, 16, 16, 16),
        (Encr.AES_CBC, 256, 32, 16, 16),
        (Encr.AES_CTR, 128, 20, 8, 1),
        (Encr.AES_CTR, 256, 36, 8, 1),
        (Encr.AES_GCM_16, 128, 20, 8, 1),
        (Encr.AES_GCM_8, 192, 28, 8, 1),
        (Encr.AES_GCM_12, 256, 36, 8, 1),
        (Encr.AES_CCM_8, 128, 19, 8, 1),
        (Encr.AES_CCM_16, 256, 35, 8, 1),
        (Encr.CHACHA20_POLY1305, 0, 36, 8, 1),
        (Encr.CHACHA20_POLY1305, 256, 36, 8, 1),
        (Encr.TRIPLE_DES, 0, 24, 8, 8),
        (Encr.TRIPLE_DES, 192, 24, 8, 8),
    ],
)
def test_sizes_are_those_of_the_rfcs(
    encr: Encr, bits: int, octets: int, iv: int, block: int
) -> None:
    """RFC 2451 §2.2, 3602, 3686 §5.1, 4106 §8.1, 4309 §7.1, 5282 §7.1, 5930 §2, 7634 §2."""
    assert encryption_key_size(encr, bits) == octets
    assert iv_size(encr) == iv
    assert block_size(encr) == block


@pytest.mark.parametrize("encr", sorted(ENCRS))
@pytest.mark.parametrize("bits", [-128, 1, 64, 129, 512])
def test_other_key_lengths_are_refused(encr: Encr, bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        encryption_key_size(encr, bits)


def test_aes_needs_a_key_length() -> None:
    for encr in ENCRS - {Encr.CHACHA20_POLY1305, Encr.TRIPLE_DES}:
        with pytest.raises(ValueError, match="0 bits"):
            encryption_key_size(encr, 0)


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_opens_what_it_sealed(suite: Suite) -> None:
    cipher = cipher_of(suite)
    assert (cipher.iv_size, cipher.block_size) == (iv_size(suite.encr), block_size(suite.encr))
    assert cipher.icv_size == icv_size(suite)
    assert cipher.counter_iv is (suite.encr not in (Encr.AES_CBC, Encr.TRIPLE_DES))
    iv = bytes(range(cipher.iv_size))
    for blocks in (0, 1, 7):
        plaintext = plaintext_of(suite, blocks)
        sealed = cipher.seal(iv, b"aad", plaintext)
        assert len(sealed) == len(plaintext) + cipher.icv_size
        assert cipher.open(iv, b"aad", sealed) == plaintext


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_any_changed_octet_is_refused(suite: Suite) -> None:
    cipher = cipher_of(suite)
    iv, aad = bytes(range(cipher.iv_size)), b"header"
    whole = iv + aad + cipher.seal(iv, aad, plaintext_of(suite, 2))
    for at in range(len(whole)):
        damaged = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        cut = len(iv) + len(aad)
        with pytest.raises(IntegrityFailed):
            cipher.open(damaged[: len(iv)], damaged[len(iv) : cut], damaged[cut:])


@given(suite=st.sampled_from(SUITES), iv=st.binary(max_size=17), octets=st.binary(max_size=80))
def test_any_octets_are_refused_and_only_refused(suite: Suite, iv: bytes, octets: bytes) -> None:
    with pytest.raises(IntegrityFailed):
        cipher_of(suite).open(iv, b"", octets)


@pytest.mark.parametrize("integ", sorted(INTEGS))
def test_the_check_value_covers_header_iv_and_ciphertext(integ: Integ) -> None:
    """RFC 7296 §3.14: encrypt, then MAC."""
    suite = Suite(Encr.AES_CBC, 256, integ)
    cipher, (_, integrity) = cipher_of(suite), keys(suite)
    iv = b"i" * 16
    sealed = cipher.seal(iv, b"aad", bytes(32))
    ciphertext, check = sealed[: -cipher.icv_size], sealed[-cipher.icv_size :]
    assert check == icv(integ, integrity, b"aad" + iv + ciphertext)


@pytest.mark.parametrize(
    ("encr", "bits"), [(Encr.AES_CBC, 128), (Encr.AES_CTR, 128), (Encr.TRIPLE_DES, 0)]
)
def test_encryption_without_integrity_is_refused(encr: Encr, bits: int) -> None:
    """S-28."""
    suite = Suite(encr, bits, Integ.NONE)
    with pytest.raises(ValueError, match="without integrity"):
        message_cipher(suite, Secret(bytes(encryption_key_size(encr, bits))), EMPTY)


@pytest.mark.parametrize("encr", sorted(ENCRS - {Encr.AES_CBC, Encr.TRIPLE_DES}))
def test_only_cbc_stands_alone_and_only_for_phase_1_of_ikev1(encr: Encr) -> None:
    with pytest.raises(LocalFault, match="no cipher for phase 1 of IKEv1"):
        chained_cipher(encr, Secret(bytes(16)))


def test_an_aead_takes_no_second_integrity() -> None:
    key = Secret(bytes(20))
    for integ, integrity_key in ((Integ.HMAC_SHA1_96, bytes(20)), (Integ.NONE, bytes(20))):
        with pytest.raises(ValueError, match="alone"):
            message_cipher(Suite(Encr.AES_GCM_16, 128, integ), key, Secret(integrity_key))


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_keys_of_another_size_are_refused(suite: Suite) -> None:
    encryption, integrity = keys(suite)
    for wrong in (b"", encryption.reveal()[1:], encryption.reveal() + b"x"):
        with pytest.raises(ValueError, match="octets"):
            message_cipher(suite, Secret(wrong), integrity)
    if suite.integ:
        for wrong in (b"", integrity.reveal()[1:], integrity.reveal() + b"x"):
            with pytest.raises(ValueError, match="octets"):
                message_cipher(suite, encryption, Secret(wrong))


@pytest.mark.parametrize("suite", SUITES[::5], ids=str)
def test_wrong_iv_or_padding_is_our_own_fault_when_sealing(suite: Suite) -> None:
    cipher = cipher_of(suite)
    for size in {0, cipher.iv_size - 1, cipher.iv_size + 1}:
        with pytest.raises(ValueError, match="IV"):
            cipher.seal(bytes(size), b"", plaintext_of(suite, 1))


def test_cbc_plaintext_comes_padded() -> None:
    cipher = cipher_of(Suite(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128))
    with pytest.raises(ValueError, match="multiple of 16"):
        cipher.seal(bytes(16), b"", bytes(15))


@pytest.mark.parametrize("encr", [Encr.DES, Encr.NULL, Encr.NULL_AUTH_AES_GMAC, Encr.CAMELLIA_CBC])
def test_what_is_not_there_is_said_by_name(encr: Encr) -> None:
    for use in (iv_size, block_size, key_lengths):
        with pytest.raises(LocalFault, match=encr.name):
            use(encr)
    with pytest.raises(LocalFault, match=encr.name):
        message_cipher(Suite(encr, 0, Integ.HMAC_SHA1_96), Secret(bytes(24)), Secret(bytes(20)))


@pytest.mark.parametrize("suite", SUITES[::5], ids=str)
def test_a_cipher_does_not_show_its_keys(suite: Suite) -> None:
    shown = repr(cipher_of(suite))
    for key in keys(suite):
        assert not key or (repr(key.reveal()) not in shown and key.reveal().hex() not in shown)
