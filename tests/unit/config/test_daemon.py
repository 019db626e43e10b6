"""[daemon]: what is true of the whole daemon."""

from pathlib import Path

from .samples import TUNNEL, loaded, only_error


def test_nothing_stays_closed_unless_it_is_said(tmp_path: Path) -> None:
    for text, expected in (
        ("", False),
        ("[daemon]\n", False),
        ("[daemon]\nfail_closed = true\n", True),
        ("[daemon]\nfail_closed = false\n", False),
    ):
        assert loaded(tmp_path, text + TUNNEL).configuration.fail_closed is expected


def test_it_is_yes_or_no(tmp_path: Path) -> None:
    error = only_error(tmp_path, '[daemon]\nfail_closed = "yes"\n' + TUNNEL)
    assert "fail_closed" in error.message and error.line == 2
