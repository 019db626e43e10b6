"""Fixtures of the plane tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.needs import need
from tests.plane.support import Pair, pair_of_planes, why_not


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two planes on one wire, nothing configured yet."""
    need(why_not())
    with pair_of_planes(tmp_path) as planes:
        yield planes
