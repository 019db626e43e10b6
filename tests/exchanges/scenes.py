"""Scenes and questions that several tests share."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import Phase1View
from isthmus.policy.connection import ChildPolicy, Connection
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag
from isthmus.wire.header import Header
from isthmus.wire.v2.message import Payload, decode_message
from robustness.hand import sa_with

from .pair import LEFT, PHASE1, RIGHT, Pair, Side, connection, rule

FAR_RULE = rule(local="10.2.0.0/24", remote="10.1.0.0/24")
"""The right's half of the rule that `rule()` is the left's half of."""
STRANGER = Endpoint("203.0.113.66", 500)


def left_rule(n: int, **more: Any) -> ChildPolicy:
    """Rule r1, r2... as the left has it."""
    return rule(f"r{n}", f"10.1.{n}.0/24", f"10.2.{n}.0/24", **more)


def right_rule(n: int, **more: Any) -> ChildPolicy:
    """The other half of `left_rule`."""
    return rule(f"r{n}", f"10.2.{n}.0/24", f"10.1.{n}.0/24", **more)


def two_rules(seed: int = 7, **of_left: Any) -> Pair:
    """Left and right with rules r1 and r2, and nothing up."""
    return Pair(
        connection("b", RIGHT, (left_rule(1, **of_left), left_rule(2, **of_left))),
        connection("a", LEFT, (right_rule(1), right_rule(2))),
        seed=seed,
    )


def first_of_two(seed: int = 7) -> Pair:
    """Rules r1 and r2, of which r1 is up."""
    pair = two_rules(seed)
    pair.packet(pair.left, "r1")
    return pair.settle()


def far_side(
    name: str = "a",
    peer: str | None = LEFT,
    rules: tuple[ChildPolicy, ...] = (FAR_RULE,),
    proposals: tuple[str, ...] = PHASE1,
    **more: Any,
) -> Connection:
    """The right's tunnel."""
    return connection(name, peer, rules, proposals, **more)


def states(side: Side) -> dict[str, str]:
    """What status says of each rule."""
    return {r.name: str(r.state) for r in side.view().rules}


def mirrored(pair: Pair) -> bool:
    """Both sides show the same pairs."""
    return pair.left.children() == {(out, into) for into, out in pair.right.children()}


def ike_sas(pair: Pair) -> tuple[int, int]:
    """How many IKE SAs the left and the right have."""
    return pair.left.engine.census()["ike_sas"], pair.right.engine.census()["ike_sas"]


def answers(side: Side, ticket: int) -> list[Happening]:
    """How a command of the user ended: nothing while it goes on."""
    ends = ("command.done", "command.failed")
    return [h for h in side.happenings if h.ticket == ticket and h.event in ends]


def ask_again(pair: Pair, side: Side, rule_name: str, times: int = 60) -> None:
    """Packets keep coming, every two seconds."""
    for _ in range(times):
        pair.packet(side, rule_name)
        pair.settle()
        pair.advance(2)


def phase1(side: Side) -> Phase1View:
    """The IKE SA that stands."""
    found = side.view().phase1
    assert found is not None, "phase 1 is up"
    return found


def header_from(pair: Pair, side: Side, exchange: ExchangeType) -> Header:
    """That of the next request of this side over the IKE SA that stands."""
    seen = phase1(side)
    spi_i, spi_r = bytes.fromhex(seen.spi_i), bytes.fromhex(seen.spi_r)
    sent = [
        header.message_id
        for header in (decode_message(d.octets).header for d in pair.wire)
        if header.spi_i == spi_i
        and not header.is_response
        and header.from_initiator == seen.initiated
    ]
    return Header(
        spi_i,
        spi_r,
        0,
        exchange=exchange,
        flags=HeaderFlag.INITIATOR if seen.initiated else HeaderFlag.NONE,
        message_id=max(sent, default=-1) + 1,
    )


def seal_request(
    pair: Pair, side: Side, exchange: ExchangeType, payloads: tuple[Payload, ...], n: int = 0
) -> bytes:
    """The n-th next request of a side that writes what an honest engine would not, sealed with the
    side's own keys."""
    header = header_from(pair, side, exchange)
    own_spi = header.spi_i if header.from_initiator else header.spi_r
    sa = sa_with(side.engine, own_spi)
    assert sa is not None and sa.protector is not None
    return sa.protector.seal(replace(header, message_id=header.message_id + n), payloads)


def from_stranger(side: Side, octets: bytes, source: Endpoint = STRANGER) -> None:
    """A datagram that anybody could have written."""
    side.feed(DatagramReceived(Endpoint(side.address, 500), source, octets))


def steps_of(work: Callable[[], object]) -> int:
    """How many lines of Python some work takes: its cost, the same on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count
