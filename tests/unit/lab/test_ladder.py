"""The ladder of the last negotiation, from event lines."""

from typing import Any

from isthmus.lab.ladder import last_negotiation, render


def event(at_ms: int, kind: str, **facts: object) -> dict[str, Any]:
    return {"v": 1, "ts": f"2026-11-23T09:41:07.{at_ms:03d}Z", "event": kind, **facts}


def message(at_ms: int, way: str, exchange: str, direction: str) -> dict[str, Any]:
    facts = {"exchange": exchange, "direction": direction, "payloads": "SK{...}"}
    return event(at_ms, f"exchange.{way}", **facts)


FIRST = [
    event(0, "phase1.negotiating", tunnel="site-b", message="phase 1 starts"),
    message(1, "sent", "IKE_SA_INIT", "request"),
    message(12, "received", "IKE_SA_INIT", "response"),
    message(14, "sent", "IKE_AUTH", "request"),
    message(29, "received", "IKE_AUTH", "response"),
    event(30, "phase1.up", message="phase 1 is up"),
    event(30, "phase2.up", rule="lan", message="phase 2 is up"),
]


def test_nothing_negotiated_is_said() -> None:
    """Before any traffic there is nothing to draw."""
    assert render([]).startswith("nothing has been negotiated yet")


def test_arrows_point_the_way_and_show_what_was_encrypted() -> None:
    """Times count from the first event; dashes are clear, double lines encrypted."""
    lines = render(FIRST).splitlines()
    assert lines[0].split() == ["gw-a", "gw-b"]
    assert lines[2].startswith(" +0.001  IKE_SA_INIT ---") and "-> " in lines[2]
    assert lines[3].startswith(" +0.012  <---") and "--- IKE_SA_INIT" in lines[3]
    assert lines[4].startswith(" +0.014  IKE_AUTH ===")
    assert lines[7] == " +0.030  phase 2 is up"


def test_only_the_last_negotiation_is_drawn() -> None:
    """A rekey, and an answer that leaves after the SAs stand, belong to it; the first does not."""
    rekey = [
        message(500, "received", "CREATE_CHILD_SA", "request"),
        event(510, "phase2.up", rule="lan", message="phase 2 is up"),
        message(511, "sent", "CREATE_CHILD_SA", "response"),
    ]
    later = [message(600, "sent", "INFORMATIONAL", "request")]
    wanted = [event(0, "traffic.wanted", rule="lan", message="held")]
    assert last_negotiation(wanted + FIRST) == wanted + FIRST
    assert last_negotiation(FIRST + rekey + later) == rekey
