"""Which signature goes with an authentication method, and what it covers (RFC 2409 §5.1, RFC 4754).

What is signed is HASH_I or HASH_R itself, as a digest: the octets are `authoctets`', and
`ike/auth` signs and judges them. The methods of XAUTH and of hybrid authentication sign as plain
RSA does.
"""

from isthmus.crypto.signature import ecdsa_to_raw
from isthmus.ike.core.proofs import Proof
from isthmus.values.errors import LocalFault, NotAuthenticated
from isthmus.values.registry.ikev1 import AuthenticationMethod
from isthmus.values.registry.ikev2 import Prf, label
from isthmus.values.signature import DigestScheme, KeyKind

_RSA = frozenset(
    {
        AuthenticationMethod.RSA_SIG,
        AuthenticationMethod.HYBRID_INITIATOR_RSA,
        AuthenticationMethod.HYBRID_RESPONDER_RSA,
        AuthenticationMethod.XAUTH_INITIATOR_RSA,
        AuthenticationMethod.XAUTH_RESPONDER_RSA,
    }
)
_CURVES = {
    AuthenticationMethod.ECDSA_256: (KeyKind.EC_P256, Prf.HMAC_SHA2_256),
    AuthenticationMethod.ECDSA_384: (KeyKind.EC_P384, Prf.HMAC_SHA2_384),
    AuthenticationMethod.ECDSA_521: (KeyKind.EC_P521, Prf.HMAC_SHA2_512),
}
"""The curve of a method, and the HMAC of the one hash that goes with it (RFC 4754 §4)."""
SIGNATURE_METHODS = frozenset({*_RSA, *_CURVES})


def method_of(kind: KeyKind) -> AuthenticationMethod:
    """The method of a key that signs. Raises NotAuthenticated (E136) for a kind without one."""
    if kind is KeyKind.RSA:
        return AuthenticationMethod.RSA_SIG
    for method, (curve, _) in _CURVES.items():
        if curve is kind:
            return method
    raise NotAuthenticated(
        f"IKEv1 has no signatures by {kind} keys, only RSA and ECDSA", notify=None, code="E136"
    )


def scheme_of(method: int) -> DigestScheme:
    """How a method signs. Raises LocalFault for one that does not."""
    return DigestScheme.ECDSA if _known(method) in _CURVES else DigestScheme.RSA_PKCS1


def fits(method: int, kind: KeyKind) -> bool:
    """A key of this kind can sign by this method."""
    known = _known(method)
    return kind is (_CURVES[known][0] if known in _CURVES else KeyKind.RSA)


def hash_prf(method: int, negotiated: Prf) -> Prf:
    """The PRF that HASH_I and HASH_R are made with.

    A signature that is tied to a hash has that hash's HMAC in place of the PRF that was agreed on,
    for these two alone (RFC 2409 §5); SKEYID stays their key.
    """
    return _CURVES[AuthenticationMethod(method)][1] if method in _CURVES else negotiated


def signature_octets(method: int, made: bytes) -> bytes:
    """What the SIG payload holds of a signature that a key made: ECDSA as r | s (RFC 4754 §7)."""
    known = _known(method)
    return ecdsa_to_raw(_CURVES[known][0], made) if known in _CURVES else made


def proof_of(method: int, octets: bytes) -> Proof:
    """A SIG payload's data as a worker judges it. Raises LocalFault for no signature method."""
    known = _known(method)
    curve = _CURVES[known][0] if known in _CURVES else None
    return Proof((scheme_of(known),), octets, curve)


def _known(method: int) -> AuthenticationMethod:
    if method not in SIGNATURE_METHODS:
        raise LocalFault(f"{label(AuthenticationMethod, method)} is no signature")
    return AuthenticationMethod(method)
