"""R-05: small errors in the verifier are noticed (`make mutants-x509` tries all, this a sample)."""

import pytest

from . import mutants
from .equivalent import EQUIVALENT
from .mutants import Mutant, complaint, living

EVERY = 24
"""One of so many is tried here, so that no function is left out for long."""

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def test_a_sample_of_the_mutants_and_all_that_are_called_equivalent() -> None:
    everyone = mutants.mutants()
    chosen = {*everyone[::EVERY], *(one for one in everyone if one.key in EQUIVALENT)}
    assert not [text for each in living(chosen) if (text := complaint(*each))]


def test_each_mutant_has_a_name_of_its_own() -> None:
    everyone = mutants.mutants()
    assert len({one.key for one in everyone}) == len(everyone)
    assert {one.module for one in everyone} == set(mutants.MODULES)


def test_what_is_called_equivalent_is_a_mutant_and_has_a_reason() -> None:
    assert not mutants.strays()
    assert all(len(reason.split()) > 5 for reason in EQUIVALENT.values())


def test_what_is_wrong_with_a_verdict_is_told() -> None:
    known = next(one for one in mutants.mutants() if one.key in EQUIVALENT)
    other = Mutant("walk", "walk", 0, 1, "1 -> 2")
    assert not complaint(known, lives=True) and not complaint(other, lives=False)
    assert "lives" in complaint(other, lives=True)
    assert "not equivalent" in complaint(known, lives=False)


def test_an_entry_that_is_no_mutant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EQUIVALENT, "walk.walk: gone -> away", "it is not there any more")
    assert mutants.strays() == ["walk.walk: gone -> away"]
