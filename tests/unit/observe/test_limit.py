"""Strangers cannot fill a disk or push history out of the journal (SECURITY-GUIDE S-39)."""

from isthmus.ike.core.records import Happening
from isthmus.observe.journal import Journal
from isthmus.observe.limit import LINES_PER_S, REASONS_MAX, Limiter
from isthmus.observe.recorder import Recorder

FLOOD = 100_000


class Desk:
    """A recorder with a clock that the test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[str] = []
        self.journal = Journal()
        self.recorder = Recorder(self.journal, self.lines.append, lambda: 0.0, lambda: self.now_s)

    def drop(self, reason: str = "unknown SPI") -> None:
        self.recorder.take(Happening("datagram.dropped", detail=(("reason", reason),)))


def test_a_flood_of_bogus_datagrams_makes_ten_lines_and_one_count() -> None:
    desk = Desk()
    for number in range(FLOOD):
        desk.now_s = number / FLOOD
        desk.drop("unknown SPI" if number % 4 else "too short")
    assert len(desk.lines) == LINES_PER_S
    desk.now_s = 1.0
    desk.recorder.flush()
    assert desk.lines[LINES_PER_S:] == [
        "log.suppressed: 99990 more datagram.dropped within one second are not shown "
        "(of=datagram.dropped, count=99990, reasons=unknown SPI: 74993, too short: 24997)"
    ]


def test_every_second_has_its_own_ten_lines() -> None:
    desk = Desk()
    for second in range(3):
        desk.now_s = float(second)
        for _ in range(LINES_PER_S + 1):
            desk.drop()
    desk.now_s = 3.0
    desk.recorder.flush()
    assert sum(line.split(" ")[0] == "datagram.dropped" for line in desk.lines) == 3 * LINES_PER_S
    assert sum(line.startswith("log.suppressed: 1 more") for line in desk.lines) == 3


def test_a_quiet_second_says_nothing() -> None:
    desk = Desk()
    for _ in range(LINES_PER_S):
        desk.drop()
    desk.now_s = 5.0
    desk.recorder.flush()
    assert len(desk.lines) == LINES_PER_S


def test_the_reasons_that_are_counted_are_bounded() -> None:
    desk = Desk()
    for number in range(1000):
        desk.drop(f"reason {number}")
    desk.now_s = 1.0
    desk.recorder.flush()
    assert desk.lines[-1].count("reason ") == REASONS_MAX
    assert f"other: {1000 - LINES_PER_S - REASONS_MAX}" in desk.lines[-1]


def test_what_a_user_asked_for_and_what_is_proven_is_never_held_back() -> None:
    desk = Desk()
    for _ in range(50):
        desk.recorder.take(Happening("phase1.failed", "office", ticket=1))
        desk.recorder.take(Happening("phase2.up", "office"))
    assert len(desk.lines) == 100


def test_a_flood_does_not_push_history_out_of_the_journal() -> None:
    desk = Desk()
    desk.recorder.take(Happening("phase1.up", "office"))
    for _ in range(FLOOD // 10):
        desk.drop()
    assert desk.journal.recent()[0].happening.event == "phase1.up"


def test_what_would_not_pass_is_counted_without_being_told() -> None:
    limiter = Limiter(lines_per_s=2)
    assert limiter.admits("exchange.sent", 5.0)
    for _ in range(2):
        assert limiter.admits("exchange.sent", 5.0)
        assert limiter.take(Happening("exchange.sent"), 5.0) == (True, ())
    assert [limiter.admits("exchange.sent", 5.5) for _ in range(3)] == [False, False, False]
    assert limiter.admits("phase1.up", 5.5), "no stranger causes it"
    assert limiter.admits("exchange.sent", 6.0), "another second"
    (summary,) = limiter.flush(6.0)
    assert dict(summary.detail)["count"] == 3
