"""The catalogue of findings and the page made from it."""

import re
from pathlib import Path

import pytest

from isthmus.observe.codes import BY_ID, CATALOGUE, Code, advice, markdown

ROOT = Path(__file__).parents[3]
QUOTED_CODE = re.compile(r"""["'](E[1-9][0-9]{2})["']""")


def test_the_page_is_the_catalogue() -> None:
    """If not: python -m isthmus.observe.codes > docs/codes.md"""
    assert (ROOT / "docs/codes.md").read_text() == markdown()


def test_codes_are_unique_and_in_order() -> None:
    ids = [code.id for code in CATALOGUE]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("code", CATALOGUE, ids=lambda code: code.id)
def test_each_finding_has_a_cause_and_a_remedy_in_sentences(code: Code) -> None:
    assert re.fullmatch(r"E[1-9]\d\d", code.id)
    for text in (code.cause, code.fix):
        assert text.endswith(".") and text[0].isupper() and len(text) > 20
    assert not code.title.endswith(".")


def test_every_code_that_the_source_uses_is_in_the_catalogue() -> None:
    used = {
        (code, path.relative_to(ROOT).as_posix())
        for path in (ROOT / "python").rglob("*.py")
        for code in QUOTED_CODE.findall(path.read_text())
    }
    assert {(code, path) for code, path in used if code not in BY_ID} == set()
    assert used


def test_advice_for_an_unknown_code_is_empty() -> None:
    assert advice("E110").startswith("Put a proposal")
    assert advice("E999") == advice("") == ""
