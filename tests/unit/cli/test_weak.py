"""Weak algorithms are shown in red for as long as a suite with one is in use."""

import pytest

from isthmus.cli.render import status_lines, tunnel_lines
from isthmus.cli.text import Paint
from isthmus.management import api

RED = "\x1b[31m"
STRONG = "aes256gcm16-prfsha384-ecp256"


def tunnel(suite: str, child_suite: str, weak: tuple[str, ...] = ()) -> api.TunnelStatus:
    selectors = api.Selectors(local=("10.1.0.0/24",), remote=("10.2.0.0/24",))
    child = api.ChildState(
        spi_in="0x00001000",
        spi_out="0x00002000",
        suite=child_suite,
        pfs="none",
        state="installed",
        encap=False,
        initiated=True,
        local=selectors.local,
        remote=selectors.remote,
        age_s=1.0,
        rekey_in_s=100.0,
        expires_in_s=200.0,
    )
    return api.TunnelStatus(
        name="old-firewall",
        peer="203.0.113.10",
        mode="policy",
        start="traffic",
        healthy=True,
        held_down=False,
        weak=weak,
        phase1=api.Phase1Status(
            state="up",
            since_s=3.0,
            local="198.51.100.1:500",
            remote="203.0.113.10:500",
            suite=suite,
            age_s=3.0,
        ),
        rules=(
            api.RuleStatus(
                name="lan", state="up", since_s=3.0, selectors=selectors, children=(child,)
            ),
        ),
    )


def red(line: str) -> list[str]:
    """What a line says in red."""
    return [part.split("\x1b[0m")[0] for part in line.split(RED)[1:]]


@pytest.mark.parametrize(
    ("suite", "child_suite", "weak"),
    [
        ("3des-md5-prfmd5-modp1024", "aes256gcm16", ("3des", "md5", "modp1024", "prfmd5")),
        (STRONG, "aes128-sha1", ("sha1",)),
        ("aes128-sha1-prfsha1-modp1536", "3des-md5", ("3des", "md5", "modp1536", "prfsha1")),
    ],
)
def test_what_is_weak_is_red(suite: str, child_suite: str, weak: tuple[str, ...]) -> None:
    shown = tunnel(suite, child_suite, weak)
    said = f"WEAK: {', '.join(weak)}"
    (row,) = [line for line in status_lines((shown,), Paint(True)) if "old-firewall" in line]
    assert red(row) == [said]
    whole = [words for line in tunnel_lines(shown, Paint(True)) for words in red(line)]
    suites = [words for words in (suite, child_suite) if set(words.split("-")) & set(weak)]
    assert sorted(whole) == sorted([said, *suites])


def test_nothing_is_red_where_nothing_is_weak() -> None:
    shown = tunnel(STRONG, "aes256gcm16")
    lines = [*status_lines((shown,), Paint(True)), *tunnel_lines(shown, Paint(True))]
    assert not any(red(line) for line in lines) and not any("WEAK" in line for line in lines)
    assert any(STRONG in line for line in lines)


def test_without_colours_the_words_stay() -> None:
    shown = tunnel("3des-sha1-prfsha1-modp1024", "3des-sha1", ("3des", "sha1"))
    lines = [*status_lines((shown,), Paint(False)), *tunnel_lines(shown, Paint(False))]
    assert sum("WEAK: 3des, sha1" in line for line in lines) == 2
    assert not any("\x1b" in line for line in lines)
