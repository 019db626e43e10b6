"""OCSP: the names that requests go by, and the bounds of answers."""

import hashlib

import pytest

from isthmus.crypto.signature import PublicKey
from isthmus.x509.errors import BadOcsp
from isthmus.x509.ocsp import ANSWER_SIZE_MAX, CertId, OcspAnswer

from . import forge
from .scenes import INTER, inter, leaf, leaf_answer


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("serial", [0, 1, 0x7F, 0x80, -1, -0x80, -0x81, -0x8000])
def test_a_name_is_in_its_shortest_form_whatever_the_serial_number(serial: int) -> None:
    found = CertId.of(leaf(serial=serial).made(), inter().made())
    assert found.encode() == forge.cert_id(INTER, forge.key("P256", "inter"), serial)


def test_sha1_in_names_is_declared_not_to_be_for_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine in FIPS mode refuses otherwise (RFC 6960 needs SHA-1 for names alone)."""
    new = hashlib.new

    def strict(name: str, data: bytes = b"", *, usedforsecurity: bool = True) -> object:
        assert name != "sha1" or not usedforsecurity
        return new(name, data, usedforsecurity=usedforsecurity)

    monkeypatch.setattr(hashlib, "new", strict)
    assert CertId.of(leaf().made(), inter().made()).name_hash == hashlib.sha1(INTER).digest()


def test_an_answer_may_be_as_large_as_the_bound() -> None:
    def padded(octets: int) -> bytes:
        extension = ("1.3.6.1.4.1.55555.31", False, bytes(octets))
        signer = forge.key("ED25519", "inter")  # Its signatures are all of one size.
        return leaf_answer().but(signer=signer, extensions=(extension,)).der()

    near = ANSWER_SIZE_MAX - 1000
    room = near + ANSWER_SIZE_MAX - len(padded(near))
    assert len(padded(room)) == ANSWER_SIZE_MAX
    assert OcspAnswer.parse(padded(room)).singles
    with pytest.raises(BadOcsp) as caught:
        OcspAnswer.parse(padded(room + 1))
    assert caught.value.reason == f"the OCSP answer has {ANSWER_SIZE_MAX + 1} octets"


def test_sha1_is_refused_unless_it_is_allowed() -> None:
    answer = leaf_answer().but(size=1).made()
    public = PublicKey.from_spki(forge.spki(forge.key("P256", "inter")))
    with pytest.raises(BadOcsp):
        answer.check_signature(public)
    answer.check_signature(public, allow_sha1=True)
