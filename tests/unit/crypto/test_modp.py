"""MODP groups against two oracles: the definition of their primes, and Python's own `pow`."""

from collections.abc import Iterator

import pytest

from isthmus._dataplane import modp_shared
from isthmus.crypto import modp
from isthmus.crypto.agreement import BadPublicValue, agree, check_public, generate, public_value
from isthmus.crypto.entropy import SeededEntropy
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret

METHODS = sorted(modp.METHODS)
BITS = {1: 768, 2: 1024, 5: 1536, 14: 2048, 15: 3072, 16: 4096, 17: 6144, 18: 8192}
STRENGTHS = {5: 120, 14: 160, 15: 210, 16: 240, 17: 270, 18: 310}
"""RFC 3526 §8, the higher estimate, in bits."""


def is_probable_prime(number: int) -> bool:
    """Miller-Rabin with fixed bases, enough for numbers that nobody chose against it."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def octets(method: KeMethod, number: int) -> bytes:
    return number.to_bytes(modp.size(method), "big")


@pytest.mark.parametrize("method", METHODS)
def test_primes_have_the_rfcs_form_and_size(method: KeMethod) -> None:
    """RFC 2409 §6.2, RFC 3526 §2 and on: 64 ones at both ends, the digits of pi between."""
    prime, bits = modp.prime(method), BITS[method]
    assert prime.bit_length() == bits == 8 * modp.size(method)
    assert prime >> (bits - 64) == prime & (2**64 - 1) == 2**64 - 1
    # RFC 3526 prints all its primes with these digits next.
    assert (prime >> (bits - 128)) & (2**64 - 1) == 0xC90FDAA22168C234


@pytest.mark.parametrize("method", [m for m in METHODS if BITS[m] <= 3072])
def test_primes_are_safe_primes(method: KeMethod) -> None:
    """A wrong digit anywhere would make p or (p - 1) / 2 composite."""
    prime = modp.prime(method)
    assert is_probable_prime(prime)
    assert is_probable_prime((prime - 1) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in METHODS if BITS[m] > 3072])
def test_large_primes_are_safe_primes(method: KeMethod) -> None:
    prime = modp.prime(method)
    assert is_probable_prime(prime)
    assert is_probable_prime((prime - 1) // 2)


@pytest.mark.parametrize("method", [m for m in METHODS if BITS[m] > 3072])
def test_two_generates_the_large_groups_subgroup(method: KeMethod) -> None:
    """2^((p - 1) / 2) = 1: a Fermat test to base 2 of p, cheaper than full primality."""
    prime = modp.prime(method)
    assert pow(2, (prime - 1) // 2, prime) == 1


@pytest.mark.parametrize("method", METHODS)
def test_exponents_are_twice_the_strength_of_the_group(method: KeMethod) -> None:
    assert 8 * modp.private_size(method) >= 2 * STRENGTHS.get(method, 80)


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_pow(method: KeMethod) -> None:
    entropy = SeededEntropy(method)
    prime = modp.prime(method)
    (x, ours), (y, theirs) = generate(method, entropy), generate(method, entropy)
    exponents = [int.from_bytes(secret.reveal(), "big") for secret in (x, y)]
    publics = [pow(2, e, prime) for e in exponents]
    assert [ours, theirs] == [octets(method, p) for p in publics]
    shared = octets(method, pow(publics[1], exponents[0], prime))
    assert agree(method, x, theirs).reveal() == shared
    assert agree(method, y, ours).reveal() == shared


@pytest.mark.parametrize("method", METHODS)
def test_private_values_have_their_top_bit_and_their_size(method: KeMethod) -> None:
    private, public = generate(method, SeededEntropy(3))
    assert len(private) == modp.private_size(method)
    assert private.reveal()[0] & 0x80
    assert len(public) == modp.size(method)


def powers(base: int, start: int, prime: int) -> Iterator[tuple[int, int]]:
    """(exponent, base^exponent) from `start` on, one multiplication each."""
    power = pow(base, start, prime)
    while True:
        yield start, power
        start, power = start + 1, power * base % prime


@pytest.mark.parametrize("method", METHODS)
def test_leading_zeros_of_public_values_are_kept(method: KeMethod) -> None:
    """RFC 7296 §3.4: as long as the prime. Exponents are searched until a value starts with 0."""
    prime, start = modp.prime(method), 1 << (8 * modp.private_size(method) - 1)
    small = prime >> 8
    exponent = next(e for e, power in powers(2, start, prime) if power < small)
    private = Secret(exponent.to_bytes(modp.private_size(method), "big"))
    public = public_value(method, private)
    assert public[0] == 0
    assert public == octets(method, pow(2, exponent, prime))


@pytest.mark.parametrize("method", METHODS)
def test_leading_zeros_of_shared_secrets_are_kept(method: KeMethod) -> None:
    """RFC 7296 §2.14: g^ir is padded with zeros to the length of the prime."""
    prime, start = modp.prime(method), 1 << (8 * modp.private_size(method) - 1)
    _, peer = generate(method, SeededEntropy(8))
    base, small = int.from_bytes(peer, "big"), prime >> 8
    exponent = next(e for e, power in powers(base, start, prime) if power < small)
    private = Secret(exponent.to_bytes(modp.private_size(method), "big"))
    shared = agree(method, private, peer).reveal()
    assert shared[0] == 0
    assert shared == octets(method, pow(base, exponent, prime))


@pytest.mark.parametrize("method", METHODS)
def test_a_peer_value_with_leading_zeros_is_taken(method: KeMethod) -> None:
    private, _ = generate(method, SeededEntropy(9))
    peer = octets(method, 2**40 + 1)
    exponent = int.from_bytes(private.reveal(), "big")
    expected = pow(2**40 + 1, exponent, modp.prime(method))
    assert agree(method, private, peer).reveal() == octets(method, expected)


@pytest.mark.parametrize("method", METHODS)
def test_bad_public_values_are_refused(method: KeMethod) -> None:
    """S-23, RFC 6989 §2.1: 1 < y < p - 1 and exactly as long as p."""
    private, prime, size = Secret(bytes(range(1, 41))), modp.prime(method), modp.size(method)
    top = 2 ** (8 * size) - 1
    bad = [octets(method, n) for n in (0, 1, prime - 1, prime, prime + 1, top)]
    good = octets(method, 2**40 + 1)
    bad += [b"", b"\x02", good[1:], b"\0" + good, good + b"\0", good[: size // 2], good * 2]
    for peer in bad:
        with pytest.raises(BadPublicValue):
            agree(method, private, peer)
        with pytest.raises(BadPublicValue):
            check_public(method, peer)


@pytest.mark.parametrize("method", METHODS)
def test_the_values_at_the_edge_are_taken(method: KeMethod) -> None:
    prime = modp.prime(method)
    private = Secret(bytes(range(1, 41)))
    exponent = int.from_bytes(private.reveal(), "big")
    for value in (2, prime - 2):
        shared = agree(method, private, octets(method, value)).reveal()
        assert shared == octets(method, pow(value, exponent, prime))


@pytest.mark.parametrize("method", METHODS)
def test_the_native_module_refuses_on_its_own(method: KeMethod) -> None:
    """Its checks do not lean on ours: whoever calls it directly is refused as well."""
    prime, private = modp.prime(method), bytes(range(1, 41))
    for value in (0, 1, prime - 1, prime, prime + 1):
        with pytest.raises(ValueError, match="between 1 and p - 1"):
            modp_shared(int(method), private, octets(method, value))
    for peer in (b"", octets(method, 4)[1:], b"\0" + octets(method, 4)):
        with pytest.raises(ValueError, match="as long as the modulus"):
            modp_shared(int(method), private, peer)
