"""What is asked for, what is kept, and how long a judgement lasts."""

from dataclasses import replace

import pytest
from cryptography.x509 import OCSPNonce
from cryptography.x509.ocsp import load_der_ocsp_request

from isthmus.values.trust import RevocationMode
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import is_signed_by
from isthmus.x509.der import Reader
from isthmus.x509.errors import BadCrl, BadOcsp, Untrusted
from isthmus.x509.ocsp import CertId, Verdict, request
from isthmus.x509.path import validate
from isthmus.x509.revocation import (
    ANSWERS_MAX,
    LISTS_MAX,
    Revocation,
    Source,
    SourceKind,
    Statuses,
    admit_answer,
    admit_crl,
    judge,
    needed,
)
from isthmus.x509.rules import PathRules, VerifiedPath

from . import forge
from .forge import AT, DAY
from .refused_status import MD5, POINT, list_signer, listing
from .scenes import INTER, Scene, inter, leaf, leaf_answer, leaf_list, root, root_list

STRICT, SOFT, OFF = RevocationMode.STRICT, RevocationMode.SOFT, RevocationMode.OFF
OCSP_URL = "http://ocsp.example.net/"
CRL_URL = "http://crl.example.net/a.crl"


def path(scene: Scene | None = None) -> VerifiedPath:
    return (scene or Scene()).prepare()()


def pointed() -> VerifiedPath:
    """A path whose leaf says where to ask."""
    return path(
        Scene(
            leaf().having(
                points=forge.points(
                    forge.point([POINT, forge.uri("ldap://crl.example.net/o=x")]),
                    forge.point([forge.uri("https://crl.example.net/b.crl")]),
                ),
                places=forge.authority_information(OCSP_URL),
            )
        )
    )


def test_a_path_without_status_needs_its_sources_ocsp_first() -> None:
    found = needed(pointed(), Statuses(), AT)
    assert [(source.kind, source.url) for source in found] == [
        (SourceKind.OCSP, OCSP_URL),
        (SourceKind.CRL, CRL_URL),
    ]
    assert found[0].request and not found[1].request


def test_a_known_status_needs_nothing_until_it_is_stale() -> None:
    statuses = Statuses.of([leaf_list().made()])
    assert needed(pointed(), statuses, AT) == ()
    assert needed(pointed(), statuses, AT + 2 * DAY) != ()


def test_a_revoked_certificate_needs_nothing() -> None:
    assert needed(pointed(), Statuses.of([leaf_list().but(entries=listing()).made()]), AT) == ()


def test_each_place_is_asked_once() -> None:
    where = forge.points(forge.point([POINT]), forge.point([POINT]))
    spec, above = leaf().having(points=where), inter().having(points=where)
    found = needed(path(Scene(spec, above)), Statuses(), AT)
    assert [source.url for source in found] == [CRL_URL]


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "file:///etc/passwd", "http://a b/", "http://" + "a" * 2050, "HTTPS://a/"],
)
def test_a_place_that_is_no_plain_http_is_not_asked(url: str) -> None:
    spec = leaf().having(points=forge.points(forge.point([forge.uri(url)])))
    assert needed(path(Scene(spec)), Statuses(), AT) == ()


def test_a_request_names_the_certificate_and_carries_the_nonce() -> None:
    found = pointed()
    certificate, issuer = found.certificates[:2]
    with_nonce = request(certificate, issuer, b"n" * 32)
    assert CertId.of(certificate, issuer).encode() in request(certificate, issuer)
    assert with_nonce.endswith(b"\x04\x22\x04\x20" + b"n" * 32)
    assert b"n" * 32 not in request(certificate, issuer)
    source = needed(found, Statuses(), AT, nonce=b"n" * 32)[0]
    assert source.request == with_nonce
    single = Reader(request(certificate, issuer)).inner().inner().inner().inner()
    assert single.any().whole == CertId.of(certificate, issuer).encode()


