"""What a path tells when it holds, and what it says to people when it does not."""

import pytest

from isthmus.crypto.signature import PublicKey
from isthmus.x509 import walk
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Untrusted
from isthmus.x509.path import SIGNATURES_MAX, validate
from isthmus.x509.rules import PathRules

from . import forge
from .forge import AT, DAY, YEAR, dn
from .refused_paths import mesh
from .scenes import OTHER, ROOT, Scene, authority, inter, leaf, root


def refusal(scene: Scene) -> Untrusted:
    with pytest.raises(Untrusted) as caught:
        scene.prepare()()
    return caught.value


def test_a_path_tells_its_ends_its_key_and_how_long_it_lasts() -> None:
    path = Scene(inter=inter(not_after=AT + DAY)).prepare()()
    assert path.leaf.subject_text == "C=CH, O=Example, CN=gw.example.net"
    assert path.anchor.subject_text == "C=CH, O=Example, CN=Example Root"
    assert path.key == PublicKey.from_spki(forge.spki(forge.key("P256", "leaf")))
    assert path.not_after == AT + DAY
    assert [c.subject_text for c in path.pool] == ["C=CH, O=Example, CN=Example Issuing CA"]
    assert str(path).count(" < ") == 2


def test_the_policies_of_a_path_are_told() -> None:
    policies = forge.policies("1.2.3", "1.2.4")
    scene = Scene(leaf().having(p=policies), inter().having(p=forge.policies("1.2.3")))
    assert scene.prepare()().policies == frozenset({"1.2.3"})


def test_an_expired_certificate_says_since_when() -> None:
    error = refusal(Scene(leaf(not_after=AT - 3 * DAY)))
    assert "CN=gw.example.net expired 2027-01-12 08:00:00Z, 3 days ago" in error.reason
    error = refusal(Scene(leaf(not_after=AT - 3720)))
    assert "1 h 2 min ago" in error.reason


def test_a_certificate_of_the_future_says_from_when() -> None:
    error = refusal(Scene(leaf(not_before=AT + 2 * DAY, not_after=AT + YEAR)))
    assert "valid only from 2027-01-17 08:00:00Z, in 2 days" in error.reason


def test_a_chain_is_shown_as_far_as_it_goes() -> None:
    error = refusal(Scene(pool=()))
    assert "the certificate of C=CH, O=Example, CN=Example Issuing CA is missing" in error.reason
    assert "sent along" in error.hint
    stranger = forge.key("P256", "stranger")
    far = inter(issuer=OTHER, signer=stranger).having(authority_key=None)
    error = refusal(Scene(inter=far, pool=(far, authority(OTHER, OTHER, stranger, stranger))))
    assert "gw.example.net < C=CH, O=Example, CN=Example Issuing CA < C=XX" in error.reason
    assert "trusted: C=CH, O=Example, CN=Example Root" in error.reason


def test_the_names_that_violate_are_shown() -> None:
    scene = Scene(inter=inter().having(c=forge.subtrees([forge.dns("example.org")])))
    assert "fqdn:gw.example.net of C=CH" in refusal(scene).reason


def test_the_wanted_and_found_usages_are_shown() -> None:
    found = leaf().having(purposes=forge.purposes("1.3.6.1.5.5.7.3.3", "1.2.3"))
    reason = refusal(Scene(found)).reason
    assert "is 1.2.3, codeSigning; one of" in reason and "ipsecIKE" in reason


def test_no_more_signatures_are_checked_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mesh of authorities that certify each other has 3^6 paths; the work has an end."""
    checked: list[str] = []
    original = walk.check_signature

    def counted(subject: Certificate, issuer: Certificate) -> None:
        checked.append(subject.subject_text)
        original(subject, issuer)

    monkeypatch.setattr(walk, "check_signature", counted)
    below = leaf().but(issuer=dn("O=Mesh, CN=CA 0"), signer=forge.key("P256", "mesh-0-0"))
    scene = Scene(below.having(authority_key=None), pool=mesh(3, 6))
    assert refusal(scene).code == "E159"
    assert len(checked) == SIGNATURES_MAX


def test_a_thousand_anchors_cost_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    original = walk.check_signature
    monkeypatch.setattr(
        walk,
        "check_signature",
        lambda subject, issuer: (checked.append(issuer.subject_text), original(subject, issuer)),
    )
    key = forge.key("P256", "many")
    anchors = [
        authority(name, name, key, key).made() for name in (dn(f"CN=Root {n}") for n in range(1000))
    ]
    found = validate(leaf().made(), [inter().made()], [*anchors, root().made()], at=AT)
    assert found.anchor.subject.der == ROOT
    # Each of the two links once while the path is built, and once while it is walked.
    assert len(checked) == 4


def test_a_refusal_and_its_code_are_in_the_text() -> None:
    error = refusal(Scene(leaf(not_after=AT - 1)))
    assert str(error) == f"{error.reason} (E141)"
    assert error.defect == error.code == "E141"


def test_the_defaults_are_strict() -> None:
    rules = PathRules()
    assert rules.rsa_bits_min == 2048
    assert not rules.allow_sha1
    assert rules.revocation is None
