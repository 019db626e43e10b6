"""The IKEv2 key schedule (RFC 7296 §2.13, §2.14, §2.17, §2.18)."""

from dataclasses import dataclass

from isthmus.crypto.prf import prf, prf_key_size, prf_plus, prf_size
from isthmus.crypto.suite import encryption_key_size, integrity_key_size
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi

_FIXED_KEY_PRFS = frozenset({Prf.AES128_XCBC, Prf.AES128_CMAC})
_HALF_NONCE = 8
"""With a fixed-key PRF, SKEYSEED's key is the first 64 bits of each nonce (RFC 7296 §2.14)."""


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The seven keys of an IKE SA (RFC 7296 §2.14), each for one direction or purpose."""

    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """KEYMAT of a Child SA, cut up: i is the direction from the exchange's initiator."""

    encryption_i: Secret
    integrity_i: Secret
    encryption_r: Secret
    integrity_r: Secret


def skeyseed(algorithm: Prf, nonce_i: bytes, nonce_r: bytes, shared: Secret) -> Secret:
    """SKEYSEED = prf(Ni | Nr, g^ir) (RFC 7296 §2.14)."""
    if algorithm in _FIXED_KEY_PRFS:
        key = nonce_i[:_HALF_NONCE] + nonce_r[:_HALF_NONCE]
    else:
        key = nonce_i + nonce_r
    return Secret(prf(algorithm, key, shared.reveal()))


def rekey_skeyseed(
    old_algorithm: Prf, sk_d: Secret, shared: Secret, nonce_i: bytes, nonce_r: bytes
) -> Secret:
    """SKEYSEED of a rekeyed IKE SA, with the old SA's PRF (RFC 7296 §2.18)."""
    return Secret(prf(old_algorithm, sk_d, shared.reveal() + nonce_i + nonce_r))


def ike_key_stream(
    algorithm: Prf,
    seed: Secret,
    nonce_i: bytes,
    nonce_r: bytes,
    spi_i: bytes,
    spi_r: bytes,
    length: int,
) -> bytes:
    """prf+(SKEYSEED, Ni | Nr | SPIi | SPIr), `length` octets (RFC 7296 §2.14)."""
    return prf_plus(algorithm, seed, nonce_i + nonce_r + spi_i + spi_r, length)


def ike_keys(
    suite: Suite, seed: Secret, nonce_i: bytes, nonce_r: bytes, spi_i: IkeSpi, spi_r: IkeSpi
) -> IkeKeys:
    """Cut the key stream into SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr."""
    assert suite.prf is not None, "a phase 1 suite has a PRF"
    encryption = encryption_key_size(suite.encr, suite.key_bits)
    integrity = integrity_key_size(suite.integ)
    derived = prf_key_size(suite.prf)
    sizes = (derived, integrity, integrity, encryption, encryption, derived, derived)
    stream = ike_key_stream(suite.prf, seed, nonce_i, nonce_r, spi_i, spi_r, sum(sizes))
    return IkeKeys(*_cut(stream, sizes))


def child_keys(
    suite: Suite,
    algorithm: Prf,
    sk_d: Secret,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None = None,
) -> ChildKeys:
    """KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr) (RFC 7296 §2.17); the initiator's keys come first."""
    encryption = encryption_key_size(suite.encr, suite.key_bits)
    integrity = integrity_key_size(suite.integ)
    sizes = (encryption, integrity, encryption, integrity)
    seed = (shared.reveal() if shared is not None else b"") + nonce_i + nonce_r
    return ChildKeys(*_cut(prf_plus(algorithm, sk_d, seed, sum(sizes)), sizes))


def auth_mac_size(algorithm: Prf) -> int:
    """Octets of a shared-key AUTH value: the PRF's output (RFC 7296 §2.15)."""
    return prf_size(algorithm)


def _cut(stream: bytes, sizes: tuple[int, ...]) -> list[Secret]:
    parts: list[Secret] = []
    start = 0
    for size in sizes:
        parts.append(Secret(stream[start : start + size]))
        start += size
    return parts
