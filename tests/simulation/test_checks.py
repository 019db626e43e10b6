"""Each check bites: what it forbids is done to a world, and the world fails by that rule."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from isthmus.ike.core.effects import InstallSa, RemoveSa, SendDatagram
from isthmus.ike.core.records import Happening
from isthmus.simulator.checks import Violation
from isthmus.simulator.packets import Ike, Outer, Packet
from isthmus.simulator.pairs import flow, pair
from isthmus.simulator.world import World
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi


def standing() -> World:
    """A world in which the tunnel stands and packets pass."""
    flows = (flow("left", "right", 1.0, 1.0, 90.0), flow("right", "left", 1.0, 3.0, 90.0))
    world = World(pair(flows=flows, lossless=True))
    world.run_until(10.0)
    return world


def outbound(world: World, host: str = "left") -> InstallSa:
    planes = world.hosts[host].plane.sas
    return next(sa.made for (_, inbound), sa in planes.items() if not inbound)


def inbound(world: World, host: str = "left") -> InstallSa:
    planes = world.hosts[host].plane.sas
    return next(sa.made for (_, inbound), sa in planes.items() if inbound)


def same_spi_twice(world: World) -> None:
    world.hosts["left"]._perform((outbound(world),))


def spi_of_the_past(world: World) -> None:
    made = inbound(world)
    world.hosts["left"]._perform((RemoveSa(made.spi, True), made))


def other_key_on_the_other_end(world: World) -> None:
    made = replace(inbound(world), spi=Spi(4242), encryption_key=Secret(bytes(20)))
    world.hosts["left"]._perform((made,))
    sent = replace(outbound(world, "right"), spi=Spi(4242), encryption_key=Secret(bytes(19)))
    world.hosts["right"]._perform((sent,))


def same_key_for_two(world: World) -> None:
    world.hosts["left"]._perform((replace(outbound(world), spi=Spi(4242)),))


def number_twice(world: World) -> None:
    plane = world.hosts["left"].plane
    next(sa for (_, inward), sa in plane.sas.items() if not inward).sequence -= 1
    world.run_until(20.0)


def sa_that_nobody_has(world: World) -> None:
    world.hosts["left"]._perform((RemoveSa(Spi(99_999), True),))


def packet_of_no_rule(world: World) -> None:
    world.hosts["left"].plane.policies.clear()
    world._user(0, world.scenario.flows[0])


def packet_that_came_before(world: World) -> None:
    host = world.hosts["right"]
    sa = next(sa for (_, inward), sa in host.plane.sas.items() if inward)
    packet = Packet(1, 0, 0x0A01000A, 0x0A02000A, 1, 0)
    world.checks.delivered_packet(host, packet, sa, 1.0)


def packet_at_the_wrong_host(world: World) -> None:
    host = world.hosts["left"]
    sa = next(sa for (_, inward), sa in host.plane.sas.items() if inward)
    packet = Packet(77_777, 0, 0x0A01000A, 0x0A02000A, 1, 0)
    world.checks.delivered_packet(host, packet, sa, 1.0)


def two_messages_under_one_iv(world: World) -> None:
    host = world.hosts["left"]
    sent = bytearray(100)
    sent[18] = 37
    local = outbound(world).local
    for last in (1, 2):
        sent[-1] = last
        world.checks.transmitted(host, Outer(local, local, Ike(bytes(sent))))


def exchanged(world: World, event: str, direction: str, number: int) -> None:
    detail = (
        ("exchange", "INFORMATIONAL"),
        ("message_id", number),
        ("direction", direction),
        ("spi_i", "aa"),
        ("spi_r", "bb"),
    )
    world.checks.happened(world.hosts["left"], Happening(event, detail=detail))


def request_executed_twice(world: World) -> None:
    exchanged(world, "exchange.received", "request", 1)
    exchanged(world, "exchange.received", "request", 1)


def request_ahead_of_its_turn(world: World) -> None:
    exchanged(world, "exchange.received", "request", 0)
    exchanged(world, "exchange.received", "request", 2)


def request_before_the_last_is_answered(world: World) -> None:
    exchanged(world, "exchange.sent", "request", 5)
    exchanged(world, "exchange.sent", "request", 6)


def answer_to_no_question(world: World) -> None:
    exchanged(world, "exchange.sent", "request", 5)
    exchanged(world, "exchange.received", "response", 4)


def main_mode_began(world: World) -> None:
    """What follows under these cookies is IKEv1."""
    detail = (("exchange", "MAIN_MODE"), ("message_id", 0), ("direction", "request"))
    spis = (("spi_i", "aa"), ("spi_r", "bb"))
    world.checks.happened(world.hosts["left"], Happening("exchange.sent", detail=detail + spis))


def message_of_ikev1_taken_twice(world: World) -> None:
    main_mode_began(world)
    exchanged(world, "exchange.received", "request", 90)
    exchanged(world, "exchange.received", "request", 7)
    exchanged(world, "exchange.received", "request", 90)


def two_messages_of_ikev1_under_one_id(world: World) -> None:
    host = world.hosts["left"]
    sent = bytearray(100)
    sent[17], sent[18], sent[19] = 0x10, 5, 1
    local = outbound(world).local
    for last in (1, 1, 2):
        sent[-1] = last
        world.checks.transmitted(host, Outer(local, local, Ike(bytes(sent))))


def closed_for_silence_under_traffic(world: World) -> None:
    host = world.hosts["left"]
    host.idle_rules = {("to-right", "lan"): 60.0}
    world.run_until(20.0)
    world.checks.happened(host, Happening("phase2.idle", tunnel="to-right", rule="lan"))


def engine_that_raises(world: World) -> None:
    engine = world.hosts["left"].engine

    def broken(*_: object) -> tuple[SendDatagram, ...]:
        raise KeyError("x")

    assert engine is not None
    engine.handle = broken  # type: ignore[method-assign]
    world.run_until(60.0)


def census_that_says(world: World, **figures: int) -> None:
    engine = world.hosts["left"].engine
    assert engine is not None
    census = {**engine.census(), **figures}
    engine.census = lambda: census  # type: ignore[method-assign]
    world.run_until(60.0)


def timer_of_the_dead(world: World) -> None:
    census_that_says(world, dead_timers=1)


def half_open_for_ever(world: World) -> None:
    census_that_says(world, oldest_half_open_s=60)


def packet_lost(world: World) -> None:
    world.checks.quiet_at = 1.0
    world.checks.sent(Packet(77_777, 0, 1, 2, 1, 0), 1.0)
    world.checks.ended()


def leftover_pair(world: World) -> None:
    """A pair that only one side has."""
    host = world.hosts["left"]
    made = replace(inbound(world), spi=Spi(4242), encryption_key=Secret(bytes(18)))
    host._perform((made,))
    world.run_until(300.0)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (same_spi_twice, "spi_twice"),
        (spi_of_the_past, "spi_twice"),
        (other_key_on_the_other_end, "keys_differ"),
        (same_key_for_two, "key_twice"),
        (number_twice, "sequence_twice"),
        (sa_that_nobody_has, "sa_unknown_to_plane"),
        (packet_of_no_rule, "left_in_clear"),
        (packet_that_came_before, "delivered_twice"),
        (packet_at_the_wrong_host, "wrong_host"),
        (two_messages_under_one_iv, "iv_twice"),
        (two_messages_of_ikev1_under_one_id, "iv_twice"),
        (request_executed_twice, "executed_twice"),
        (message_of_ikev1_taken_twice, "executed_twice"),
        (request_ahead_of_its_turn, "window"),
        (request_before_the_last_is_answered, "window"),
        (answer_to_no_question, "window"),
        (closed_for_silence_under_traffic, "not_idle"),
        (engine_that_raises, "engine_raised"),
        (timer_of_the_dead, "timer_of_the_dead"),
        (half_open_for_ever, "half_open_lives_on"),
        (packet_lost, "packet_lost"),
        (leftover_pair, "never_quiet"),
    ],
)
def test_what_is_forbidden_fails_the_world(wrong: Callable[[World], None], rule: str) -> None:
    world = standing()
    with pytest.raises(Violation) as found:
        wrong(world)
    assert found.value.rule == rule
