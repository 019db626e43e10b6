"""Files of certificates and keys: whatever they hold, it is used or refused with a sentence."""

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import example, given
from hypothesis import strategies as st

from exchanges import pki
from isthmus.credentials.certificates import (
    CERTIFICATES_MAX,
    Unusable,
    make_own,
    read_certificates,
    read_lists,
    read_private_key,
    read_public_keys,
)
from isthmus.crypto.signature import MemoryKey
from isthmus.values.secret import Secret

ROOT = pki.issue("Root")
ISSUING = pki.issue("Issuing", ROOT, ca=True)
GATEWAY = pki.issue("gw", ISSUING)
PASSPHRASE = Secret(b"open sesame")


@given(st.binary(max_size=300), st.integers(0, 400))
@example(b"-----BEGIN CERTIFICATE-----" * 200, 0)
@example(b"-----BEGIN ", 0)
@example(b"-----BEGIN -----END -----", 0)
def test_whatever_a_file_holds_nothing_but_a_refusal_comes_out(octets: bytes, at: int) -> None:
    damaged = GATEWAY.pem[:at] + octets + GATEWAY.pem[at:]
    for text in (octets, damaged, GATEWAY.der[: at % len(GATEWAY.der)] + octets):
        for read in (
            read_certificates,
            read_lists,
            read_public_keys,
            lambda text: read_private_key(text, None),
        ):
            try:
                read(text)
            except Unusable as refusal:
                assert refusal.message and refusal.why and refusal.hint


def test_text_around_blocks_and_doubles_are_passed_over() -> None:
    text = b"Bag Attributes\r\n" + GATEWAY.pem + b"subject=x\n" + ROOT.pem + GATEWAY.pem
    assert read_certificates(text) == (GATEWAY.read, ROOT.read)
    assert read_certificates(ROOT.der) == (ROOT.read,)


def test_a_bundle_has_a_bound() -> None:
    with pytest.raises(Unusable, match=f"at most|{CERTIFICATES_MAX + 1} certificates"):
        read_certificates(ROOT.pem * (CERTIFICATES_MAX + 1))


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519", "ed448"])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_keys_of_every_kind_open(kind: str, encoding: Encoding) -> None:
    key = pki.private(kind)
    spki = MemoryKey(key).public
    plain = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    assert read_private_key(plain, None).key.public == spki
    locked = key.private_bytes(
        encoding, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.reveal())
    )
    assert read_private_key(locked, PASSPHRASE).key.public == spki
    for wrong in (None, Secret(b"another")):
        with pytest.raises(Unusable) as refusal:
            read_private_key(locked, wrong)
        assert "sesame" not in str(refusal.value) and "another" not in refusal.value.message


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_old_formats_open(kind: str) -> None:
    key = pki.private(kind)
    old = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert read_private_key(
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + old,
        None,
    ).key.public
    locked = key.private_bytes(
        Encoding.PEM,
        PrivateFormat.TraditionalOpenSSL,
        BestAvailableEncryption(PASSPHRASE.reveal()),
    )
    assert read_private_key(locked, PASSPHRASE).key.public == MemoryKey(key).public


def test_a_passphrase_that_nothing_needs_is_told() -> None:
    with pytest.raises(Unusable, match="not encrypted"):
        read_private_key(GATEWAY.key_pem, PASSPHRASE)


def test_the_chain_is_put_in_order_and_the_root_left_out() -> None:
    key = MemoryKey(GATEWAY.key)
    wanted = (GATEWAY.read, ISSUING.read)
    for given_ in (
        (ROOT.read, ISSUING.read, GATEWAY.read),
        (GATEWAY.read, ISSUING.read),
        (pki.issue("other", ROOT).read, GATEWAY.read, ISSUING.read, ROOT.read),
    ):
        assert make_own(key, given_).chain == wanted
    assert make_own(key, (GATEWAY.read,), (ISSUING.read, ROOT.read)).chain == wanted
    # A CA of the same name with another key did not issue it.
    stranger = pki.issue("Issuing", ROOT, pki.private("p256", 500), ca=True)
    assert make_own(key, (GATEWAY.read, stranger.read)).chain == (GATEWAY.read,)


def test_authorities_that_certify_each_other_make_no_endless_chain() -> None:
    one, two = pki.private("p256", 501), pki.private("p256", 502)
    first = pki.issue("One", key=one)
    second = pki.issue("Two", first, two, ca=True)
    first_by_second = pki.issue("One", second, one, ca=True)
    leaf = pki.issue("leaf", second, pki.private("p256", 503))
    own = make_own(MemoryKey(leaf.key), (leaf.read, second.read, first_by_second.read))
    assert own.chain == (leaf.read, second.read, first_by_second.read)
