"""cipher: AES-CBC, 3DES-CBC and AES-CTR beneath an integrity algorithm."""

import pytest

from isthmus.crypto.cipher import CbcCipher, CtrCipher, TripleDesCipher

KEY = bytes(range(16))


def test_cbc_refuses_what_is_not_whole_blocks() -> None:
    cipher = CbcCipher(KEY)
    for size in (1, 15, 17):
        with pytest.raises(ValueError):
            cipher.encrypt(bytes(16), bytes(size))
        with pytest.raises(ValueError):
            cipher.decrypt(bytes(16), bytes(size))


def test_cbc_refuses_ivs_of_another_size() -> None:
    for size in (0, 8, 15, 17):
        with pytest.raises(ValueError):
            CbcCipher(KEY).encrypt(bytes(size), bytes(16))


def test_cbc_chains_blocks() -> None:
    """RFC 3602 §2: the IV of the second block is the first ciphertext block."""
    cipher, plaintext = CbcCipher(KEY), bytes(range(32))
    whole = cipher.encrypt(b"i" * 16, plaintext)
    first = cipher.encrypt(b"i" * 16, plaintext[:16])
    assert whole == first + cipher.encrypt(first, plaintext[16:])


def test_ctr_counts_from_one() -> None:
    """RFC 3686 §4: block n of the key stream is AES of nonce | IV | n."""
    nonce, iv = b"nonc", b"-the-iv-"
    stream = CtrCipher(KEY, nonce).encrypt(iv, bytes(40))
    ecb = CbcCipher(KEY)  # CBC of one block under a zero IV is ECB
    blocks = [ecb.encrypt(bytes(16), nonce + iv + n.to_bytes(4, "big")) for n in (1, 2, 3)]
    assert stream == b"".join(blocks)[:40]


def test_ctr_refuses_nonces_and_ivs_of_another_size() -> None:
    for size in (0, 3, 5):
        with pytest.raises(ValueError, match="nonce"):
            CtrCipher(KEY, bytes(size))
    for size in (0, 7, 9, 16):
        with pytest.raises(ValueError, match="IV"):
            CtrCipher(KEY, bytes(4)).encrypt(bytes(size), b"data")


@pytest.mark.parametrize("size", [0, 8, 15, 17, 33])
def test_refuse_keys_that_aes_does_not_have(size: int) -> None:
    with pytest.raises(ValueError):
        CbcCipher(bytes(size))
    with pytest.raises(ValueError):
        CtrCipher(bytes(size), bytes(4))


def test_3des_has_blocks_of_eight_octets_and_keys_of_twenty_four() -> None:
    cipher, plaintext = TripleDesCipher(bytes(range(24))), bytes(range(16))
    assert (cipher.iv_size, cipher.block_size) == (8, 8)
    whole = cipher.encrypt(b"i" * 8, plaintext)
    first = cipher.encrypt(b"i" * 8, plaintext[:8])
    assert whole == first + cipher.encrypt(first, plaintext[8:])
    assert cipher.decrypt(b"i" * 8, whole) == plaintext
    for iv, size in ((7, 8), (16, 8), (8, 7), (8, 9)):
        with pytest.raises(ValueError):
            cipher.encrypt(bytes(iv), bytes(size))
    # The library would take two keys, and one, and repeat them: then it is no 3DES any more.
    for size in (0, 8, 16, 23, 25, 32):
        with pytest.raises(ValueError, match="24 octets"):
            TripleDesCipher(bytes(size))
