"""Isthmus against strongSwan over IKEv1: a tunnel's whole life, in both roles, as in the matrix."""

import pytest

from .flows import Cell, Role, whole_cell
from .support import SUITES_V1, Pair, Suite, terms

pytestmark = [pytest.mark.root, pytest.mark.interop]


@pytest.mark.parametrize(
    ("role", "suite", "family"),
    [("initiator", SUITES_V1[0], 4), ("responder", SUITES_V1[1], 6)],
    ids=["initiator-pfs-v4", "responder-no-pfs-v6"],
)
def test_whole_life(pair: Pair, role: Role, suite: Suite, family: int) -> None:
    """Up, pings, transfer, ESP on the wire, both phases renewed by each side, deletes by each
    side. There is neither loss nor clear text."""
    whole_cell(pair, terms(suite, family), Cell(role, family))
