"""S-06: timers that are disarmed hours before their time do not pile up."""

from isthmus.ike.core.agenda import STALE_FREE, Agenda, Due, TimerKind
from isthmus.values.time import Instant


def test_timers_of_things_that_come_and_go_do_not_pile_up() -> None:
    """This was a leak of 30 MiB in 200,000 mutants: four timers of hours for each dead SA."""
    agenda = Agenda()
    agenda.arm(("tunnel", "lan"), TimerKind.RETRY, Instant(50_000.0))
    for number in range(20_000):
        owner = ("sa", number)
        for kind in (TimerKind.IKE_REKEY, TimerKind.IKE_EXPIRE, TimerKind.LIVENESS):
            agenda.arm(owner, kind, Instant(10_000.0 + number))
        agenda.disarm(owner, TimerKind.LIVENESS)
        agenda.disarm(owner, TimerKind.LIVENESS)
        agenda.forget(owner)
        agenda.forget(owner)
        assert agenda.size <= 2 * 4 + STALE_FREE
    assert agenda.deadline == 50_000.0
    assert agenda.due(Instant(50_000.0)) == Due(("tunnel", "lan"), TimerKind.RETRY)
    assert agenda.due(Instant(60_000.0)) is None and agenda.size == 0


def test_moved_timers_do_not_pile_up_either_and_fire_once_in_order() -> None:
    agenda = Agenda()
    for at in range(1, 5001):
        for owner in range(10):
            agenda.arm(("sa", owner), TimerKind.LIVENESS, Instant(float(at * 10 + owner)))
            assert agenda.size <= 2 * 10 + STALE_FREE
    fired = []
    while (due := agenda.due(Instant(1e9))) is not None:
        fired.append(due.owner[1])
    assert fired == list(range(10))
