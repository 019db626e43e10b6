"""What is kept and fetched, and what a judgement says: at the edge of each bound."""

from dataclasses import replace

import pytest

from isthmus.values.trust import RevocationMode
from isthmus.x509.errors import BadCrl, Untrusted
from isthmus.x509.revocation import (
    URL_SIZE_MAX,
    Judgement,
    Statuses,
    admit_crl,
    judge,
    needed,
)

from . import forge
from .forge import AT, ListSpec, dn
from .scenes import ROOT, Scene, leaf, leaf_answer, leaf_list, root_list

STRICT, SOFT = RevocationMode.STRICT, RevocationMode.SOFT
NOTES_MAX, NOTES_SHOWN = 16, 4


def test_a_list_replaces_one_of_the_same_second() -> None:
    first, second = leaf_list().made(), leaf_list().made()
    assert list(Statuses.of([first, second]).crls.values()) == [(second,)]


def test_four_answers_are_kept_of_one_serial_number() -> None:
    answers = []
    for number in range(6):
        about = forge.cert_id(dn(f"CN={number}"), forge.key("P256", "inter"), 0x1234)
        answers.append(leaf_answer().but(about=about).made())
    assert Statuses.of((), answers).answers == {0x1234: tuple(answers[-4:])}


@pytest.mark.parametrize(
    ("rest", "fetched"),
    [
        ("a" * (URL_SIZE_MAX - len("http://")), True),
        ("a" * (URL_SIZE_MAX - len("http://") + 1), False),
        ("a/!", True),
        ("a/ ", False),
        ("a/~", True),
        ("a/\x7f", False),
    ],
)
def test_an_address_is_short_and_of_printable_characters(rest: str, fetched: bool) -> None:
    url = f"http://{rest}"
    spec = leaf().having(points=forge.points(forge.point([forge.uri(url)])))
    found = needed(Scene(spec).prepare()(), Statuses(), AT)
    assert [source.url for source in found] == ([url] if fetched else [])


def test_a_list_of_the_only_issuer_of_a_path_is_admitted() -> None:
    below = leaf(issuer=ROOT, signer=forge.key("P256", "root")).having(authority_key=None)
    crl = root_list().made()
    path = Scene(below, pool=()).prepare()()
    assert list(admit_crl(Statuses(), crl, path, AT).crls.values()) == [(crl,)]


def test_a_list_of_a_stranger_is_not_admitted_and_why() -> None:
    crl = ListSpec(dn("CN=Stranger"), forge.key("P256", "stranger")).made()
    with pytest.raises(BadCrl) as caught:
        admit_crl(Statuses(), crl, Scene().prepare()(), AT)
    assert caught.value.reason == (
        "the revocation list is one of CN=Stranger, who issued nothing in this path"
    )


def stale_lists(count: int) -> Statuses:
    """As many lists about the leaf, each of which is worth a note."""
    stale = leaf_list().but(next_update=AT - 1).made()
    statuses = Statuses()
    for number in range(count):
        marked = replace(stale.extensions, authority_key_identifier=number.to_bytes(2))
        statuses = statuses.with_crl(replace(stale, extensions=marked))
    return statuses


def test_a_judgement_has_a_bounded_number_of_notes() -> None:
    path = Scene().prepare()()
    for count in (NOTES_MAX - 1, NOTES_MAX, NOTES_MAX + 4):
        found = judge(path, stale_lists(count), AT, SOFT)
        assert len(found.notes) == min(count, NOTES_MAX)


def test_a_refusal_tells_the_first_few_notes() -> None:
    for count in (NOTES_SHOWN - 1, NOTES_SHOWN, NOTES_SHOWN + 2):
        with pytest.raises(Untrusted) as caught:
            judge(Scene().prepare()(), stale_lists(count), AT, STRICT)
        assert caught.value.reason.count("; ") == min(count, NOTES_SHOWN)


def test_lists_that_cover_some_reasons_are_noted_and_no_lists_are_not() -> None:
    path = Scene().prepare()()
    some = leaf_list().but(extensions=(forge.scope(reasons=(1, 2)),)).made()
    assert judge(path, Statuses.of([some]), AT, SOFT).notes == (
        "the revocation lists at hand do not cover every reason",
    )
    assert judge(path, Statuses(), AT, SOFT) == Judgement(None)
