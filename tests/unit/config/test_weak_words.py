"""No weak algorithm is reached by default or by chance: it is named, and `allow_weak` says why."""

from pathlib import Path

import pytest

from isthmus.config.suites import SUITES
from isthmus.policy.connection import Connection
from isthmus.values.proposal import WEAK_WORDS

from .samples import RULE, TUNNEL, loaded, only_error

_PHASE1 = {
    "3des": "3des-sha256-modp2048",
    "md5": "aes128-md5-prfsha256-modp2048",
    "prfmd5": "aes128-sha256-prfmd5-modp2048",
    "sha1": "aes128-sha1-prfsha256-modp2048",
    "prfsha1": "aes128-sha256-prfsha1-modp2048",
    "modp1024": "aes128-sha256-modp1024",
    "modp1536": "aes128-sha256-modp1536",
}
_PHASE2 = {
    "3des": "3des-sha256",
    "md5": "aes128-md5",
    "sha1": "aes128-sha1",
    "modp1024": "aes128-sha256-modp1024",
    "modp1536": "aes128-sha256-modp1536",
}
_PHASE1_V1 = {
    "3des": "3des-sha256-modp2048",
    "md5, prfmd5": "aes128-md5-modp2048",
    "sha1, prfsha1": "aes128-sha1-modp2048",
    "modp1024": "aes128-sha256-modp1024",
    "modp1536": "aes128-sha256-modp1536",
}
"""In IKEv1 one hash is integrity and PRF."""


def _phase1(text: str) -> str:
    return f'phase1 = {{ proposals = ["{text}"] }}\n'


PLACES = [
    *((words, _phase1(text), "") for words, text in _PHASE1.items()),
    *((words, "ike = 1\n" + _phase1(text), "") for words, text in _PHASE1_V1.items()),
    *((words, "", f'proposals = ["{text}"]\n') for words, text in _PHASE2.items()),
    *((words, "ike = 1\n", f'proposals = ["{text}"]\n') for words, text in _PHASE2.items()),
]


def words_of(found: Connection) -> set[str]:
    """Every algorithm of a tunnel and its rules."""
    proposals = [*found.phase1_proposals, *(p for r in found.rules for p in r.proposals)]
    return {str(transform) for proposal in proposals for transform in proposal.transforms}


def test_every_weak_word_is_tried() -> None:
    assert set(_PHASE1) == WEAK_WORDS
    assert set(_PHASE2) == {word for word in WEAK_WORDS if not word.startswith("prf")}


@pytest.mark.parametrize(("words", "tunnel", "rule"), PLACES)
def test_no_weak_word_is_taken_unless_it_is_meant(
    tmp_path: Path, words: str, tunnel: str, rule: str
) -> None:
    error = only_error(tmp_path, TUNNEL + tunnel + RULE + rule)
    assert error.message.endswith(f"asks for weak algorithms: {words}")
    assert "allow_weak = true" in error.hint
    found = loaded(tmp_path, TUNNEL + tunnel + "allow_weak = true\n" + RULE + rule)
    (connection,) = found.configuration.connections
    assert words_of(connection) & WEAK_WORDS == set(words.split(", "))
    assert any(f"weak algorithms: {words} (allow_weak is set)" in w for w in found.warnings)


@pytest.mark.parametrize("ike", ["", "ike = 1\n", "ike = 2\n", 'ike = "auto"\n'])
@pytest.mark.parametrize("suite", ["", *(name for name, s in SUITES.items() if not s.is_weak)])
def test_allowing_what_is_weak_adds_nothing_that_is_not_named(
    tmp_path: Path, ike: str, suite: str
) -> None:
    line = f'suite = "{suite}"\n' if suite else ""
    found = loaded(tmp_path, TUNNEL + ike + line + "allow_weak = true\n" + RULE)
    (connection,) = found.configuration.connections
    assert not words_of(connection) & WEAK_WORDS
