"""Silence closes phase 2, phase 1 stays; the next packet brings phase 2 back by one exchange."""

from isthmus.ike.core.events import RuleIdle
from isthmus.policy.connection import Start

from .pair import LEFT, RIGHT, Pair, connection, rule


def idle(pair: Pair) -> None:
    """The left plane saw no traffic for the rule's idle time."""
    pair.left.feed(RuleIdle("site-b", "lan"))


def test_phase_2_goes_and_phase_1_stays() -> None:
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0),))).establish()
    phase1 = pair.left.view().phase1
    idle(pair)
    pair.settle()
    for side in (pair.left, pair.right):
        assert side.view().state == "up"
        assert side.view().rules[0].state == "idle"
        assert side.view().healthy
        assert side.engine.census()["ike_sas"] == 1
    assert pair.left.policies[("site-b", "lan")] == "hold"
    before = len(pair.wire)
    pair.packet(pair.left)
    pair.settle()
    # SK {SA, Ni, KEi, TS} -->  <-- SK {SA, Nr, KEr, TS}: no new authentication.
    assert len(pair.wire) - before == 2
    assert pair.left.view().rules[0].state == "up"
    now = pair.left.view().phase1
    assert phase1 is not None and now is not None and now.spi_i == phase1.spi_i
    pair.advance(6)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_traffic_from_the_other_side_brings_it_back_too() -> None:
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0),))).establish()
    idle(pair)
    pair.settle()
    pair.packet(pair.right)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"


def test_a_packet_that_comes_while_phase_2_closes_is_not_lost() -> None:
    """Outbound is gone before the Delete leaves, so the packet waits; then phase 2 comes back."""
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0),))).establish()
    idle(pair)
    assert not [key for key in pair.left.sas if not key[1]], "nothing leaves any more"
    assert pair.left.policies[("site-b", "lan")] == "hold_quiet"
    pair.packet(pair.left)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"
    assert pair.right.view().rules[0].state == "up"


def test_both_sides_idle_at_once() -> None:
    mirrored = rule(local="10.2.0.0/24", remote="10.1.0.0/24", idle_s=5.0)
    pair = Pair(
        connection("site-b", RIGHT, (rule(idle_s=5.0),)),
        connection("site-a", LEFT, (mirrored,)),
    ).establish()
    idle(pair)
    pair.right.feed(RuleIdle("site-a", "lan"))
    pair.settle()
    pair.advance(6)
    for side in (pair.left, pair.right):
        assert side.view().rules[0].state == "idle" and not side.sas
        assert side.engine.census()["ike_sas"] == 1


def test_phase_1_may_end_too() -> None:
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0),), phase1_idle_s=30.0)).establish()
    idle(pair)
    pair.settle()
    pair.advance(31)
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 0
    assert pair.left.view().healthy
    pair.packet(pair.left)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"


def test_a_rule_that_is_always_up_is_never_idle() -> None:
    pair = Pair(connection("site-b", RIGHT, (rule(idle_s=5.0, start=Start.ALWAYS),)))
    pair.settle()
    idle(pair)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"


def test_down_of_a_tunnel_is_not_idle() -> None:
    pair = Pair().establish()
    pair.down(pair.left)
    pair.settle()
    assert pair.left.view().rules[0].state == "armed"
