"""The chart of the README: one panel a measure, one bar a subject, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.figures import Row
from bench.report import number
from bench.ways import ISTHMUS, NO_VPN


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel shows: for each subject the first row of `bench` that ends like this."""

    title: str
    bench: str
    ending: str
    scale: float = 1.0
    """What values are multiplied with."""
    less: bool = False
    """Less is better; the title says so."""
    setups: Mapping[str, str] | None = None
    """How the variant begins, where a subject has several; None: take the first."""


_TO_ITSELF = {ISTHMUS: "to Isthmus", "strongSwan kernel-libipsec": "to strongSwan"}
PANELS = (
    Panel("TCP, one stream: Gbit/s", "throughput", "IPv4, 1 stream", 1e-3),
    Panel("TCP, four streams: Gbit/s", "throughput", "IPv4, 4 streams", 1e-3),
    Panel(
        "Packets of 64 octets, at most 1 % lost: thousands a second",
        "packets",
        "64 octets, at most 1 % lost",
        1e-3,
    ),
    Panel("Ping beside a TCP transfer, median: ms", "latency", "load, median", less=True),
    Panel(
        "Processor of both gateways for a gigabit: s",
        "processor",
        "IPv4, 1 stream, daemons",
        less=True,
    ),
    Panel(
        "Handshakes with pre-shared keys, daemon to its like: a second",
        "handshakes",
        "PSK, a second",
        setups=_TO_ITSELF,
    ),
)

_COLUMNS = 2
_WIDTH, _PANEL_WIDTH, _MARGIN = 920, 450, 14
_LABEL_WIDTH, _VALUE_WIDTH = 150, 56
_TITLE_HEIGHT, _BAR_HEIGHT, _BAR_STEP = 30, 15, 21
_STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2933; }
  .title { font-weight: 600; }
  .bar { fill: #9aa5b1; }
  .own { fill: #0b7285; }
  .clear { fill: #d5dae0; }
  .paper { fill: #ffffff; }
  .note { fill: #616e7c; font-size: 11px; }
"""


def chart(rows: Sequence[Row], note: str) -> str:
    """All panels that have figures; `note` stands below them."""
    parts: list[str] = []
    top = _MARGIN
    shown = [(panel, found) for panel in PANELS if (found := _bars(panel, rows))]
    for start in range(0, len(shown), _COLUMNS):
        row = shown[start : start + _COLUMNS]
        for column, (panel, bars) in enumerate(row):
            parts += _panel(panel, bars, _MARGIN + column * _PANEL_WIDTH, top)
        top += _TITLE_HEIGHT + max(len(bars) for _, bars in row) * _BAR_STEP + _MARGIN
    parts.append(f'<text class="note" x="{_MARGIN}" y="{top + 8}">{escape(note)}</text>')
    height = top + 8 + _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="Isthmus beside other VPNs">'
    )
    paper = f'<rect class="paper" width="{_WIDTH}" height="{height}" rx="6"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", paper, *parts, "</svg>"]) + "\n"


def _bars(panel: Panel, rows: Sequence[Row]) -> list[tuple[str, float]]:
    """Subjects with their values: Isthmus first, no VPN last, the others from best to worst."""
    found: dict[str, float] = {}
    for row in rows:
        subject, variant, value = row["subject"], row["variant"], row["value"]
        assert isinstance(subject, str) and isinstance(variant, str) and isinstance(value, float)
        if row["bench"] != panel.bench or not variant.endswith(panel.ending) or subject in found:
            continue
        if panel.setups is None or variant.startswith(panel.setups.get(subject, "")):
            found[subject] = value * panel.scale
    rank = {ISTHMUS: 0, NO_VPN: 2}
    sign = 1 if panel.less else -1
    return sorted(found.items(), key=lambda bar: (rank.get(bar[0], 1), sign * bar[1]))


def _panel(panel: Panel, bars: Sequence[tuple[str, float]], left: float, top: float) -> list[str]:
    title = panel.title + " (less is better)" * panel.less
    parts = [f'<text class="title" x="{left}" y="{top + 16}">{escape(title)}</text>']
    room = _PANEL_WIDTH - _LABEL_WIDTH - _VALUE_WIDTH - 2 * _MARGIN
    most = max(value for _, value in bars) or 1.0
    for line, (subject, value) in enumerate(bars):
        y = top + _TITLE_HEIGHT + line * _BAR_STEP
        kind = {ISTHMUS: "own", NO_VPN: "clear"}.get(subject, "bar")
        width = max(1.0, room * value / most)
        text_y = y + _BAR_HEIGHT - 3
        end = left + _LABEL_WIDTH
        label = escape(subject.replace(" kernel-libipsec", " (libipsec)"))
        parts += [
            f'<text x="{end - 8}" y="{text_y}" text-anchor="end">{label}</text>',
            f'<rect class="{kind}" x="{end}" y="{y}" width="{width:.1f}" '
            f'height="{_BAR_HEIGHT}" rx="2"/>',
            f'<text x="{end + width + 6:.1f}" y="{text_y}">{number(value)}</text>',
        ]
    return parts
