"""Many tunnels whose SAs were found in the plane are made anew a few at a time."""

from isthmus.ike.core.commands import Configure
from isthmus.ike.core.events import DeadlineReached, OrphanFound
from isthmus.ike.lifecycle.adoption import AT_ONCE_MAX, TURN_S, Adoption
from isthmus.policy.connection import Configuration
from isthmus.values.address import Endpoint
from isthmus.values.spi import Spi
from isthmus.values.time import Instant
from isthmus.wire.header import Header

from .pair import RIGHT, Pair, connection, rule

TUNNELS = 40


def begun(pair: Pair, seconds: float) -> set[bytes]:
    """Who of the left side has called on a road where nobody answers: initiators' SPIs."""
    found = set()
    for _ in range(round(seconds * 20)):
        pair.now += 0.05
        pair.left.feed(DeadlineReached())
        found |= {Header.decode(datagram.octets).spi_i for datagram in pair.left.out}
        pair.left.out.clear()
    return found


def test_those_who_do_not_answer_hold_the_others_up_for_two_seconds_only() -> None:
    pair = Pair()
    tunnels = tuple(
        connection(f"t{n}", RIGHT, (rule(f"r{n}", remote=f"10.{n}.0.0/24"),))
        for n in range(TUNNELS)
    )
    pair.left.command(Configure(Configuration(tunnels)))
    for n in range(TUNNELS):
        pair.left.feed(OrphanFound(f"t{n}", f"r{n}", Spi(5000 + n), False, Endpoint(RIGHT, 500)))
    first = begun(pair, 1.0)
    assert len(first) == AT_ONCE_MAX
    second = begun(pair, TURN_S + 1.0)
    assert AT_ONCE_MAX < len(first | second) <= 2 * AT_ONCE_MAX
    assert len(first | second | begun(pair, TURN_S + 1.0)) == TUNNELS


def test_who_is_done_makes_room_at_once() -> None:
    adoption, now = Adoption(), Instant(5.0)
    for n in range(AT_ONCE_MAX + 2):
        adoption.ask(f"t{n}")
    turns = [adoption.next(now) for _ in range(AT_ONCE_MAX + 1)]
    assert turns == [*(f"t{n}" for n in range(AT_ONCE_MAX)), None]
    assert adoption.waits(f"t{AT_ONCE_MAX}")
    adoption.done("t3")
    assert [adoption.next(now), adoption.next(now)] == [f"t{AT_ONCE_MAX}", None]
    adoption.done("t3")
    assert adoption.next(now) is None, "who had no turn gives none free"
