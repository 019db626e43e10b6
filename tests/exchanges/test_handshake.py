"""IKE_SA_INIT and IKE_AUTH, two engines face to face."""

import pytest

from isthmus.values.secret import Secret

from .pair import LEFT, RIGHT, Keys, Pair, connection, rule


def test_first_packet_brings_both_phases_up() -> None:
    """Interesting traffic at the left: four messages, one pair of SAs on each side."""
    pair = Pair()
    pair.packet(pair.left)
    pair.settle()
    # HDR, SAi1, KEi, Ni -->  <-- HDR, SAr1, KEr, Nr
    # SK {IDi, AUTH, SA, TS} -->  <-- SK {IDr, AUTH, SA, TS}
    assert len(pair.wire) == 4
    assert pair.left.view().state == "up"
    assert pair.right.view().state == "up"
    assert pair.left.view().rules[0].state == "up"
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_many_packets_make_one_negotiation() -> None:
    pair = Pair()
    for _ in range(10):
        pair.packet(pair.left)
    pair.settle()
    for _ in range(10):
        pair.packet(pair.left)
    pair.settle()
    assert len(pair.wire) == 4


@pytest.mark.parametrize(
    "suite",
    [
        "aes256gcm16-prfsha384-ecp256",
        "aes128gcm8-prfsha256-ecp384",
        "aes256gcm12-prfaesxcbc-ecp521",
        "aes256-sha256-x448",
        "aes128-sha1-prfaescmac-x25519",
        "aes192-sha384-x25519",
        "aes256ctr-sha512-x25519",
        "aes128ccm16-prfsha512-x25519",
        "aes256ccm8-prfsha256-x25519",
        "chacha20poly1305-prfsha256-x25519",
    ],
)
def test_suites(suite: str) -> None:
    pair = Pair(
        connection("b", RIGHT, (rule(),), (suite,)),
        connection("a", LEFT, (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),), (suite,)),
    )
    pair.establish().agree()
    pair.rekey(pair.left)
    pair.settle()
    pair.rekey(pair.right, 1)
    pair.settle().agree()


def test_wrong_key_is_named_on_both_sides() -> None:
    pair = Pair(right_keys=Keys(Secret(b"another key that is long enough, too")))
    pair.packet(pair.left)
    pair.settle()
    assert pair.left.view().state == "failed"
    failure = pair.left.view().failure
    assert failure is not None and failure.code == "E120"
    other = pair.right.view().failure
    assert other is not None and other.code == "E120"
    pair.advance(31)
    assert not pair.left.sas and not pair.right.sas
