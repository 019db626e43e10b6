"""The small pieces of every screen: durations, amounts, columns, colour."""

from collections.abc import Sequence
from dataclasses import dataclass

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_CODES = {"good": "32", "bad": "31", "busy": "33", "dim": "2", "strong": "1"}


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours text, or leaves it as it is."""

    on: bool = False

    def __call__(self, role: str, text: str) -> str:
        """`role`: good, bad, busy, dim or strong."""
        return f"\x1b[{_CODES[role]}m{text}\x1b[0m" if self.on and text else text


def safe(text: str) -> str:
    """Text that may come from a peer, without anything that moves a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Seconds as users read them: `4 s`, `4m58s`, `41m`, `3h02m`, `12d`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d"


def amount(octets: int) -> str:
    """Octets in decimal units: `504 B`, `1.2 GB`."""
    value = float(octets)
    if value < 1000:
        return f"{octets} B"
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def count(number: int, thing: str) -> str:
    """`1 tunnel`, `4 tunnels`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with a colour that does not count as width."""

    text: str
    role: str = ""


def table(header: Sequence[str], rows: Sequence[Sequence[Cell | str]], paint: Paint) -> list[str]:
    """Lines with columns as wide as their widest text; the last column is left ragged.

    A row shorter than the header is printed as it is; a row is never cut.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [
        max([len(title), *(len(row[i].text) for row in cells if i < len(row))])
        for i, title in enumerate(header)
    ]
    lines = [_line([Cell(title, "strong") for title in header], widths, paint)]
    lines += [_line(row, widths, paint) for row in cells]
    return lines


def _line(cells: Sequence[Cell], widths: Sequence[int], paint: Paint) -> str:
    last = max((i for i, cell in enumerate(cells) if cell.text), default=-1)
    parts: list[str] = []
    for i, cell in enumerate(cells[: last + 1]):
        text = paint(cell.role, cell.text) if cell.role else cell.text
        parts.append(text + " " * (widths[i] - len(cell.text) + 2) if i < last else text)
    return "".join(parts)
