"""Key derivation against NIST ACVP, NSS and the RFCs of the AES PRFs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kdf_cases import cases
from vectorfiles import Case, files, run

USED = [path for path in files("kdf") if any(isinstance(case, Case) for case in cases(path))]


@pytest.mark.parametrize("path", USED, ids=lambda path: path.stem)
def test_agrees_with_published_key_derivation(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert run(cases(path), record_property)["run"] > 0
