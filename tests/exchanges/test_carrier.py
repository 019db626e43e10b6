"""Route mode: the interface's carrier follows phase 2 and liveness, and dead peers are found in
time."""

import pytest

from isthmus.ike.core.commands import Initiate, Terminate
from isthmus.ike.core.effects import SetCarrier
from isthmus.ike.core.events import OrphanFound
from isthmus.ike.core.retransmit import established
from isthmus.policy.connection import DpdAction, Interface, Liveness, Mode, Start
from isthmus.values.address import Endpoint
from isthmus.values.spi import Spi

from .pair import LEFT, RIGHT, Pair, connection, rule

QUICK = Liveness(every_s=1.0, timeout_s=2.0)


def routed(start: Start = Start.TRAFFIC, liveness: Liveness = QUICK, **more: object) -> Pair:
    """Two gateways with a route-based tunnel between them."""
    anything = {"local": "0.0.0.0/0", "remote": "0.0.0.0/0"}
    left, right = (
        connection(
            name,
            peer,
            (rule(**anything, start=begins),),
            mode=Mode.ROUTE,
            interface=Interface(name),
            liveness=liveness,
            **more,
        )
        for name, peer, begins in (("b", RIGHT, start), ("a", LEFT, Start.TRAFFIC))
    )
    return Pair(left, right)


def changes(pair: Pair) -> list[bool]:
    """What the left interface was told, in order."""
    return [e.up for e in pair.left.effects if isinstance(e, SetCarrier)]


def test_an_armed_interface_has_carrier_or_the_first_packet_would_never_come() -> None:
    pair = routed()
    assert changes(pair) == [True]
    pair.packet(pair.left)
    pair.settle()
    pair.rekey(pair.left)
    pair.settle()
    pair.advance(10)
    assert pair.left.view().rules[0].state == "up"
    assert changes(pair) == [True]


@pytest.mark.parametrize("start", [Start.ALWAYS, Start.LISTEN])
def test_what_no_packet_can_bring_up_has_carrier_only_while_phase_2_stands(start: Start) -> None:
    pair = routed(start)
    assert changes(pair) == [False]
    if start is Start.LISTEN:
        pair.packet(pair.right)
    pair.settle()
    assert changes(pair) == [False, True]
    pair.right.command(Terminate("a"))
    while pair.step():
        if not pair.left.sas:
            break
    assert changes(pair) == [False, True, False]


def test_a_dead_peer_takes_the_carrier_within_interval_and_timeout() -> None:
    pair = routed(Start.ALWAYS).settle()
    assert changes(pair) == [False, True]
    pair.advance(0.5)
    cut_at = pair.now
    while changes(pair)[-1]:
        pair.advance(0.01, deliver=False)
        pair.lose()
        assert pair.now - cut_at < 10
    assert pair.now - cut_at <= QUICK.every_s + QUICK.timeout_s + 0.05


@pytest.mark.parametrize("action", [DpdAction.REARM, DpdAction.RECONNECT])
def test_without_carrier_the_peer_is_called_until_it_answers(action: DpdAction) -> None:
    pair = routed(liveness=Liveness(1.0, 2.0, action)).establish()
    pair.advance(60, deliver=False)
    pair.lose()
    assert changes(pair) == [True, False]
    assert not pair.left.view().healthy
    pair.advance(60)
    assert pair.left.view().rules[0].state == "up"
    assert changes(pair) == [True, False, True]
    pair.agree()


def test_action_nothing_waits_for_traffic_with_carrier() -> None:
    pair = routed(liveness=Liveness(1.0, 2.0, DpdAction.NOTHING)).establish()
    pair.advance(60, deliver=False)
    pair.lose()
    assert pair.left.events("peer.dead")
    assert changes(pair) == [True]
    assert pair.left.view().rules[0].state == "armed"


def test_a_first_attempt_that_fails_takes_the_carrier_and_goes_on() -> None:
    pair = routed()
    pair.packet(pair.left)
    pair.advance(100, deliver=False)
    pair.lose()
    assert pair.left.view().rules[0].state in ("failed", "negotiating")
    assert changes(pair) == [True, False]
    pair.advance(120)
    assert changes(pair) == [True, False, True]


def test_held_down_has_no_carrier() -> None:
    pair = routed().establish()
    pair.left.command(Terminate("b", hold=True))
    pair.settle()
    assert changes(pair) == [True, False]
    pair.advance(300)
    assert not pair.left.sas
    pair.left.command(Initiate("b"))
    pair.settle()
    assert changes(pair) == [True, False, True]


def test_sas_of_before_a_restart_keep_the_carrier() -> None:
    pair = routed(Start.LISTEN)
    for spi, inbound in ((700, True), (800, False)):
        pair.left.feed(OrphanFound("b", "lan", Spi(spi), inbound, Endpoint(RIGHT, 500)))
    assert changes(pair) == [False, True]


def test_policy_mode_has_no_carrier_to_follow() -> None:
    pair = Pair().establish()
    assert changes(pair) == []
    assert pair.left.view().carrier is None


def test_reconnect_needs_no_traffic_in_policy_mode_either() -> None:
    pair = Pair(connection("b", RIGHT, (rule(),), liveness=Liveness(1, 2, DpdAction.RECONNECT)))
    pair.establish().advance(20, deliver=False)
    pair.lose()
    assert not pair.left.sas
    pair.advance(60)
    assert pair.left.view().rules[0].state == "up"


@pytest.mark.parametrize("timeout_s", [1.0, 2.0, 5.0, 40.0, 600.0])
def test_patience_is_kept_to_the_letter(timeout_s: float) -> None:
    """Several repeats, the last not so late that no answer could come, and an end in time."""
    for chance in (0.0, 0.5, 1.0):
        schedule = established(timeout_s)
        at, tries = 0.0, 1
        while not schedule.is_over(tries, at):
            pause = schedule.pause(tries, chance, at)
            assert pause > 0
            at += pause
            tries += 1
        assert at == pytest.approx(timeout_s)
        assert tries >= 4
