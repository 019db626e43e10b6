"""agreement: every method, its sizes, its refusals, and one private value for one exchange."""

import secrets
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.crypto import agreement, modp
from isthmus.crypto.agreement import (
    METHODS,
    WEAK_METHODS,
    BadPublicValue,
    agree,
    check_public,
    generate,
    is_slow,
    public_size,
    public_value,
    shared_size,
)
from isthmus.crypto.entropy import SeededEntropy, SystemEntropy
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret

ECP = (KeMethod.ECP_256, KeMethod.ECP_384, KeMethod.ECP_521)
MONTGOMERY = (KeMethod.CURVE25519, KeMethod.CURVE448)
SIZES = {
    KeMethod.MODP_1024: (128, 128),
    KeMethod.MODP_1536: (192, 192),
    KeMethod.MODP_2048: (256, 256),
    KeMethod.MODP_3072: (384, 384),
    KeMethod.MODP_4096: (512, 512),
    KeMethod.MODP_6144: (768, 768),
    KeMethod.MODP_8192: (1024, 1024),
    KeMethod.ECP_256: (64, 32),
    KeMethod.ECP_384: (96, 48),
    KeMethod.ECP_521: (132, 66),
    KeMethod.CURVE25519: (32, 32),
    KeMethod.CURVE448: (56, 56),
}
# The curves y^2 = x^3 - 3x + b of FIPS 186-4 D.1.2, for an oracle in plain integers.
PRIME = {
    KeMethod.ECP_256: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    KeMethod.ECP_384: 2**384 - 2**128 - 2**96 + 2**32 - 1,
    KeMethod.ECP_521: 2**521 - 1,
}
Point = tuple[int, int]


def point_of(method: KeMethod, octets: bytes) -> Point:
    size = shared_size(method)
    return int.from_bytes(octets[:size], "big"), int.from_bytes(octets[size:], "big")


def octets_of(method: KeMethod, x: int, y: int) -> bytes:
    size = shared_size(method)
    return x.to_bytes(size, "big") + y.to_bytes(size, "big")


def add(p: int, one: Point | None, two: Point | None) -> Point | None:
    """Affine addition; None is the point at infinity."""
    if one is None or two is None:
        return one or two
    (x1, y1), (x2, y2) = one, two
    if x1 == x2 and (y1 + y2) % p == 0:
        return None
    if one == two:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, p) % p
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, p) % p
    x3 = (slope * slope - x1 - x2) % p
    return x3, (slope * (x1 - x3) - y1) % p


def multiply(p: int, scalar: int, point: Point) -> Point:
    total: Point | None = None
    addend: Point | None = point
    while scalar:
        if scalar & 1:
            total = add(p, total, addend)
        addend, scalar = add(p, addend, addend), scalar >> 1
    assert total is not None
    return total


class Scripted:
    """Entropy that gives prepared octets first, and then a seeded sequence."""

    def __init__(self, *script: bytes) -> None:
        self._script = list(script)
        self._rest = SeededEntropy(1)

    def octets(self, count: int) -> bytes:
        return self._script.pop(0) if self._script else self._rest.octets(count)


def test_every_method_of_the_product_is_there() -> None:
    assert set(SIZES) == METHODS
    assert {KeMethod.MODP_1024, KeMethod.MODP_1536} == WEAK_METHODS


@pytest.mark.parametrize("method", sorted(METHODS))
def test_sizes_are_those_of_the_rfcs(method: KeMethod) -> None:
    assert (public_size(method), shared_size(method)) == SIZES[method]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_both_sides_get_the_same_secret(method: KeMethod) -> None:
    entropy = SystemEntropy()
    (x, ours), (y, theirs) = generate(method, entropy), generate(method, entropy)
    assert len(ours) == len(theirs) == public_size(method)
    shared = agree(method, x, theirs)
    assert shared == agree(method, y, ours)
    assert len(shared) == shared_size(method)
    assert public_value(method, x) == ours


@pytest.mark.parametrize("method", sorted(METHODS))
def test_same_seed_same_exchange(method: KeMethod) -> None:
    assert generate(method, SeededEntropy(11)) == generate(method, SeededEntropy(11))
    assert generate(method, SeededEntropy(11)) != generate(method, SeededEntropy(12))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_ephemerals_are_all_distinct(method: KeMethod) -> None:
    """S-24. The native MODP groups are the slow ones, so they make fewer."""
    count = 20 if is_slow(method) else 1000
    entropy = SystemEntropy()
    pairs = [generate(method, entropy) for _ in range(count)]
    assert len({private.reveal() for private, _ in pairs}) == count
    assert len({public for _, public in pairs}) == count


@pytest.mark.slow
@pytest.mark.parametrize("method", [KeMethod.CURVE25519, KeMethod.ECP_256])
def test_a_hundred_thousand_ephemerals_are_all_distinct(method: KeMethod) -> None:
    """S-24 at the size that it asks for, where key generation is quick enough."""
    entropy = SystemEntropy()
    assert len({generate(method, entropy)[1] for _ in range(100_000)}) == 100_000


