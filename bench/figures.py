"""What a bench finds: single values in, medians with their range out."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = dict[str, str | float | list[float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one run."""

    bench: str
    setup: str
    """How the subject was set up, where that makes a difference: the cipher."""
    variant: str
    """What was measured; figures of one variant stand in one table."""
    value: float
    unit: str
    subject: str = ""
    """Whose it is; empty: the trial's."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one subject; `run` gets an empty folder of its own. May raise LabError."""

    subject: str
    run: Callable[[Path], Iterable[Figure]]


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one subject in one variant of one bench, a value for each run."""

    bench: str
    setup: str
    variant: str
    subject: str
    unit: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.runs)

    def row(self) -> Row:
        """As it stands in latest.json."""
        return {
            "bench": self.bench,
            "variant": ", ".join(part for part in (self.setup, self.variant) if part),
            "subject": self.subject,
            "value": _short(self.median),
            "unit": self.unit,
            "runs": [_short(value) for value in self.runs],
        }


@dataclass(slots=True)
class Results:
    """All series, in the order in which their first values came."""

    _values: dict[tuple[str, str, str, str, str], list[float]] = field(default_factory=dict)

    def add(self, subject: str, figure: Figure) -> None:
        """One more run of a series, or its first."""
        key = (figure.bench, figure.setup, figure.variant, figure.subject or subject, figure.unit)
        self._values.setdefault(key, []).append(figure.value)

    def series(self, bench: str | None = None) -> list[Series]:
        """Those of one bench, or all."""
        return [
            Series(name, setup, variant, subject, unit, tuple(runs))
            for (name, setup, variant, subject, unit), runs in self._values.items()
            if bench in (None, name)
        ]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
