"""R-05: paths, lists and answers with exactly one defect are refused, each by its own finding."""

from collections import Counter

import pytest

from isthmus.observe.codes import BY_ID
from isthmus.x509.errors import BadCertificate, BadCrl, BadOcsp, Defect, Untrusted

from . import (
    accepted_scenes,
    edge_scenes,
    refused_forms,
    refused_names,
    refused_paths,
    refused_status,
)
from .cases import Case
from .scenes import Scene

EDGE_REFUSED, EDGE_ACCEPTED = edge_scenes.cases()
REFUSED = [
    *refused_paths.cases(),
    *refused_names.cases(),
    *refused_forms.cases(),
    *refused_status.cases(),
    *EDGE_REFUSED,
]
ACCEPTED = [*accepted_scenes.cases(), *EDGE_ACCEPTED]
REFUSED_MIN, ACCEPTED_MIN = 150, 40

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def named(case: Case) -> str:
    return f"{case.code} {case.name}".strip()


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_one_defect_is_refused_by_its_own_finding(case: Case) -> None:
    judged = case.make().prepare()
    with pytest.raises((BadCertificate, BadCrl, BadOcsp, Untrusted)) as caught:
        judged()
    assert caught.value.code == case.code, caught.value.reason
    assert caught.value.code in str(caught.value)
    assert len(caught.value.reason) > 10
    assert caught.value.reason.isprintable()


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_what_is_right_is_accepted(case: Case) -> None:
    scene = case.make()
    path = scene.prepare()()
    assert path.certificates[0].public_key.spki == (
        scene.leaf.spki or scene.leaf.made().public_key.spki
    )
    assert scene.at <= path.not_after


def test_there_are_enough_of_them() -> None:
    assert len(REFUSED) >= REFUSED_MIN
    assert len(ACCEPTED) >= ACCEPTED_MIN
    for cases in (REFUSED, ACCEPTED):
        twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
        assert not twice


def test_every_defect_has_cases_and_a_page() -> None:
    """All but the identity, which is not a path's business (`test_identity`)."""
    codes = {defect.value for defect in Defect}
    assert {case.code for case in REFUSED} == codes - {Defect.IDENTITY.value}
    assert codes <= BY_ID.keys()


def test_the_scene_without_a_defect_is_good() -> None:
    """What all defects are put into: if this failed, every refusal would mean nothing."""
    path = Scene().prepare()()
    assert [c.subject_text.rpartition("=")[2] for c in path.certificates] == [
        "gw.example.net",
        "Example Issuing CA",
        "Example Root",
    ]
