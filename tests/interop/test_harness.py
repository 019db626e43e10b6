"""The harness itself, with strongSwan at both ends: what fails here is not Isthmus's fault."""

import pytest

from .flows import Cell, whole_cell
from .support import SUITES, Pair, terms

pytestmark = [pytest.mark.root, pytest.mark.interop]


def test_two_charons_pass_a_cell(charon_pair: Pair) -> None:
    """The steps of the matrix hold between two strongSwans."""
    whole_cell(charon_pair, terms(SUITES[0], 4), Cell("initiator", 4))
