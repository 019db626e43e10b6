"""Wycheproof: every case whose sizes IPsec uses, through the names that IKE calls."""

from collections.abc import Callable
from pathlib import Path

import pytest
from vectorfiles import files, load, run
from wycheproof_cases import LATER, cases


def is_later(path: Path) -> bool:
    """The file is about something that is not offered yet."""
    return load(path)["algorithm"] in LATER


USED = [path for path in files("wycheproof") if not is_later(path)]


@pytest.mark.parametrize("path", USED, ids=lambda path: path.stem)
def test_agrees_with_wycheproof(path: Path, record_property: Callable[[str, object], None]) -> None:
    assert run(cases(path), record_property)["run"] > 0, "no case of the file was used"
