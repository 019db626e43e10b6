"""Happenings as lines: exact, on one line, and never longer than they may be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.ike.core.records import Happening
from isthmus.observe.journal import Entry, Journal
from isthmus.observe.log import TEXT_MAX, event_fields, human_line, json_line, timestamp
from isthmus.observe.recorder import Recorder, Style

NOON_S = 1_795_435_267.031

UP = Happening(
    "phase2.up",
    tunnel="partner",
    rule="payroll",
    message="One pair of SAs stands.",
    detail=(("spi_in", "0xc4a1d2e0"), ("took_ms", 28)),
    ticket=3,
)


def test_an_event_is_one_line_of_json() -> None:
    assert json_line(event_fields(UP, NOON_S)) == (
        '{"v":1,"ts":"2026-11-23T12:01:07.031Z","event":"phase2.up","tunnel":"partner",'
        '"rule":"payroll","message":"One pair of SAs stands.","ticket":3,'
        '"spi_in":"0xc4a1d2e0","took_ms":28}'
    )


def test_an_event_is_one_line_for_a_human() -> None:
    assert human_line(event_fields(UP, NOON_S)) == (
        "phase2.up partner/payroll: One pair of SAs stands. (spi_in=0xc4a1d2e0, took_ms=28)"
    )
    failed = Happening("phase1.failed", "branch", code="E110", message="Nothing in common.")
    assert human_line(event_fields(failed, 0)) == "phase1.failed branch: E110 Nothing in common."
    assert human_line(event_fields(Happening("daemon.start"), 0)) == "daemon.start"


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (NOON_S, "2026-11-23T12:01:07.031Z"),
        (0.9996, "1970-01-01T00:00:01.000Z"),
        (951782400.0, "2000-02-29T00:00:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(time_s: float, text: str) -> None:
    assert timestamp(time_s) == text


def test_a_detail_cannot_take_the_place_of_a_fixed_field() -> None:
    fields = event_fields(Happening("a", "t", detail=(("tunnel", "x"), ("ts", 1))), 0)
    assert (fields["tunnel"], fields["detail_tunnel"], fields["detail_ts"]) == ("t", "x", 1)


@given(st.text(max_size=2000))
def test_no_text_of_a_stranger_breaks_a_line(text: str) -> None:
    happening = Happening("datagram.dropped", message=text, detail=(("reason", text),))
    fields = event_fields(happening, NOON_S)
    human = human_line(fields)
    assert human.isprintable() and len(human.splitlines()) == 1
    line = json_line(fields)
    assert len(line.splitlines()) == 1
    assert json.loads(line) == fields


def test_a_long_text_is_cut() -> None:
    fields = event_fields(Happening("a", message="x" * 5000), 0)
    assert len(str(fields["message"])) == TEXT_MAX


def test_the_journal_keeps_the_newest_and_no_more() -> None:
    journal = Journal(capacity=3)
    for number in range(5):
        journal.add(Entry(float(number), UP))
    assert [entry.time_s for entry in journal.recent()] == [2.0, 3.0, 4.0]
    assert [entry.time_s for entry in journal.recent(2)] == [3.0, 4.0]
    assert journal.recent(0) == ()


def test_a_listener_hears_entries_until_it_leaves() -> None:
    journal, heard = Journal(), list[Entry]()
    cancel = journal.subscribe(heard.append)
    journal.add(Entry(1.0, UP))
    cancel()
    cancel()
    journal.add(Entry(2.0, UP))
    assert [entry.time_s for entry in heard] == [1.0]


def test_a_listener_may_leave_while_it_is_told() -> None:
    journal, heard = Journal(), list[Entry]()

    def once(entry: Entry) -> None:
        heard.append(entry)
        cancel()

    cancel = journal.subscribe(once)
    journal.add(Entry(1.0, UP))
    journal.add(Entry(2.0, UP))
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("style", "line"),
    [
        (Style.HUMAN, "phase1.up partner"),
        (Style.HUMAN_WITH_TIME, "2026-11-23T12:01:07.031Z phase1.up partner"),
        (
            Style.JSON,
            '{"v":1,"ts":"2026-11-23T12:01:07.031Z","event":"phase1.up","tunnel":"partner"}',
        ),
    ],
)
def test_the_recorder_writes_and_keeps_each_happening(style: Style, line: str) -> None:
    journal, lines = Journal(), list[str]()
    recorder = Recorder(journal, lines.append, lambda: NOON_S, lambda: 0.0, style)
    recorder.take(Happening("phase1.up", "partner"))
    assert lines == [line]
    assert [entry.happening.event for entry in journal.recent()] == ["phase1.up"]
