"""Durations, amounts and tables as users read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.cli.text import Cell, Paint, amount, count, duration, safe, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1m00s"),
        (298, "4m58s"),
        (599, "9m59s"),
        (600, "10m"),
        (2460, "41m"),
        (10_920, "3h02m"),
        (86_399, "23h59m"),
        (86_400 * 12.5, "12d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_940, "9.9 kB"),
        (9_960, "10 kB"),
        (310_000_000, "310 MB"),
        (999_600, "1.0 MB"),
        (1_200_000_000, "1.2 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_amounts(octets: int, text: str) -> None:
    assert amount(octets) == text


def test_counts() -> None:
    assert (count(1, "tunnel"), count(0, "tunnel")) == ("1 tunnel", "0 tunnels")


def test_a_table_lines_up_with_and_without_colour() -> None:
    rows: list[list[Cell | str]] = [
        ["office", Cell("up", "good"), "x"],
        ["a-long-name", Cell("failed", "bad")],
    ]
    plain = table(("NAME", "STATE", ""), rows, Paint())
    assert plain == [
        "NAME         STATE",
        "office       up      x",
        "a-long-name  failed",
    ]
    painted = table(("NAME", "STATE", ""), rows, Paint(True))
    assert painted[1] == "office       \x1b[32mup\x1b[0m      x"


@given(st.text())
def test_safe_text_moves_no_cursor(text: str) -> None:
    assert safe(text).isprintable()
    assert safe("ordinary text é") == "ordinary text é"
