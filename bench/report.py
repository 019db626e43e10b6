"""Tables on the screen and `latest.json`, of what was found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.figures import Results, Row, Series
from bench.ways import ISTHMUS, NO_VPN

_LABEL_WIDTH = 50
_LOWER_IS_BETTER = ("s/Gbit", "ms", "ms of processor", "kB")
FACT = "fact"
"""The variant of rows that say where and when a bench ran."""
_NOTHING: Row = {"value": 0.0, "unit": "", "runs": []}


def tables(results: Results, titles: Mapping[str, str]) -> str:
    """One table for each variant of each bench: medians, ranges and ratios."""
    parts = []
    for bench, title in titles.items():
        found = results.series(bench)
        if not found:
            continue
        parts.append(f"{title}\n{'=' * len(title)}")
        for variant in dict.fromkeys(series.variant for series in found):
            parts.append(table(variant, [s for s in found if s.variant == variant]))
    return "\n\n".join(parts)


def table(variant: str, found: Sequence[Series]) -> str:
    """Subjects below each other; how many times Isthmus in its first set-up is better than each."""
    clear = next((series for series in found if series.subject == NO_VPN), None)
    own = next((series for series in found if series.subject == ISTHMUS), None)
    head = f"{variant} [{found[0].unit}]"
    lines = [f"{head:{_LABEL_WIDTH}}{'median':>10}  {'range':^21}"]
    if clear is not None:
        lines[0] += f"{'of no VPN':>12}"
    if own is not None and len(found) > 1:
        setup = f" {own.setup}" if own.setup else ""
        lines[0] += f"   Isthmus{setup} better by"
    for series in found:
        label = series.subject + (f", {series.setup}" if series.setup else "")
        spread = f"{number(min(series.runs))} - {number(max(series.runs))}"
        line = f"  {label:{_LABEL_WIDTH - 2}}{number(series.median):>10}  {spread:^21}"
        if clear is not None:
            line += f"{_ratio(series.median, clear.median):>12}"
        if own is not None and series is not own:
            line += f"{_ratio(*_better(own, series)):>14}"
        lines.append(line)
    return "\n".join(line.rstrip() for line in lines)


def _better(own: Series, other: Series) -> tuple[float, float]:
    pair = own.median, other.median
    return pair[::-1] if own.unit in _LOWER_IS_BETTER else pair


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f} x" if base else "-"


def number(value: float) -> str:
    """Three digits that count, thousands set apart: `0.123`, `45.6`, `1 234`, `116 000`."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def rows(results: Results, facts: Mapping[str, str]) -> list[Row]:
    """As latest.json has them; a fact of a bench's run is a row of it, without a value."""
    found = [series.row() for series in results.series()]
    for bench in dict.fromkeys(series.bench for series in results.series()):
        found += [
            {"bench": bench, "variant": FACT, "subject": f"{name}: {text}", **_NOTHING}
            for name, text in facts.items()
        ]
    return found


def told(found: Sequence[Row], name: str) -> list[str]:
    """What rows say of one fact, bench by bench."""
    texts = [row["subject"] for row in found if row["variant"] == FACT]
    parts = [text.partition(": ") for text in texts if isinstance(text, str)]
    return [value for fact, _, value in parts if fact == name]


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """`new` takes the place of all rows of its benches: a bench is always of one run."""
    benches = {row["bench"] for row in new}
    return [row for row in old if row["bench"] not in benches] + list(new)


def read(path: Path) -> list[Row]:
    """What an earlier run wrote; nothing when there was none."""
    if not path.exists():
        return []
    found: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, found: Sequence[Row]) -> None:
    """A list of objects, one on each line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    path.write_text(f"[\n{text}\n]\n", encoding="utf-8")