@pytest.mark.parametrize("method", sorted(METHODS))
def test_wrong_lengths_are_refused(method: KeMethod) -> None:
    private, public = generate(method, SeededEntropy(2))
    wrong = [b"", b"\0", public[:-1], public[1:], public + b"\0", b"\0" + public, public * 2]
    for peer in [*wrong, b"\x04" + public, b"\x02" + public[: len(public) // 2]]:
        with pytest.raises(BadPublicValue, match="octets and not"):
            agree(method, private, peer)
        with pytest.raises(BadPublicValue, match="octets and not"):
            check_public(method, peer)


@given(method=st.sampled_from([*ECP, *MONTGOMERY]), data=st.data())
def test_any_octets_give_a_secret_or_a_refusal(method: KeMethod, data: st.DataObject) -> None:
    size = public_size(method)
    peer = data.draw(st.one_of(st.binary(min_size=size, max_size=size), st.binary(max_size=140)))
    private, _ = generate(method, SeededEntropy(2))
    try:
        shared = agree(method, private, peer)
    except BadPublicValue as refusal:
        assert method.name in str(refusal)
    else:
        assert len(shared) == shared_size(method)


@pytest.mark.parametrize("method", ECP)
def test_ecp_agrees_with_plain_arithmetic(method: KeMethod) -> None:
    """RFC 5903 §7: the secret is the x coordinate alone."""
    prime = PRIME[method]
    x, _ = generate(method, SeededEntropy(4))
    _, theirs = generate(method, SeededEntropy(5))
    scalar = int.from_bytes(x.reveal(), "big")
    expected = multiply(prime, scalar, point_of(method, theirs))
    assert agree(method, x, theirs).reveal() == octets_of(method, *expected)[: shared_size(method)]


def pairs(method: KeMethod) -> Iterator[tuple[Secret, bytes]]:
    entropy = SeededEntropy(method)
    while True:
        yield generate(method, entropy)


def zeros(method: KeMethod) -> bytes:
    """What a coordinate with eight zero bits in front starts with; P-521 has seven anyway."""
    return bytes(2) if method is KeMethod.ECP_521 else bytes(1)


@pytest.mark.parametrize("method", ECP)
@pytest.mark.parametrize("coordinate", ["x", "y"])
def test_leading_zeros_of_ecp_public_values_are_kept(method: KeMethod, coordinate: str) -> None:
    start = 0 if coordinate == "x" else shared_size(method)
    private, public = next(
        pair for pair in pairs(method) if pair[1][start:].startswith(zeros(method))
    )
    assert len(public) == public_size(method)
    other, theirs = generate(method, SeededEntropy(6))
    assert agree(method, other, public) == agree(method, private, theirs)


@pytest.mark.parametrize("method", ECP)
def test_leading_zeros_of_ecp_shared_secrets_are_kept(method: KeMethod) -> None:
    _, peer = generate(method, SeededEntropy(7))
    for private, _ in pairs(method):
        shared = agree(method, private, peer).reveal()
        if shared.startswith(zeros(method)):
            break
    assert len(shared) == shared_size(method)
    scalar = int.from_bytes(private.reveal(), "big")
    x, _ = multiply(PRIME[method], scalar, point_of(method, peer))
    assert shared == x.to_bytes(shared_size(method), "big")


@pytest.mark.parametrize("method", MONTGOMERY)
def test_montgomery_secrets_keep_zero_octets_at_either_end(method: KeMethod) -> None:
    """Little-endian there: nothing is stripped at the front or at the back."""
    _, peer = generate(method, SeededEntropy(7))
    seen = set()
    for private, _ in pairs(method):
        shared = agree(method, private, peer).reveal()
        assert len(shared) == shared_size(method)
        seen |= {"front"} if shared[0] == 0 else set()
        seen |= {"back"} if shared[-1] == 0 else set()
        if seen == {"front", "back"}:
            break


@pytest.mark.parametrize("method", ECP)
def test_bad_ecp_points_are_refused(method: KeMethod) -> None:
    """S-23, RFC 6989 §2.3: off the curve, infinity, coordinates from p on."""
    private, public = generate(method, SeededEntropy(2))
    prime, size = PRIME[method], shared_size(method)
    (x, y), top = point_of(method, public), 2 ** (8 * size) - 1
    off = [(x, y ^ 1), (x ^ 1, y), (y, x), (0, 0), (0, 1), (1, 0), (x, 0), (0, y), (1, 1)]
    high = [(prime, y), (x, prime), (prime, prime), (prime + 1, y), (top, top), (top, y), (x, top)]
    # The same point with p added to a coordinate, where that fits into the octets.
    high += [(a, b) for a, b in ((x + prime, y), (x, y + prime)) if max(a, b) <= top]
    for point in off:
        with pytest.raises(BadPublicValue, match="not on the curve"):
            agree(method, private, octets_of(method, *point))
    for point in high:
        with pytest.raises(BadPublicValue, match="coordinate"):
            agree(method, private, octets_of(method, *point))


@pytest.mark.parametrize("method", ECP)
def test_points_of_the_twist_are_refused(method: KeMethod) -> None:
    """An x for which x^3 - 3x + b is no square: no y at all is right."""
    private, public = generate(method, SeededEntropy(2))
    prime = PRIME[method]
    x, y = point_of(method, public)
    b = (y * y - x**3 + 3 * x) % prime
    twisted = next(
        c for c in range(1, 200) if pow(c**3 - 3 * c + b, (prime - 1) // 2, prime) == prime - 1
    )
    for square in (twisted**3 - 3 * twisted + b, b - twisted**3 + 3 * twisted):
        root = pow(square, (prime + 1) // 4, prime)  # all three primes are 3 modulo 4
        with pytest.raises(BadPublicValue, match="not on the curve"):
            agree(method, private, octets_of(method, twisted, root))


@pytest.mark.parametrize("method", ECP)
def test_the_negated_point_is_a_point(method: KeMethod) -> None:
    private, public = generate(method, SeededEntropy(2))
    x, y = point_of(method, public)
    negated = octets_of(method, x, PRIME[method] - y)
    assert agree(method, private, negated) == agree(method, private, public)


LOW_ORDER_25519 = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    2**255 - 20,
    2**255 - 19,
    2**255 - 18,
]
P448 = 2**448 - 2**224 - 1
LOW_ORDER_448 = [0, 1, P448 - 1, P448, P448 + 1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_low_order_points_are_refused(seed: int) -> None:
    """S-23, RFC 7748 §6 and RFC 8031 §2: the result would be zero whatever our secret is."""
    entropy = SeededEntropy(seed)
    private, _ = generate(KeMethod.CURVE25519, entropy)
    for u in LOW_ORDER_25519:
        for high_bit in (0, 1 << 255):  # which X25519 ignores (RFC 7748 §5)
            with pytest.raises(BadPublicValue, match="low order"):
                agree(KeMethod.CURVE25519, private, (u | high_bit).to_bytes(32, "little"))
    private, _ = generate(KeMethod.CURVE448, entropy)
    for u in LOW_ORDER_448:
        with pytest.raises(BadPublicValue, match="low order"):
            agree(KeMethod.CURVE448, private, u.to_bytes(56, "little"))


def test_a_non_canonical_value_of_good_order_is_taken() -> None:
    """RFC 7748 §5: values from p on are taken modulo p."""
    private, _ = generate(KeMethod.CURVE25519, SeededEntropy(1))
    plain = agree(KeMethod.CURVE25519, private, (9).to_bytes(32, "little"))
    assert plain == agree(KeMethod.CURVE25519, private, (2**255 - 19 + 9).to_bytes(32, "little"))


@pytest.mark.parametrize("method", ECP)
def test_scalars_out_of_range_are_drawn_again(method: KeMethod) -> None:
    size = shared_size(method)
    spare = 7 if method is KeMethod.ECP_521 else 0
    ones = (2 ** (8 * size - spare) - 1).to_bytes(size, "big")
    good = (5).to_bytes(size, "big")
    private, public = generate(method, Scripted(bytes(size), ones, good))
    assert private == Secret(good)
    base = public_value(method, Secret((1).to_bytes(size, "big")))
    assert point_of(method, public) == multiply(PRIME[method], 5, point_of(method, base))


@pytest.mark.parametrize("method", ECP)
def test_private_values_that_are_no_scalars_are_our_own_fault(method: KeMethod) -> None:
    size = shared_size(method)
    for wrong in (b"", bytes(size), b"\xff" * size, bytes(size - 1) + b"", bytes(size) + b"\x05"):
        with pytest.raises(ValueError):
            public_value(method, Secret(wrong))


@pytest.mark.parametrize("method", [KeMethod.NONE, KeMethod.MODP_768])
def test_what_is_not_there_is_said_by_name(method: KeMethod) -> None:
    for use in (public_size, shared_size, lambda m: generate(m, SeededEntropy(1))):
        with pytest.raises(LocalFault, match=method.name):
            use(method)


def test_without_the_native_module_modp_is_a_local_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_native", None)
    for method in modp.METHODS:
        with pytest.raises(LocalFault, match="not built"):
            generate(method, SeededEntropy(1))


def test_a_refusal_does_not_show_the_private_value() -> None:
    private = Secret(secrets.token_bytes(32))
    with pytest.raises(BadPublicValue) as refusal:
        agree(KeMethod.CURVE25519, private, bytes(32))
    shown = str(refusal.value) + repr(refusal.value)
    assert private.reveal().hex() not in shown and repr(private.reveal()) not in shown
