"""A negotiation as a ladder: both gateways as columns, time downwards.

Drawn from one daemon's event lines (`isthmus log --json`), so it shows what that daemon sent and
received and when, in milliseconds since the first event shown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

Event = Mapping[str, Any]

_CLEAR_EXCHANGES: Final = ("IKE_SA_INIT",)
_SENT, _RECEIVED, _REPEATED = "exchange.sent", "exchange.received", "exchange.repeated"
_BEGINNINGS: Final = ("phase1.negotiating", "phase2.negotiating")
_ENDINGS: Final = ("phase1.failed", "phase2.failed", "phase1.down", "phase2.down")
_UP: Final = "phase2.up"
_WANTED: Final = "traffic.wanted"
_ARROW_WIDTH: Final = 50
_LEGEND: Final = "        ---- clear     ==== encrypted"
# A packet that waits is told just before the negotiation that it causes.
_TRIGGER_S: Final = 0.05


def last_negotiation(events: Sequence[Event]) -> list[Event]:
    """The events from what set off the last negotiation to its end or to now; empty when none."""
    begins: int | None = None
    over = True
    for at, event in enumerate(events):
        if event["event"] in _BEGINNINGS or (over and _opens(event)):
            if over:
                begins, over = at, False
        elif event["event"] == _UP or event["event"] in _ENDINGS:
            over = True
    if begins is None:
        return []
    found = list(events[begins:])
    for end, event in enumerate(found):
        if event["event"] in (_UP, *_ENDINGS):
            found = found[: end + 1] + _epilogue(found[end + 1 :])
            break
    trigger = begins - 1
    while trigger >= 0 and _is_trigger(events[trigger], found[0]):
        found.insert(0, events[trigger])
        trigger -= 1
    return found


def _opens(event: Event) -> bool:
    return bool(event["event"] == _RECEIVED and event.get("direction") == "request") and (
        event.get("exchange") in ("IKE_SA_INIT", "CREATE_CHILD_SA")
    )


def _is_trigger(event: Event, first: Event) -> bool:
    return event["event"] == _WANTED and _seconds(first) - _seconds(event) <= _TRIGGER_S


def _epilogue(rest: Sequence[Event]) -> list[Event]:
    """What belongs to the end: a reply that left after the SAs stood."""
    kept: list[Event] = []
    for event in rest:
        if event["event"] not in (_SENT, "phase1.up", _UP) and not str(event["event"]).startswith(
            "packet"
        ):
            break
        if event["event"] == _SENT and event.get("direction") == "request":
            break
        kept.append(event)
    return kept


def _seconds(event: Event) -> float:
    return datetime.fromisoformat(str(event["ts"])).timestamp()


def render(events: Sequence[Event], left: str = "gw-a", right: str = "gw-b") -> str:
    """The last negotiation as text, or a sentence when there was none."""
    found = last_negotiation(events)
    if not found:
        return "nothing has been negotiated yet; send some traffic first"
    start = _seconds(found[0])
    lines = [f" {left:<41}{right}"]
    for event in found:
        lines.append(f" {_seconds(event) - start:+.3f}  {_line(event)}".rstrip())
    lines.append(_LEGEND)
    return "\n".join(lines)


def _line(event: Event) -> str:
    kind = event["event"]
    if kind in (_SENT, _RECEIVED, _REPEATED):
        exchange = str(event.get("exchange", ""))
        shaft = "-" if exchange in _CLEAR_EXCHANGES else "="
        drawn = shaft * (_ARROW_WIDTH - len(exchange) - 3)
        arrow = f"<{drawn} {exchange} " if kind == _RECEIVED else f"{exchange} {drawn}> "
        what = event.get("payloads", "") if kind != _REPEATED else f"sent again, {event['message']}"
        return f"{arrow:<{_ARROW_WIDTH}}  {what}"
    code = f"{event['code']} " if event.get("code") else ""
    return f"{code}{event.get('message') or kind}"
