"""The IKEv1 key schedule and its initialization vectors (RFC 2409 §5, §5.5, appendix B)."""

from dataclasses import dataclass

from isthmus.crypto.prf import digest, prf
from isthmus.crypto.suite import encryption_key_size, integrity_key_size
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi, Spi, spi_octets

_MESSAGE_ID_SIZE = 4


@dataclass(frozen=True, slots=True)
class Phase1Keys:
    """What a phase 1 holds (RFC 2409 §5): SKEYID and its three children, and the cipher's key."""

    skeyid: Secret
    skeyid_d: Secret
    """From it come the keys of phase 2."""
    skeyid_a: Secret
    """The key of phase 2's HASH payloads."""
    skeyid_e: Secret
    cipher_key: Secret
    """SKEYID_e cut or stretched to what the cipher takes (appendix B)."""


def skeyid_psk(algorithm: Prf, psk: Secret, nonce_i: bytes, nonce_r: bytes) -> Secret:
    """SKEYID = prf(pre-shared-key, Ni_b | Nr_b) (RFC 2409 §5)."""
    return Secret(prf(algorithm, psk, nonce_i + nonce_r))


def skeyid_signature(algorithm: Prf, nonce_i: bytes, nonce_r: bytes, shared: Secret) -> Secret:
    """SKEYID = prf(Ni_b | Nr_b, g^xy), where signatures authenticate (RFC 2409 §5)."""
    return Secret(prf(algorithm, nonce_i + nonce_r, shared.reveal()))


def phase1_keys(
    suite: Suite, skeyid: Secret, shared: Secret, cookie_i: IkeSpi, cookie_r: IkeSpi
) -> Phase1Keys:
    """SKEYID_d, SKEYID_a, SKEYID_e and the cipher's key (RFC 2409 §5, appendix B).

    Raises LocalFault or ValueError for a suite whose cipher has no keys of that size.
    """
    assert suite.prf is not None, "a phase 1 suite has a PRF"
    tail = shared.reveal() + cookie_i + cookie_r
    skeyid_d = Secret(prf(suite.prf, skeyid, tail + b"\x00"))
    skeyid_a = Secret(prf(suite.prf, skeyid, skeyid_d.reveal() + tail + b"\x01"))
    skeyid_e = Secret(prf(suite.prf, skeyid, skeyid_a.reveal() + tail + b"\x02"))
    size = encryption_key_size(suite.encr, suite.key_bits)
    return Phase1Keys(skeyid, skeyid_d, skeyid_a, skeyid_e, stretched(suite.prf, skeyid_e, size))


def stretched(algorithm: Prf, skeyid_e: Secret, size: int) -> Secret:
    """A cipher's key of `size` octets out of SKEYID_e (RFC 2409 appendix B).

    Its front where it is long enough; else K1 | K2 | ..., K1 = prf(SKEYID_e, 0),
    Kn = prf(SKEYID_e, Kn-1).
    """
    if size <= len(skeyid_e):
        return Secret(skeyid_e.reveal()[:size])
    return Secret(_chain(algorithm, skeyid_e, first=b"\x00", again=b"", size=size))


def keymat(algorithm: Prf, skeyid_d: Secret, seed: bytes, size: int) -> bytes:
    """K1 | K2 | ..., K1 = prf(SKEYID_d, seed), Kn = prf(SKEYID_d, Kn-1 | seed) (RFC 2409 §5.5)."""
    return _chain(algorithm, skeyid_d, first=seed, again=seed, size=size)


def quick_keys(
    suite: Suite,
    algorithm: Prf,
    skeyid_d: Secret,
    protocol: int,
    spi: Spi,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None = None,
) -> tuple[Secret, Secret]:
    """KEYMAT of one direction: encryption key (salt included) and integrity key (RFC 2409 §5.5).

    The direction is the one toward the side that chose `spi`. `protocol` is the DOI's number
    (RFC 2407 §4.4.1); `shared` is the secret of the quick mode's own exchange, with PFS.
    """
    encryption = encryption_key_size(suite.encr, suite.key_bits)
    integrity = integrity_key_size(suite.integ)
    seed = (shared.reveal() if shared is not None else b"") + bytes((protocol,))
    seed += spi_octets(spi) + nonce_i + nonce_r
    stream = keymat(algorithm, skeyid_d, seed, encryption + integrity)
    return Secret(stream[:encryption]), Secret(stream[encryption:])


def phase1_iv(algorithm: Prf, public_i: bytes, public_r: bytes, block: int) -> bytes:
    """The IV of phase 1's first encrypted message: hash(g^xi | g^xr) (RFC 2409 appendix B)."""
    return digest(algorithm, public_i + public_r)[:block]


def phase2_iv(algorithm: Prf, last_block: bytes, message_id: int) -> bytes:
    """The IV of the first message under another message ID (RFC 2409 appendix B).

    hash(last block of phase 1 | M-ID), as long as that block is.
    """
    octets = last_block + message_id.to_bytes(_MESSAGE_ID_SIZE)
    return digest(algorithm, octets)[: len(last_block)]


def _chain(algorithm: Prf, key: Secret, *, first: bytes, again: bytes, size: int) -> bytes:
    stream = bytearray()
    block = prf(algorithm, key, first)
    while len(stream) < size:
        stream += block
        block = prf(algorithm, key, block + again)
    return bytes(stream[:size])
