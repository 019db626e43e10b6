"""signing: IKEv1's methods, from our key's signature to the judgement of the peer's workers."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from isthmus.credentials.store import Trust
from isthmus.crypto.signature import MemoryKey
from isthmus.ike.auth import judging
from isthmus.ike.core.effects import JudgePeer, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Judged, PeerTerms, Proof
from isthmus.ike.v1 import signing
from isthmus.policy.authentication import AuthKind, RemoteAuth
from isthmus.values.errors import LocalFault, NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev1 import AuthenticationMethod
from isthmus.values.registry.ikev2 import Prf
from isthmus.values.signature import DigestScheme, KeyKind, Scheme
from isthmus.x509.revocation import Statuses

PEER = Identity.parse("fqdn:peer.example.org")
RSA = MemoryKey(rsa.generate_private_key(65_537, 2048))
CASES = [
    (AuthenticationMethod.RSA_SIG, RSA, "sha1", 256),
    (AuthenticationMethod.RSA_SIG, RSA, "sha256", 256),
    (AuthenticationMethod.XAUTH_RESPONDER_RSA, RSA, "md5", 256),
    (AuthenticationMethod.HYBRID_INITIATOR_RSA, RSA, "sha512", 256),
    (
        AuthenticationMethod.ECDSA_256,
        MemoryKey(ec.generate_private_key(ec.SECP256R1())),
        "sha256",
        64,
    ),
    (
        AuthenticationMethod.ECDSA_384,
        MemoryKey(ec.generate_private_key(ec.SECP384R1())),
        "sha384",
        96,
    ),
    (
        AuthenticationMethod.ECDSA_521,
        MemoryKey(ec.generate_private_key(ec.SECP521R1())),
        "sha512",
        132,
    ),
]
P256 = CASES[4][1]


def terms(*keys: MemoryKey, named: tuple[Scheme, ...] = ()) -> tuple[PeerTerms, ...]:
    auth = RemoteAuth(AuthKind.PUBKEY, "trust", named)
    return (PeerTerms("office", auth, Trust(raw=tuple(key.public for key in keys))),)


def judged(proof: Proof, digest: bytes, asked: tuple[PeerTerms, ...]) -> ComputeFinished:
    return judging.answer(2, JudgePeer(PEER, proof, (), digest, asked, Statuses()), 0)


@pytest.mark.parametrize(("method", "key", "name", "size"), CASES)
def test_a_hash_is_signed_and_judged_by_the_jobs_of_ikev2(
    method: AuthenticationMethod, key: MemoryKey, name: str, size: int
) -> None:
    digest = hashlib.new(name, b"what HASH_I covers").digest()
    done = judging.answer(1, Sign(key, signing.scheme_of(method), digest), 0)
    match done.result:
        case (bytes() as made,):
            octets = signing.signature_octets(method, made)
        case _:
            raise AssertionError(done)
    assert len(octets) == size
    held = judged(signing.proof_of(method, octets), digest, terms(key))
    assert held.result == (Judged("office", signing.scheme_of(method), str(key.public)),)
    other = hashlib.new(name, b"what somebody else has seen").digest()
    assert judged(signing.proof_of(method, octets), other, terms(key)).code == "E134"
    for bad in (b"", octets[:-1], octets + b"\0", bytes(size)):
        assert judged(signing.proof_of(method, bad), digest, terms(key)).code == "E134"


def test_a_key_that_is_not_known_is_not_trusted() -> None:
    digest, method = bytes(32), AuthenticationMethod.ECDSA_256
    octets = signing.signature_octets(method, P256.sign(DigestScheme.ECDSA, digest))
    stranger = MemoryKey(ec.generate_private_key(ec.SECP256R1()))
    assert judged(signing.proof_of(method, octets), digest, terms(stranger)).code == "E134"
    assert judged(signing.proof_of(method, octets), digest, terms()).code == "E138"


def test_the_curve_of_the_method_must_be_the_keys() -> None:
    digest = bytes(32)
    octets = signing.signature_octets(
        AuthenticationMethod.ECDSA_256, P256.sign(DigestScheme.ECDSA, digest)
    )
    for method in (AuthenticationMethod.ECDSA_384, AuthenticationMethod.RSA_SIG):
        assert judged(signing.proof_of(method, octets), digest, terms(P256)).code == "E134"
    proof = signing.proof_of(AuthenticationMethod.ECDSA_256, octets)
    assert judged(proof, digest, terms(RSA)).code == "E134"


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ((Scheme.RSA_PKCS1_SHA384,), ""),
        ((Scheme.ECDSA_SHA256, Scheme.RSA_PSS_SHA256), ""),
        ((Scheme.ECDSA_SHA256,), "E135"),
        ((Scheme.ED25519,), "E135"),
    ],
)
def test_named_schemes_tell_which_kinds_of_keys_are_taken(
    named: tuple[Scheme, ...], code: str
) -> None:
    digest, method = bytes(20), AuthenticationMethod.RSA_SIG
    proof = signing.proof_of(method, RSA.sign(DigestScheme.RSA_PKCS1, digest))
    assert judged(proof, digest, terms(RSA, named=named)).code == code


def test_a_key_tells_its_method() -> None:
    for method, key, _, _ in CASES:
        assert signing.fits(method, key.public.kind)
        assert signing.scheme_of(signing.method_of(key.public.kind)) is signing.scheme_of(method)
    assert not signing.fits(AuthenticationMethod.ECDSA_384, KeyKind.EC_P256)
    assert not signing.fits(AuthenticationMethod.RSA_SIG, KeyKind.EC_P256)
    edwards = MemoryKey(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(NotAuthenticated, match="only RSA and ECDSA"):
        signing.method_of(edwards.public.kind)


@pytest.mark.parametrize(
    "method", [AuthenticationMethod.PSK, AuthenticationMethod.RSA_ENC, AuthenticationMethod.DSS, 77]
)
def test_other_methods_sign_nothing(method: int) -> None:
    for use in (signing.scheme_of, lambda number: signing.proof_of(number, b"")):
        with pytest.raises(LocalFault, match="no signature"):
            use(method)


def test_a_curve_brings_its_own_hash_for_what_is_signed() -> None:
    """RFC 2409 §5, RFC 4754 §4: and for nothing else."""
    agreed = Prf.HMAC_SHA1
    assert signing.hash_prf(AuthenticationMethod.RSA_SIG, agreed) is agreed
    assert signing.hash_prf(AuthenticationMethod.PSK, agreed) is agreed
    assert signing.hash_prf(AuthenticationMethod.ECDSA_256, agreed) is Prf.HMAC_SHA2_256
    assert signing.hash_prf(AuthenticationMethod.ECDSA_384, agreed) is Prf.HMAC_SHA2_384
    assert signing.hash_prf(AuthenticationMethod.ECDSA_521, agreed) is Prf.HMAC_SHA2_512
