"""Pre-shared keys (RFC 7296 §2.15)."""

from isthmus.crypto.compare import same
from isthmus.crypto.prf import prf
from isthmus.values.errors import NotAuthenticated
from isthmus.values.registry.ikev2 import NotifyType, Prf
from isthmus.values.secret import Secret

KEY_PAD = b"Key Pad for IKEv2"


def prove(algorithm: Prf, psk: Secret, octets: bytes) -> bytes:
    """AUTH = prf(prf(Shared Secret, "Key Pad for IKEv2"), octets)."""
    return prf(algorithm, prf(algorithm, psk, KEY_PAD), octets)


def check(algorithm: Prf, psk: Secret, octets: bytes, claimed: bytes) -> None:
    """Returns when the proof holds, raises NotAuthenticated when it does not."""
    if not same(prove(algorithm, psk, octets), claimed):
        raise NotAuthenticated(
            "the peer's proof does not match our pre-shared key",
            notify=NotifyType.AUTHENTICATION_FAILED,
            code="E120",
        )
