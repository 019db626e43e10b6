"""Whether and how large messages of phase 1 are cut."""

from pathlib import Path

import pytest

from isthmus.policy.connection import Fragmentation

from .samples import RULE, TUNNEL, loaded, only_error


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", Fragmentation(enabled=True, size=1280)),
        ("phase1.fragmentation = false\n", Fragmentation(enabled=False)),
        ("phase1.fragment_size = 576\n", Fragmentation(size=576)),
        (
            "phase1.fragmentation = true\nphase1.fragment_size = 1400\n",
            Fragmentation(enabled=True, size=1400),
        ),
    ],
)
def test_what_is_written_is_what_counts(
    tmp_path: Path, lines: str, expected: Fragmentation
) -> None:
    (found,) = loaded(tmp_path, TUNNEL + lines + RULE).configuration.connections
    assert found.fragmentation == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('phase1.fragmentation = "force"\n', "should be true or false"),
        ("phase1.fragment_size = 100\n", "out of range"),
        ('phase1.fragment_size = "1280"\n', "should be a whole number"),
        (
            "phase1.fragmentation = false\nphase1.fragment_size = 576\n",
            "stands beside fragmentation = false",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    assert message in only_error(tmp_path, TUNNEL + lines + RULE).message
