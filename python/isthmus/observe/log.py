"""Happenings as log lines: one JSON object a line, or one line for a human.

Text in a happening may come from a stranger (an identity, a vendor ID), so nothing that could
break a line or move a terminal's cursor is let through.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache

from isthmus.ike.core.records import Happening

Fact = str | int | float | bool

EVENT_VERSION = 1
"""Version of the event line; it grows only when a field changes its meaning."""

TEXT_MAX = 1024
"""Characters of one text in a line; longer ones are cut."""

RESERVED = ("v", "ts", "event", "tunnel", "rule", "message", "code", "ticket")
"""Keys with a fixed meaning; a detail of the same name is written as `detail_NAME`."""


def timestamp(time_s: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with milliseconds."""
    # Rounded first, so that 0.9996 s does not print as a thousandth millisecond.
    seconds, milliseconds = divmod(round(time_s * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(2)
def _second(seconds: int) -> str:
    """A whole second, without the zone: many lines are of the same one."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def event_fields(happening: Happening, time_s: float) -> dict[str, Fact]:
    """The event line as a flat mapping (PRODUCT-GUIDE d.4); empty texts are left out."""
    fields: dict[str, Fact] = {
        "v": EVENT_VERSION,
        "ts": timestamp(time_s),
        "event": happening.event,
    }
    for key in ("tunnel", "rule", "code", "message"):
        text = getattr(happening, key)
        if text:
            fields[key] = clean(text)
    if happening.ticket is not None:
        fields["ticket"] = happening.ticket
    for key, value in happening.detail:
        name = f"detail_{key}" if key in RESERVED else key
        fields[name] = clean(value) if isinstance(value, str) else value
    return fields


def json_line(fields: dict[str, Fact]) -> str:
    """One line of JSON without its line end."""
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


def human_line(fields: dict[str, Fact]) -> str:
    """One line for a human, without time: journald and terminals add their own.

    `phase2.up partner/payroll: 1 pair of SAs installed (spi_in=0xc4a1d2e0)`.
    """
    where = "/".join(str(fields[key]) for key in ("tunnel", "rule") if key in fields)
    line = str(fields["event"])
    if where:
        line += f" {where}"
    said = " ".join(str(fields[key]) for key in ("code", "message") if key in fields)
    if said:
        line += f": {said}"
    facts = [f"{key}={value}" for key, value in fields.items() if key not in RESERVED]
    if facts:
        line += f" ({', '.join(facts)})"
    return line


def clean(text: str) -> str:
    """The text with every character that is not printable escaped, and cut to `TEXT_MAX`."""
    cut = text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