def test_a_judgement_lasts_as_long_as_its_shortest_list() -> None:
    statuses = Statuses.of([leaf_list().made(), root_list().but(next_update=AT + 60).made()])
    assert judge(path(), statuses, AT, STRICT).good_until == AT + 60


def test_the_fresher_of_list_and_answer_counts() -> None:
    statuses = Statuses.of(
        [leaf_list().but(next_update=AT + 60).made(), root_list().made()],
        [leaf_answer().but(next_update=AT + 600).made()],
    )
    assert judge(path(), statuses, AT, STRICT).good_until == AT + 600


def test_a_soft_judgement_says_what_could_not_be_used() -> None:
    statuses = Statuses.of([leaf_list().but(next_update=AT - 1).made()])
    judgement = judge(path(), statuses, AT, SOFT)
    assert judgement.good_until is None
    assert any("not current" in note for note in judgement.notes)


def test_nobody_is_asked_when_revocation_is_off() -> None:
    revoked = Statuses.of([leaf_list().but(entries=listing()).made()])
    assert judge(path(), revoked, AT, OFF).good_until is None
    with pytest.raises(Untrusted):
        judge(path(), revoked, AT, SOFT)


def test_a_newer_list_replaces_an_older_one_and_not_the_reverse() -> None:
    old = leaf_list().but(entries=listing(), this_update=AT - 2 * DAY).made()
    new = leaf_list().made()
    for statuses in (Statuses.of([old, new]), Statuses.of([new, old])):
        assert list(statuses.crls.values()) == [(new,)]


def test_lists_and_answers_that_are_kept_are_bounded() -> None:
    crl = leaf_list().made()
    statuses = Statuses()
    for number in range(LISTS_MAX + 40):
        scoped = replace(crl.extensions, authority_key_identifier=number.to_bytes(2))
        statuses = statuses.with_crl(replace(crl, extensions=scoped))
    assert [len(each) for each in statuses.crls.values()] == [LISTS_MAX]
    answer = leaf_answer().made()
    statuses = Statuses(answers=dict.fromkeys(range(ANSWERS_MAX), (answer,)))
    assert len(statuses.with_answer(answer).answers) == ANSWERS_MAX


def test_an_index_never_changes() -> None:
    before = Statuses()
    after = before.with_crl(leaf_list().made()).with_answer(leaf_answer().made())
    assert not before.crls and not before.answers
    assert after.crls and after.answers


def test_a_forged_list_from_the_network_does_not_take_a_good_one_s_place() -> None:
    good = Statuses.of([leaf_list().but(entries=listing()).made()])
    forged = leaf_list().but(signer=forge.key("P256", "stranger"), this_update=AT).made()
    with pytest.raises(BadCrl):
        admit_crl(good, forged, path(), AT)
    fresh = leaf_list().but(this_update=AT).made()
    assert list(admit_crl(good, fresh, path(), AT).crls.values()) == [(fresh,)]


def test_a_list_by_a_certified_signer_is_admitted() -> None:
    crl = leaf_list().but(signer=forge.key("P256", "lists")).made()
    known = Statuses(certificates=(list_signer().made(),))
    assert admit_crl(known, crl, path(), AT).crls
    with pytest.raises(BadCrl):
        admit_crl(Statuses(), crl, path(), AT)


def test_an_answer_is_admitted_only_about_the_path_and_signed() -> None:
    assert admit_answer(Statuses(), leaf_answer().made(), path(), AT).answers
    about = forge.cert_id(INTER, forge.key("P256", "inter"), 9)
    for bad in (leaf_answer().but(about=about), leaf_answer().but(signer=forge.key("P256", "x"))):
        with pytest.raises(BadOcsp):
            admit_answer(Statuses(), bad.made(), path(), AT)


