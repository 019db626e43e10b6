"""The one door for happenings: limited, kept in the journal, written as lines."""

from collections.abc import Callable
from enum import StrEnum

from isthmus.ike.core.records import Happening
from isthmus.observe.journal import Entry, Journal
from isthmus.observe.limit import Limiter
from isthmus.observe.log import human_line, json_line, timestamp


class Style(StrEnum):
    """How lines are written."""

    JSON = "json"
    HUMAN = "human"
    """Without a time: for journald, which adds its own."""
    HUMAN_WITH_TIME = "human-with-time"


class Recorder:
    """Gives happenings their time, and hands them to the journal and to `write`.

    `clock` returns seconds since 1970 and `steady` seconds of a clock that does not run backwards;
    `write` gets each line without its line end.
    """

    def __init__(
        self,
        journal: Journal,
        write: Callable[[str], None],
        clock: Callable[[], float],
        steady: Callable[[], float],
        style: Style = Style.HUMAN,
    ) -> None:
        self._journal = journal
        self._write = write
        self._clock = clock
        self._steady = steady
        self._style = style
        self._limiter = Limiter()

    def take(self, happening: Happening) -> None:
        """Record one happening, unless too many like it came within this second."""
        passes, due = self._limiter.take(happening, self._steady())
        for summary in due:
            self._emit(summary)
        if passes:
            self._emit(happening)

    def admits(self, event: str) -> bool:
        """May one more happening of this id, which answers no command, be told within this second?
        If not it is counted, and need not be put into words."""
        return self._limiter.admits(event, self._steady())

    def flush(self) -> None:
        """Say what was suppressed; call it about once a second."""
        for summary in self._limiter.flush(self._steady()):
            self._emit(summary)

    def _emit(self, happening: Happening) -> None:
        entry = Entry(self._clock(), happening)
        self._write(self._line(entry))
        self._journal.add(entry)

    def _line(self, entry: Entry) -> str:
        fields = entry.fields()
        match self._style:
            case Style.JSON:
                return json_line(fields)
            case Style.HUMAN:
                return human_line(fields)
            case Style.HUMAN_WITH_TIME:
                return f"{timestamp(entry.time_s)} {human_line(fields)}"
