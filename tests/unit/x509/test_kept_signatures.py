"""What is known to hold is not computed again; what does not hold is refused each time."""

import pytest
from tests.exchanges.pki import issue, private

from isthmus.crypto import signature
from isthmus.x509 import walk
from isthmus.x509.errors import Untrusted

ROOT = issue("kept root")


def test_a_signature_that_holds_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = issue("kept leaf", ROOT).read
    walk.check_signature(leaf, ROOT.read)
    monkeypatch.setattr(signature, "_check_ecdsa_range", lambda *_: pytest.fail("computed again"))
    walk.check_signature(leaf, ROOT.read)
    again = issue("another leaf", ROOT).read
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        walk.check_signature(again, ROOT.read)


def test_a_signature_by_another_key_is_refused_before_and_after_the_right_one_is_known() -> None:
    leaf = issue("kept honest leaf", ROOT)
    forged = issue("kept honest leaf", ROOT, leaf.key, signed_by=private("p256", 7777)).read
    for _ in range(2):
        with pytest.raises(Untrusted):
            walk.check_signature(forged, ROOT.read)
    walk.check_signature(leaf.read, ROOT.read)
    with pytest.raises(Untrusted):
        walk.check_signature(forged, ROOT.read)
    other_root = issue("kept root", key=private("p256", 7778)).read
    with pytest.raises(Untrusted):
        walk.check_signature(leaf.read, other_root)


def test_a_long_certificate_is_checked_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "KEPT_OCTETS_MAX", 100)
    leaf = issue("long leaf", ROOT).read
    before = walk._verify_once.cache_info()
    walk.check_signature(leaf, ROOT.read)
    assert walk._verify_once.cache_info() == before
