"""The MODP groups' primes and exponent sizes (RFC 2409 §6.2, RFC 3526).

Arithmetic with secrets is in the native module; what is here touches public values alone.
"""

from dataclasses import dataclass
from functools import cache

from isthmus.values.registry.ikev2 import KeMethod


@dataclass(frozen=True, slots=True)
class _Group:
    bits: int
    constant: int
    """The addend that makes the prime safe, as the RFC prints it."""
    private_size: int
    """Octets: twice the upper strength estimate of RFC 3526 §8, rounded up."""


_GROUPS = {
    KeMethod.MODP_1024: _Group(1024, 129093, 32),
    KeMethod.MODP_1536: _Group(1536, 741804, 32),
    KeMethod.MODP_2048: _Group(2048, 124476, 40),
    KeMethod.MODP_3072: _Group(3072, 1690314, 53),
    KeMethod.MODP_4096: _Group(4096, 240904, 60),
    KeMethod.MODP_6144: _Group(6144, 929484, 68),
    KeMethod.MODP_8192: _Group(8192, 4743158, 78),
}
METHODS = frozenset(_GROUPS)


def size(method: KeMethod) -> int:
    """Octets of public value and shared secret."""
    return _GROUPS[method].bits // 8


def private_size(method: KeMethod) -> int:
    """Octets of private exponent."""
    return _GROUPS[method].private_size


@cache
def prime(method: KeMethod) -> int:
    """2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c) (RFC 3526 §2 and on)."""
    group = _GROUPS[method]
    n = group.bits
    return (1 << n) - (1 << (n - 64)) - 1 + ((_pi(n - 130) + group.constant) << 64)


def _pi(bits: int) -> int:
    """floor(2^bits * pi) by Machin's formula, 16 arctan(1/5) - 4 arctan(1/239)."""
    guard = 64
    one = 1 << (bits + guard)
    return (16 * _arctan_inverse(5, one) - 4 * _arctan_inverse(239, one)) >> guard


def _arctan_inverse(x: int, one: int) -> int:
    total = term = one // x
    divisor = 1
    sign = -1
    while term:
        term //= x * x
        divisor += 2
        total += sign * (term // divisor)
        sign = -sign
    return total
