"""Packets and messages that RFCs print in full, through the ciphers that IKE uses."""

from collections.abc import Callable
from pathlib import Path

import pytest
from esp_cases import cases
from vectorfiles import files, run


@pytest.mark.parametrize("path", files("esp"), ids=lambda path: path.stem)
def test_agrees_with_published_packets(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert run(cases(path), record_property)["run"] > 0
