"""The three signatures of RFC 4754 §8, as IKEv2 and as IKEv1 carry them."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from vectorfiles import files, load

from isthmus.crypto.signature import MemoryKey, PublicKey
from isthmus.ike.auth import signature
from isthmus.ike.v1 import signing
from isthmus.values.errors import NotAuthenticated
from isthmus.values.registry.ikev1 import AuthenticationMethod
from isthmus.values.registry.ikev2 import AuthMethod
from isthmus.wire.v2.authentication import Authentication

CURVES = {9: ec.SECP256R1(), 10: ec.SECP384R1(), 11: ec.SECP521R1()}
HASHES = {9: "sha256", 10: "sha384", 11: "sha512"}
(FILE,) = files("signature")


def parts(test: dict[str, Any]) -> tuple[Authentication, PublicKey, bytes]:
    """The AUTH payload, the signer's key, and the message."""
    found = Authentication(test["method"], bytes.fromhex(test["signature"]))
    x, y = int(test["x"], 16), int(test["y"], 16)
    key = ec.EllipticCurvePublicNumbers(x, y, CURVES[found.method]).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found, PublicKey.from_spki(spki), bytes.fromhex(test["message"])


@pytest.mark.parametrize("test", load(FILE)["tests"], ids=lambda test: test["id"])
def test_both_versions_take_the_signatures_of_rfc_4754(test: dict[str, Any]) -> None:
    auth, public, message = parts(test)
    digest = hashlib.new(HASHES[auth.method], message).digest()
    assert int.from_bytes(digest) == int(test["digest"], 16)
    signature.check(public, signature.read(auth), message, ())
    proof = signing.proof_of(auth.method, auth.data)
    signature.check(public, proof, digest, ())
    with pytest.raises(NotAuthenticated):
        signature.check(public, proof, digest[::-1], ())
    assert AuthMethod(auth.method).name == test["id"].replace("-", "_P")
    assert AuthenticationMethod(auth.method).name == test["id"].replace("-", "_")


@pytest.mark.parametrize("test", load(FILE)["tests"], ids=lambda test: test["id"])
def test_what_the_same_key_signs_here_holds_in_the_same_form(test: dict[str, Any]) -> None:
    auth, public, message = parts(test)
    private = ec.derive_private_key(int(test["private"], 16), CURVES[auth.method])
    key = MemoryKey(private)
    assert key.public == public
    digest = hashlib.new(HASHES[auth.method], message).digest()
    made = key.sign(signing.scheme_of(auth.method), digest)
    octets = signing.signature_octets(auth.method, made)
    assert len(octets) == len(auth.data)
    signature.check(public, signing.proof_of(auth.method, octets), digest, ())
    # The digest is what IKEv2's ECDSA makes itself, so the same signature serves there.
    signature.check(public, signature.read(Authentication(auth.method, octets)), message, ())
