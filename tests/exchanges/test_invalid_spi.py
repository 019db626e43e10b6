"""A peer that has lost a Child SA says so by INVALID_SPI (RFC 7296 §1.5)."""

import pytest

from isthmus.ike.v2.purposes import ForProbe
from isthmus.ike.v2.transport import notify, send_request
from isthmus.values.registry.ikev2 import ExchangeType, NotifyType
from isthmus.values.spi import Spi, spi_octets
from isthmus.values.time import Instant

from .pair import Pair


def complain(pair: Pair, data: bytes) -> None:
    """The right says that it does not know this SPI, under its keys."""
    engine = pair.right.engine
    (sa,) = engine._sas.values()
    engine._ctx.now = Instant(pair.now)
    payload = notify(NotifyType.INVALID_SPI, data)
    send_request(engine._ctx, sa, ExchangeType.INFORMATIONAL, (payload,), ForProbe())
    (effect,) = (e for e in engine._ctx.effects if type(e).__name__ == "SendDatagram")
    engine._ctx.effects.clear()
    pair.deliver(pair.right, effect)
    pair.settle()


def inbound_of_right(pair: Pair) -> Spi:
    (sa,) = pair.right.engine._sas.values()
    (child,) = sa.children.values()
    return child.spi_in


def test_a_pair_that_the_peer_has_lost_is_closed_and_traffic_makes_another() -> None:
    pair = Pair().establish()
    pair.advance(6.0)
    lost = inbound_of_right(pair)
    complain(pair, spi_octets(lost))
    assert pair.left.events("phase2.unknown_to_peer")
    pair.advance(30.0)
    assert not pair.left.view().rules[0].children
    assert pair.left.view().phase1 is not None
    pair.packet(pair.left)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"
    assert inbound_of_right(pair) != lost


@pytest.mark.parametrize("case", ["young", "another's", "short", "none"])
def test_nothing_else_is_closed_by_that(case: str) -> None:
    pair = Pair().establish()
    lost = spi_octets(inbound_of_right(pair))
    if case != "young":
        pair.advance(6.0)
    data = {"young": lost, "another's": b"\x11\x22\x33\x44", "short": lost[:3], "none": b""}[case]
    complain(pair, data)
    pair.advance(30.0)
    assert not pair.left.events("phase2.unknown_to_peer")
    assert len(pair.left.view().rules[0].children) == 1
