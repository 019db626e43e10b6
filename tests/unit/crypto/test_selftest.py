"""selftest: what is offered worked here, and what did not work is withdrawn with a reason."""

import pytest

from isthmus.crypto import agreement, known_answers, selftest
from isthmus.crypto.agreement import METHODS
from isthmus.crypto.integrity import INTEGS
from isthmus.crypto.prf import PRFS
from isthmus.crypto.selftest import Capabilities, Withdrawn, supported
from isthmus.crypto.suite import ENCRS, key_lengths
from isthmus.values.proposal import Proposal, Transform, parse_proposal
from isthmus.values.registry.ikev2 import (
    Encr,
    Integ,
    KeMethod,
    Prf,
    SecurityProtocol,
    TransformType,
)
from isthmus.values.secret import Secret

ALL = (
    {Transform(TransformType.ENCR, e, b) for e in ENCRS for b in key_lengths(e) or (None,)}
    | {Transform(TransformType.INTEG, number) for number in INTEGS}
    | {Transform(TransformType.PRF, number) for number in PRFS}
    | {Transform(TransformType.KE, number) for number in METHODS}
)


def withdrawn_words(capabilities: Capabilities) -> set[str]:
    return {str(entry.transform) for entry in capabilities.withdrawn}


def test_everything_works_here() -> None:
    capabilities = supported()
    assert capabilities.withdrawn == ()
    assert capabilities.transforms >= ALL


def test_default_proposals_can_be_met() -> None:
    capabilities = supported()
    for text in ("aes256gcm16-prfsha384-ecp256", "chacha20poly1305-prfsha256-x25519"):
        assert capabilities.unsupported(parse_proposal(text, SecurityProtocol.IKE)) == ()
    esp = parse_proposal("aes256-sha256-modp2048-esn-noesn", SecurityProtocol.ESP)
    assert capabilities.unsupported(esp) == ()


def test_what_crypto_does_not_have_is_unsupported() -> None:
    odd = (
        Transform(TransformType.ENCR, Encr.DES),
        Transform(TransformType.ENCR, Encr.CAMELLIA_CBC, 256),
        Transform(TransformType.KE, KeMethod.MODP_768),
    )
    found = supported().unsupported(Proposal(SecurityProtocol.IKE, odd))
    assert tuple(entry.transform for entry in found) == odd
    assert all(entry.reason for entry in found)


def test_unknown_attributes_are_never_supported() -> None:
    odd = Transform(TransformType.ENCR, Encr.AES_GCM_16, 128, unknown_attributes=True)
    assert not supported().supports(odd)


def test_a_wrong_answer_withdraws_one_key_length_of_one_cipher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = {**known_answers.ENCRYPTION, (Encr.AES_CBC, 192): bytes(16)}
    monkeypatch.setattr(selftest, "ENCRYPTION", broken)
    capabilities = supported()
    assert withdrawn_words(capabilities) == {"aes192"}
    assert "wrong answer" in capabilities.withdrawn[0].reason
    proposal = parse_proposal("aes192-sha256-x25519", SecurityProtocol.IKE)
    assert capabilities.unsupported(proposal) == capabilities.withdrawn


@pytest.mark.parametrize("kind", ["INTEGRITY_ANSWERS", "PRF_ANSWERS"])
def test_wrong_macs_are_withdrawn(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, kind, dict.fromkeys(getattr(selftest, kind), b"wrong"))
    kinds = {entry.transform.kind for entry in supported().withdrawn}
    expected = TransformType.INTEG if kind == "INTEGRITY_ANSWERS" else TransformType.PRF
    assert kinds == {expected}


def test_a_library_that_raises_takes_nothing_else_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> bytes:
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(selftest, "prf", refuse)
    capabilities = supported()
    assert {e.transform.number for e in capabilities.withdrawn} == set(PRFS)
    assert all("not on this processor" in str(entry) for entry in capabilities.withdrawn)
    assert capabilities.supports(Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128))


def test_an_agreement_that_takes_bad_values_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = agreement.agree

    def careless(method: KeMethod, private: Secret, peer: bytes) -> Secret:
        try:
            return real(method, private, peer)
        except agreement.BadPublicValue:
            return private

    monkeypatch.setattr(agreement, "agree", careless)
    capabilities = supported()
    assert {e.transform.number for e in capabilities.withdrawn} == set(METHODS)
    assert all("bad public value" in entry.reason for entry in capabilities.withdrawn)


def test_withdrawal_reads_as_a_sentence() -> None:
    entry = Withdrawn(Transform(TransformType.PRF, Prf.HMAC_SHA1), "self-test gave a wrong answer")
    assert str(entry) == "prfsha1: self-test gave a wrong answer"
