"""Fixtures of the plane tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.plane.support import Pair, pair_of_planes, why_not


def require_network() -> None:
    """Skip with the reason, or fail where a skip would hide something."""
    reason = why_not()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"a skip is a failure here: {reason}")
    pytest.skip(reason)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two planes on one wire, nothing configured yet."""
    require_network()
    with pair_of_planes(tmp_path) as planes:
        yield planes