def test_an_answer_says_what_it_says() -> None:
    answer = leaf_answer().but(status=forge.revoked(AT - DAY, 4), nonce=b"n" * 32).made()
    (single,) = answer.singles
    assert (single.verdict, single.since, single.reason) == (Verdict.REVOKED, AT - DAY, 4)
    assert (single.this_update, single.next_update) == (AT - 3600, AT + 3600)
    answer.check_nonce(b"n" * 32)
    with pytest.raises(BadOcsp):
        answer.check_nonce(b"m" * 32)
    leaf_answer().made().check_nonce(b"n" * 32)


def test_a_revoked_way_is_left_for_one_that_is_not() -> None:
    """Two certificates for one authority, one of them revoked: the path takes the other."""
    first, second = inter().made(), inter(serial=3).made()
    anchor, end = root().made(), leaf().made()
    statuses = Statuses.of([leaf_list().made(), root_list().but(entries=listing(2)).made()])
    rules = PathRules(revocation=Revocation(STRICT, statuses))

    def serials(*pool: Certificate) -> list[int]:
        found = validate(end, pool, [anchor], at=AT, rules=rules)
        return [one.serial for one in found.certificates]

    assert serials(first, second) == serials(second, first) == [0x1234, 3, 1]
    with pytest.raises(Untrusted) as caught:
        serials(first)
    assert caught.value.code == "E149"


def test_a_judgement_of_which_a_part_is_not_known_has_no_end() -> None:
    assert judge(path(), Statuses.of([leaf_list().made()]), AT, SOFT).good_until is None
    assert judge(path(), Statuses.of([root_list().made()]), AT, SOFT).good_until is None


@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 0x1234, (1 << 159) + 1])
def test_the_library_reads_our_requests(serial: int) -> None:
    found = path(Scene(leaf(serial=serial)))
    certificate, issuer = found.certificates[:2]
    read = load_der_ocsp_request(request(certificate, issuer, b"n" * 32))
    assert (read.serial_number, read.hash_algorithm.name) == (serial, "sha1")
    assert read.issuer_key_hash == issuer.key_sha1
    assert read.extensions.get_extension_for_class(OCSPNonce).value.nonce == b"n" * 32
    assert not load_der_ocsp_request(request(certificate, issuer)).extensions


def test_a_newer_answer_replaces_one_about_the_same_certificate_alone() -> None:
    about = forge.cert_id(forge.dn("CN=other"), forge.key("P256", "root"), 0x1234)
    other = leaf_answer().but(about=about).made()
    old, new = leaf_answer().made(), leaf_answer().but(this_update=AT).made()
    assert Statuses.of((), [other, old, new]).answers == {0x1234: (other, new)}


def test_a_revocation_says_since_when_and_why() -> None:
    statuses = Statuses.of([leaf_list().but(entries=listing(0x1234, forge.reason(1))).made()])
    with pytest.raises(Untrusted) as caught:
        judge(path(), statuses, AT, SOFT)
    assert "was revoked on 2027-01-13 08:00:00Z (keyCompromise)" in caught.value.reason
    unsaid = Statuses.of((), [leaf_answer().but(status=forge.revoked(AT - DAY)).made()])
    with pytest.raises(Untrusted) as caught:
        judge(path(), unsaid, AT, SOFT)
    assert "was revoked on 2027-01-14 08:00:00Z, says OCSP" in caught.value.reason


def test_a_list_is_known_by_its_signature_before_it_is_read() -> None:
    issuer, stranger = inter().made().public_key, root().made().public_key
    der = leaf_list().der()
    assert is_signed_by(der, [stranger, issuer])
    assert not is_signed_by(der, [stranger])
    assert not is_signed_by(der, [])
    assert not is_signed_by(der[:-1], [issuer])
    assert not is_signed_by(leaf_list().but(inside=MD5, outside=MD5).der(), [issuer])


def test_a_source_shows_no_octets() -> None:
    source = needed(pointed(), Statuses(), AT)[0]
    assert repr(source) == repr(Source(SourceKind.OCSP, OCSP_URL, source.certificate))
