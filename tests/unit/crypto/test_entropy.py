"""entropy: the system's source and the seeded one."""

import hmac

import pytest

from isthmus.crypto.entropy import SeededEntropy, SystemEntropy


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 1000])
def test_gives_as_many_octets_as_asked(count: int) -> None:
    assert len(SystemEntropy().octets(count)) == count
    assert len(SeededEntropy(7).octets(count)) == count


def test_same_seed_same_sequence() -> None:
    one, two = SeededEntropy(42), SeededEntropy(42)
    assert [one.octets(n) for n in (3, 40, 16)] == [two.octets(n) for n in (3, 40, 16)]


@pytest.mark.parametrize("seed", [0, 1, -1, 255, 256, -256, 2**64, 2**300])
def test_seeds_are_told_apart(seed: int) -> None:
    near = [SeededEntropy(seed + step).octets(16) for step in (-1, 0, 1)]
    assert len(set(near)) == 3


def test_never_repeats_in_a_thousand_requests() -> None:
    for source in (SystemEntropy(), SeededEntropy(5)):
        assert len({source.octets(16) for _ in range(1000)}) == 1000


def test_is_hmac_drbg_of_sp_800_90a() -> None:
    """Against the algorithm of NIST SP 800-90A §10.1.2 written out straight."""
    key, value = bytes(32), b"\x01" * 32

    def mac(octets: bytes) -> bytes:
        return hmac.digest(key, octets, "sha256")

    seed = (9).to_bytes(1, "big")
    key = mac(value + b"\x00" + seed)
    value = mac(value)
    key = mac(value + b"\x01" + seed)
    value = mac(value)
    expected = b""
    for _ in range(2):
        value = mac(value)
        expected += value
    assert SeededEntropy(9).octets(64) == expected
