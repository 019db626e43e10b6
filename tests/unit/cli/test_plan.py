"""The screen of `isthmus plan`."""

import pytest

from isthmus.cli.commands.plan import plan_lines, secrets_line, tell_refusal
from isthmus.cli.exits import Exit
from isthmus.cli.main import run
from isthmus.cli.options import Settings
from isthmus.cli.text import Paint
from isthmus.management.api import ErrorReply, Fault, Kind, PlanEntry, PlanReply
from isthmus.management.client import Refused

REPLY = PlanReply(
    tunnels=(
        PlanEntry(
            tunnel="office", fate="keep", text="only `idle` changed: applied live", gap_s=0.0
        ),
        PlanEntry(tunnel="branch", fate="restart", text="`peer` changed", gap_s=1.0),
        PlanEntry(tunnel="quiet", fate="keep", text="", gap_s=0.0),
        PlanEntry(tunnel="new\x1b[2J", fate="add", text="", gap_s=0.0),
    ),
    secrets=("branch",),
    others=("addresses that are listened on changed: applied live",),
)


def test_every_change_has_a_line_and_what_stays_is_counted() -> None:
    assert plan_lines(REPLY, Paint())[1:] == [
        "office      keep     (only `idle` changed: applied live)",
        "branch      restart  `peer` changed",
        "new\\x1b[2J  add",
        "1 tunnel as before.",
        "addresses that are listened on changed: applied live",
    ]


def test_secrets_are_named_only() -> None:
    assert secrets_line(("branch",)) == "Secrets changed: branch (value not shown)"
    assert secrets_line(()) == ""


def test_a_wrong_file_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    faults = tuple(
        Fault(file="a.toml", line=n, column=1, what="no such key", why="unknown", fix="remove it")
        for n in (3, 9)
    )
    reply = ErrorReply(
        kind=Kind.CONFIG_INVALID, what="a.toml:3:1: no such key", why="x", fix="y", faults=faults
    )
    assert tell_refusal(Settings(), Refused(reply)) == Exit.CONFIG_INVALID
    err = capsys.readouterr().err
    assert "a.toml:3:1: no such key" in err and "a.toml:9:1: no such key" in err
    assert err.endswith("2 errors; nothing was changed.\n")


def test_another_refusal_is_not_swallowed() -> None:
    reply = ErrorReply(kind=Kind.NOT_PERMITTED, what="no", why="no", fix="no")
    with pytest.raises(Refused):
        tell_refusal(Settings(), Refused(reply))


def test_confirm_goes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reload", "--confirm", "--wait"]) == Exit.USAGE
    assert "--confirm goes alone." in capsys.readouterr().err
