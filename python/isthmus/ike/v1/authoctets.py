"""What IKEv1's HASH payloads and signatures cover (RFC 2409 §5, §5.5, §5.7)."""

from isthmus.crypto.prf import prf
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi

_MESSAGE_ID_SIZE = 4


def hash_i(
    algorithm: Prf,
    skeyid: Secret,
    public_i: bytes,
    public_r: bytes,
    cookie_i: IkeSpi,
    cookie_r: IkeSpi,
    sa_body: bytes,
    id_body: bytes,
) -> bytes:
    """HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b) (RFC 2409 §5).

    `sa_body` is the SA payload as the initiator offered it and `id_body` the initiator's ID
    payload, both without their generic headers and as they stood on the wire.
    """
    octets = public_i + public_r + cookie_i + cookie_r + sa_body + id_body
    return prf(algorithm, skeyid, octets)


def hash_r(
    algorithm: Prf,
    skeyid: Secret,
    public_i: bytes,
    public_r: bytes,
    cookie_i: IkeSpi,
    cookie_r: IkeSpi,
    sa_body: bytes,
    id_body: bytes,
) -> bytes:
    """HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b) (RFC 2409 §5).

    `sa_body` is the initiator's offer here too; `id_body` is the responder's ID payload.
    """
    octets = public_r + public_i + cookie_r + cookie_i + sa_body + id_body
    return prf(algorithm, skeyid, octets)


def quick_hash_1(algorithm: Prf, skeyid_a: Secret, message_id: int, rest: bytes) -> bytes:
    """HASH(1) = prf(SKEYID_a, M-ID | rest) (RFC 2409 §5.5).

    `rest` is every payload behind the HASH, generic headers included and padding not.
    """
    return prf(algorithm, skeyid_a, _octets(message_id) + rest)


def quick_hash_2(
    algorithm: Prf, skeyid_a: Secret, message_id: int, nonce_i: bytes, rest: bytes
) -> bytes:
    """HASH(2) = prf(SKEYID_a, M-ID | Ni_b | rest) (RFC 2409 §5.5): the answer's."""
    return prf(algorithm, skeyid_a, _octets(message_id) + nonce_i + rest)


def quick_hash_3(
    algorithm: Prf, skeyid_a: Secret, message_id: int, nonce_i: bytes, nonce_r: bytes
) -> bytes:
    """HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b) (RFC 2409 §5.5): proof of being alive."""
    return prf(algorithm, skeyid_a, b"\x00" + _octets(message_id) + nonce_i + nonce_r)


informational_hash = quick_hash_1
"""An Informational's and a Transaction's HASH covers the same as HASH(1) (RFC 2409 §5.7)."""


def _octets(message_id: int) -> bytes:
    return message_id.to_bytes(_MESSAGE_ID_SIZE)
