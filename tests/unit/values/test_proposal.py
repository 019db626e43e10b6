"""Proposals: how they are written, completed, shown and turned into suites."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.values.proposal import (
    AEAD_ENCR,
    WEAK_WORDS,
    Proposal,
    Suite,
    Transform,
    UnknownKeyword,
    keywords,
    parse_proposal,
    proposals_text,
    suite_from,
)
from isthmus.values.registry.ikev2 import (
    Encr,
    Esn,
    Integ,
    KeMethod,
    Prf,
    SecurityProtocol,
    TransformType,
)

IKE, ESP = SecurityProtocol.IKE, SecurityProtocol.ESP
ENCR, PRF, INTEG, KE, ESN = TransformType


@pytest.mark.parametrize(
    ("text", "transforms"),
    [
        ("aes256gcm16-prfsha384-ecp256", ((1, 20, 256), (2, 6, None), (4, 19, None))),
        ("aes256gcm16-sha384-ecp256", ((1, 20, 256), (2, 6, None), (4, 19, None))),
        (
            "aes256-sha256-modp2048",
            ((1, 12, 256), (3, 12, None), (2, 5, None), (4, 14, None)),
        ),
        (
            "aes128-sha256-prfsha512-x25519-modp3072",
            ((1, 12, 128), (3, 12, None), (2, 7, None), (4, 31, None), (4, 15, None)),
        ),
        (
            " AES128GCM-PRFSHA256-curve25519 ",
            ((1, 20, 128), (2, 5, None), (4, 31, None)),
        ),
        (
            "chacha20poly1305-prfaesxcbc-x448",
            ((1, 28, None), (2, 4, None), (4, 32, None)),
        ),
        (
            "aes256-aes128-sha512-sha256-ecp384",
            (
                (1, 12, 256), (1, 12, 128), (3, 14, None), (3, 12, None), (2, 7, None),
                (2, 5, None), (4, 20, None),
            ),
        ),
    ],
)  # fmt: skip
def test_a_phase_1_proposal_is_read(
    text: str, transforms: tuple[tuple[int, int, int | None], ...]
) -> None:
    wanted = tuple(Transform(*transform) for transform in transforms)
    assert parse_proposal(text, IKE) == Proposal(IKE, wanted)


def test_a_phase_2_proposal_offers_esn_first_unless_it_says() -> None:
    """RFC 4303 §2.2.1: extended sequence numbers are the better choice where both can."""
    esn, noesn = Transform(ESN, Esn.ESN), Transform(ESN, Esn.NO_ESN)
    assert parse_proposal("aes128gcm16", ESP).of_kind(ESN) == (esn, noesn)
    assert parse_proposal("aes128gcm16-noesn", ESP).of_kind(ESN) == (noesn,)
    assert parse_proposal("aes128-sha256-esn", ESP).of_kind(ESN) == (esn,)
    assert parse_proposal("aes128-sha256-x25519", ESP).of_kind(KE) == (
        Transform(KE, KeMethod.CURVE25519),
    )


@pytest.mark.parametrize(
    ("text", "protocol", "reason"),
    [
        ("aes256-sha256", IKE, "names no key exchange"),
        ("sha256-modp2048", IKE, "names no cipher"),
        ("aes256-modp2048", IKE, "without integrity"),
        ("aes256-prfsha256-modp2048", IKE, "without integrity"),
        ("aes256gcm16-x25519", IKE, "names no PRF"),
        ("aes256gcm16-sha256-prfsha256-x25519", IKE, "integrity beside an AEAD"),
        ("aes256gcm16-aes256-sha256-x25519", IKE, "mixes AEAD and classic"),
        ("aes256-sha256-x25519-esn", IKE, "names esn"),
        ("aes256", ESP, "without integrity"),
        ("aes256gcm16-sha256", ESP, "integrity beside an AEAD"),
        ("aes256-sha256-prfsha256", ESP, "names a PRF"),
        ("", ESP, "names no algorithm"),
        ("aes256--sha256", ESP, "names no algorithm"),
        ("aes512-sha256", ESP, "'aes512' names no algorithm"),
        ("null-sha256", ESP, "'null' names no algorithm"),
    ],
)
def test_a_proposal_that_cannot_be_is_refused(
    text: str, protocol: SecurityProtocol, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_proposal(text, protocol)


def test_an_unknown_keyword_is_told() -> None:
    with pytest.raises(UnknownKeyword) as caught:
        parse_proposal("aes256-SHA255-x25519", IKE)
    assert caught.value.word == "sha255"


classic = st.sampled_from(["aes128", "aes192", "aes256", "aes128ctr", "aes256ctr", "3des"])
aead = st.sampled_from([w for w in sorted(keywords()) if "gcm" in w or "ccm" in w or "poly" in w])
integ = st.sampled_from(["sha1", "sha256", "sha384", "sha512", "aesxcbc", "aescmac", "md5"])
prf = st.sampled_from([w for w in sorted(keywords()) if w.startswith("prf")])
ke = st.sampled_from([w for w in sorted(keywords()) if w[:4] in ("modp", "ecp2", "ecp3", "x255")])
words = st.one_of(
    st.tuples(aead, prf, ke), st.tuples(classic, integ, prf, ke), st.tuples(classic, integ, ke)
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(words)
def test_what_is_shown_is_read_again(parts: tuple[str, ...]) -> None:
    """Every keyword, alone of its kind: shown and read again it is the same, and makes a suite."""
    proposal = parse_proposal("-".join(parts), IKE)
    assert parse_proposal(str(proposal), IKE) == proposal
    suite = suite_from(proposal)
    assert suite.is_aead is (suite.integ is Integ.NONE)
    assert parse_proposal(str(suite), IKE) == proposal


def test_every_keyword_names_something() -> None:
    for word in keywords():
        with pytest.raises(ValueError, match="proposal") as caught:
            parse_proposal(f"{word}-esn-prfsha256", ESP)
        assert not isinstance(caught.value, UnknownKeyword), word
    assert keywords() >= WEAK_WORDS


def test_a_suite_is_made_of_one_transform_of_each_kind() -> None:
    chosen = parse_proposal("aes256-sha256-x25519", IKE)
    assert suite_from(chosen) == Suite(
        Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128, Prf.HMAC_SHA2_256, KeMethod.CURVE25519
    )
    child = parse_proposal("aes128gcm16-esn", ESP)
    assert suite_from(child) == Suite(Encr.AES_GCM_16, 128, esn=True)
    assert str(suite_from(child)) == "aes128gcm16-esn"


@pytest.mark.parametrize(
    "proposal",
    [
        parse_proposal("aes256-aes128-sha256-x25519", IKE),
        Proposal(IKE, (Transform(ENCR, 999),)),
        Proposal(IKE, (Transform(ENCR, 12, 128), Transform(INTEG, 999))),
        Proposal(IKE, (Transform(ENCR, 12, 128), Transform(PRF, 999))),
        Proposal(IKE, (Transform(ENCR, 12, 128), Transform(KE, 999))),
    ],
)
def test_no_suite_is_made_of_choices_or_unknown_numbers(proposal: Proposal) -> None:
    with pytest.raises(ValueError, match=r"two transforms|not a valid"):
        suite_from(proposal)


def test_proposals_can_be_cut_and_put_under_an_spi() -> None:
    child = parse_proposal("aes128gcm16-x25519-noesn", ESP)
    assert child.without_kind(KE) == parse_proposal("aes128gcm16-noesn", ESP)
    assert child.kinds() == {ENCR, KE, ESN}
    moved = child.with_spi(b"\1\2\3\4", 7)
    assert (moved.spi, moved.number, moved.transforms) == (b"\1\2\3\4", 7, child.transforms)


def test_unknown_transforms_are_shown_by_number() -> None:
    odd = Proposal(IKE, (Transform(ENCR, 12, 40), Transform(PRF, 99), Transform(241, 7)))
    assert proposals_text((odd, odd)) == ", ".join(["encr:12/40-prf:99-241:7"] * 2)


def test_aead_ciphers_are_those_that_bring_their_own_integrity() -> None:
    assert {e.name for e in AEAD_ENCR} == {
        e.name for e in Encr if "GCM" in e.name or "CCM" in e.name or "POLY1305" in e.name
    }
