"""docs/one-handshake.md shows what the engines really say, and RFC 7296 alone explains it.

The second half uses no code of ours but the octets on the page: HMAC from the standard library,
X25519 and AES-GCM from `cryptography`.
"""

import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isthmus.ike.core.effects import Agree, Compute, InstallSa, SendDatagram

from .one_handshake import FENCE, MESSAGES, PAGE, blocks, handshake, octets_of, run

TEXT = PAGE.read_text()
SHOWN = dict(FENCE.findall(TEXT))
SEALED = ("auth-request", "auth-response")


def prf(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha384")


def prf_plus(key: bytes, seed: bytes, count: int) -> bytes:
    stream, last, number = b"", b"", 1
    while len(stream) < count:
        last = prf(key, last + seed + bytes((number,)))
        stream += last
        number += 1
    return stream[:count]


def shown_keys() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    name = ""
    for line in SHOWN["keys"].splitlines():
        name = line[:26].strip() or name
        found[name] = found.get(name, b"") + bytes.fromhex(line[26:])
    return found


@pytest.mark.parametrize("name", list(blocks()))
def test_the_page_shows_what_the_engines_say(name: str) -> None:
    assert SHOWN[name] == blocks()[name]


def test_the_page_has_no_other_octets() -> None:
    assert set(SHOWN) == set(blocks())


@pytest.mark.parametrize("name", MESSAGES)
def test_the_lines_of_a_message_are_its_octets(name: str) -> None:
    assert octets_of(SHOWN[name]) == handshake().wire[MESSAGES.index(name)]


def test_keys_follow_from_the_octets_alone() -> None:
    """RFC 7296 §2.14, §2.17."""
    request, response = (octets_of(SHOWN[name]) for name in MESSAGES[:2])
    private = next(
        effect.job.private
        for effect in run().left.effects
        if isinstance(effect, Compute) and isinstance(effect.job, Agree)
    )
    mine = X25519PrivateKey.from_private_bytes(private.reveal())
    shared = mine.exchange(X25519PublicKey.from_public_bytes(response[76:108]))
    nonces = request[112:144] + response[112:144]
    seed = prf(nonces, shared)
    stream = prf_plus(seed, nonces + response[:16], 48 + 2 * 36 + 2 * 48)
    keymat = prf_plus(stream[:48], nonces, 72)
    assert shown_keys() == {
        "pre-shared key": b"a pre-shared key for tests, 32+ octets",
        "g^ir": shared,
        "SKEYSEED": seed,
        "SK_d": stream[:48],
        "SK_ei, then salt": stream[48:84],
        "SK_er, then salt": stream[84:120],
        "SK_pi": stream[120:168],
        "SK_pr": stream[168:216],
        "ESP key i to r, then salt": keymat[:36],
        "ESP key r to i, then salt": keymat[36:],
    }


@pytest.mark.parametrize(("name", "key"), [(SEALED[0], "SK_ei"), (SEALED[1], "SK_er")])
def test_the_inside_is_what_the_ciphertext_holds(name: str, key: str) -> None:
    """RFC 5282: salt and IV are the nonce, header and SK header the associated data."""
    octets = octets_of(SHOWN[name])
    secret = shown_keys()[f"{key}, then salt"]
    plain = AESGCM(secret[:32]).decrypt(secret[32:] + octets[32:40], octets[40:], octets[:32])
    assert plain == octets_of(SHOWN[f"{name}-inside"])


@pytest.mark.parametrize("first", [0, 1], ids=["initiator", "responder"])
def test_the_proofs_cover_first_message_nonce_and_identity(first: int) -> None:
    """RFC 7296 §2.15."""
    keys = shown_keys()
    messages = [octets_of(SHOWN[name]) for name in MESSAGES[:2]]
    inside = octets_of(SHOWN[f"{SEALED[first]}-inside"])
    body_of_id, proof = inside[4:12], (inside[40:88], inside[20:68])[first]
    covered = messages[first] + messages[1 - first][112:144]
    covered += prf(keys[("SK_pi", "SK_pr")[first]], body_of_id)
    padded = prf(keys["pre-shared key"], b"Key Pad for IKEv2")
    assert proof == prf(padded, covered)


def test_the_inbound_sa_stands_before_the_answer_leaves() -> None:
    pair = run()
    effects = pair.right.effects
    kinds = [e for e in effects if isinstance(e, InstallSa | SendDatagram)]
    assert [type(e) for e in kinds] == [SendDatagram, InstallSa, InstallSa, SendDatagram]
    assert isinstance(kinds[1], InstallSa) and kinds[1].inbound
    assert isinstance(kinds[3], SendDatagram) and kinds[3].octets == pair.wire[3].octets
