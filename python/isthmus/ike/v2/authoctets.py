"""Which octets an AUTH payload covers (RFC 7296 §2.15)."""

from isthmus.crypto.prf import prf
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.secret import Secret


def signed_octets(
    algorithm: Prf, first_message: bytes, peer_nonce: bytes, sk_p: Secret, identity: Identity
) -> bytes:
    """RealMessage | Nonce of the other side | prf(SK_p, RestOfIDPayload).

    `first_message` is the signer's IKE_SA_INIT as it stood on the wire, from its first SPI on.
    """
    rest_of_id = bytes((int(identity.kind), 0, 0, 0)) + identity.octets
    return first_message + peer_nonce + prf(algorithm, sk_p, rest_of_id)
