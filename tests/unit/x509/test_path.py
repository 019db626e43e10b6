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


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (59, "0 h 0 min"),
        (3_599, "0 h 59 min"),
        (3_600, "1 h 0 min"),
        (7_199, "1 h 59 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 days"),
    ],
)
def test_an_expired_certificate_says_how_long_ago(seconds: int, shown: str) -> None:
    error = refusal(Scene(leaf(not_after=AT - seconds)))
    assert f", {shown} ago by this machine's clock" in error.reason


def test_a_certificate_that_is_its_own_anchor_is_under_no_policy() -> None:
    pinned = leaf("P256", "ED25519")
    assert Scene(pinned, pool=(), anchors=(pinned,)).prepare()().policies == frozenset()


def test_what_an_issuer_says_of_itself_is_shown() -> None:
    marked = refusal(Scene(inter=inter().having(basic=forge.basic(False)))).reason
    assert marked.endswith("issued a certificate and says that it is no authority")
    silent = refusal(Scene(inter=inter().having(basic=None))).reason
    assert silent.endswith("issued a certificate and is not marked authority")


def test_the_first_of_the_unknown_critical_extensions_is_shown() -> None:
    one, two = (f"1.3.6.1.4.1.55555.{n}" for n in (1, 2))
    strange = {"a": (two, True, forge.NULL), "b": (one, True, forge.NULL)}
    error = refusal(Scene(leaf().having(**strange)))
    assert error.reason.endswith(f"has the unknown critical extension {one}")


def test_four_anchors_are_shown() -> None:
    key = forge.key("P256", "many")
    names = [dn(f"CN=Root {n}") for n in range(5)]
    anchors = tuple(authority(name, name, key, key) for name in names)
    reason = refusal(Scene(leaf(issuer=OTHER), pool=(), anchors=anchors)).reason
    assert "(trusted: CN=Root 0; CN=Root 1; CN=Root 2; CN=Root 3)" in reason


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
    many = leaf().having(purposes=forge.purposes(*(f"1.2.{n}" for n in range(10, 19))))
    shown = ", ".join(f"1.2.{n}" for n in range(10, 18))
    assert f"is {shown}; one of" in refusal(Scene(many)).reason


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
