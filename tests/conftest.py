"""What a marker asks for holds for every test that has it."""

import pytest
from tests.needs import need, no_root


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that need root are skipped without it, before their fixtures; in CI they fail."""
    if item.get_closest_marker("root") is not None:
        need(no_root())
