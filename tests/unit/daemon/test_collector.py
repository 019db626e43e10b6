"""The garbage collector rests only as long as it is told to."""

import gc

import pytest

from isthmus.daemon import collector


def test_it_runs_again_afterwards_also_when_reading_failed() -> None:
    assert gc.isenabled()
    with collector.at_rest():
        assert not gc.isenabled()
        with collector.at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled(), "who was asked last does not decide"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="bad file"), collector.at_rest():
        raise ValueError("bad file")
    assert gc.isenabled()
