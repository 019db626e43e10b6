"""Digital signatures, announced hashes and methods, key hashes and URLs: read, written, bounded."""

import pytest

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import AuthMethod, HashAlgorithm
from isthmus.values.signature import Scheme
from isthmus.wire.v2.authentication import (
    ALGORITHMS,
    HASH_OF,
    Announcement,
    DigitalSignature,
    decode_announcements,
    decode_hashes,
    encode_announcements,
    encode_hashes,
)
from isthmus.wire.v2.certificate import CertificateRequest, HashAndUrl

PUBLISHED = {
    Scheme.RSA_PKCS1_SHA1: "300d06092a864886f70d0101050500",
    Scheme.RSA_PKCS1_SHA256: "300d06092a864886f70d01010b0500",
    Scheme.RSA_PKCS1_SHA384: "300d06092a864886f70d01010c0500",
    Scheme.RSA_PKCS1_SHA512: "300d06092a864886f70d01010d0500",
    Scheme.ECDSA_SHA1: "300906072a8648ce3d0401",
    Scheme.ECDSA_SHA256: "300a06082a8648ce3d040302",
    Scheme.ECDSA_SHA384: "300a06082a8648ce3d040303",
    Scheme.ECDSA_SHA512: "300a06082a8648ce3d040304",
    Scheme.ED25519: "300506032b6570",
    Scheme.ED448: "300506032b6571",
}
"""RFC 7427 appendix A and RFC 8420 appendix A."""
PSS_SHA256 = bytes.fromhex(
    "304606092a864886f70d01010a3039a00f300d06096086480165030402010500"
    "a11c301a06092a864886f70d010108300d06096086480165030402010500a203"
    "020120a303020101"
)
"""RFC 7427 appendix A.4.3, trailer and all."""
PSS_SHA1 = bytes.fromhex("300d06092a864886f70d01010a3000")
"""A.4.1: default parameters, which mean SHA-1."""


@pytest.mark.parametrize("scheme", Scheme)
def test_a_signature_keeps_its_scheme_on_the_wire(scheme: Scheme) -> None:
    signed = DigitalSignature.of(scheme, b"octets")
    assert DigitalSignature.decode(signed.encode()) == signed
    assert signed.scheme is scheme
    assert scheme not in PUBLISHED or signed.algorithm.hex() == PUBLISHED[scheme]


def test_both_forms_of_pss_are_read_and_sha1_is_not() -> None:
    assert DigitalSignature(PSS_SHA256, b"").scheme is Scheme.RSA_PSS_SHA256
    assert PSS_SHA256[-5:].hex() == "a303020101"
    assert DigitalSignature(PSS_SHA1, b"").scheme is None
    other_salt = ALGORITHMS[Scheme.RSA_PSS_SHA256][:-1] + b"\x14"
    assert DigitalSignature(other_salt, b"").scheme is None


def test_a_signature_that_is_cut_off_is_malformed() -> None:
    whole = DigitalSignature.of(Scheme.ED25519, b"").encode()
    for size in range(len(whole)):
        with pytest.raises(Malformed):
            DigitalSignature.decode(whole[:size])
    assert DigitalSignature.decode(b"\x00rest") == DigitalSignature(b"", b"rest")


def test_hashes_are_a_row_of_numbers() -> None:
    assert decode_hashes(encode_hashes(HASH_OF.values())) == set(HashAlgorithm)
    assert decode_hashes(b"\x00\x02\xff\xff") == {2, 65535}
    for bad in (b"\x00", b"\x00\x02\x00", bytes(130)):
        with pytest.raises(Malformed):
            decode_hashes(bad)


def test_announced_methods_round_trip() -> None:
    """RFC 9593 §3.2: two octets, three, or more."""
    told = (
        Announcement(AuthMethod.SHARED_KEY),
        Announcement(AuthMethod.RSA_SIGNATURE, 0),
        Announcement(AuthMethod.DIGITAL_SIGNATURE, 2, ALGORITHMS[Scheme.ECDSA_SHA384]),
    )
    octets = encode_announcements(told)
    assert octets.hex() == "0202030100" + "0f0e02" + PUBLISHED[Scheme.ECDSA_SHA384]
    assert decode_announcements(octets) == told
    assert [a.scheme for a in told] == [None, None, Scheme.ECDSA_SHA384]
    for bad in (b"\x00", b"\x01\x02", b"\x02", b"\x05\x0e\x00\x30", b"\x02\x02" * 65):
        with pytest.raises(Malformed):
            decode_announcements(bad)


def test_a_request_names_keys_by_whole_hashes() -> None:
    one, two = bytes(range(20)), bytes(20)
    request = CertificateRequest.for_keys((one, two))
    assert (request.encoding, request.key_hashes()) == (4, (one, two))
    assert CertificateRequest(4, b"").key_hashes() == ()
    with pytest.raises(Malformed):
        CertificateRequest(4, bytes(21)).key_hashes()


def test_a_hash_and_url_is_printable_and_bounded() -> None:
    told = HashAndUrl(bytes(20), "http://ca.example.org/leaf.der")
    assert HashAndUrl.decode(told.encode()) == told
    for bad in (b"", bytes(19), bytes(20), bytes(21), bytes(20) + b"http://a b/", bytes(5000)):
        with pytest.raises(Malformed):
            HashAndUrl.decode(bad)
