"""Key agreement against RFC 5903 and RFC 8031."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dh_cases import cases
from vectorfiles import files, run


@pytest.mark.parametrize("path", files("dh"), ids=lambda path: path.stem)
def test_agrees_with_published_exchanges(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert run(cases(path), record_property)["run"] > 0
