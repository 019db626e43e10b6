"""Isthmus against strongSwan: role, suite and inner family, through a tunnel's whole life."""

import pytest

from .flows import Cell, Role, whole_cell
from .support import SUITES, Pair, Suite, terms

pytestmark = [pytest.mark.root, pytest.mark.interop]


@pytest.mark.parametrize("family", [4, 6], ids=["v4", "v6"])
@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_matrix(pair: Pair, role: Role, suite: Suite, family: int) -> None:
    """Up, pings, transfer, ESP on the wire, rekeys by each side, deletes by each side."""
    whole_cell(pair, terms(suite, family), Cell(role, family))
