"""Every order of the messages of two gateways that renew, close and open things at once (R-15).

Two orders in which each side lives through the same are one and the same, and only one of them is
tried ("sleep sets"): that makes all orders of a dozen messages few enough.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product

from isthmus.simulator.checks import Violation
from isthmus.simulator.explore import ACTS, NONCE_ORDERS, SIDES, Case, Choice, Play
from isthmus.values.time import Seconds


@dataclass(slots=True)
class Figures:
    """What was tried, and the worst that was seen."""

    schedules: int = 0
    losses: int = 0
    """Schedules in which a message was lost."""
    settled_s: Seconds = 0.0
    requests: int = 0
    messages: int = 0
    packets: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, more: "Figures") -> None:
        """The figures of several parts as one."""
        self.schedules += more.schedules
        self.losses += more.losses
        self.settled_s = max(self.settled_s, more.settled_s)
        self.requests = max(self.requests, more.requests)
        self.messages = max(self.messages, more.messages)
        self.packets += more.packets
        self.violations += more.violations


def pairs_of_acts(*, with_tunnel: bool) -> Iterator[tuple[str, str]]:
    """What left and right do. `with_tunnel`: pairs in which one closes the whole tunnel, too."""
    for left, right in product(ACTS, ACTS):
        if with_tunnel or "delete-ike" not in (left, right):
            yield left, right


def one_loss_each(left: str, right: str, first: int, impatient: int) -> Iterator[Case]:
    """Of the first so many messages of each side one is lost, each in turn. Repeats come once
    nothing else happens any more; so many of them come at any time before."""
    for side, number in product(SIDES, range(first)):
        yield Case((left,), (right,), lost=(side, number), impatient=impatient)


def all_luck(left: str, right: str) -> Iterator[Case]:
    """Nothing is lost: each order of nonces, packets at once or late, with an early repeat or
    without."""
    for nonces, late, impatient in product(range(NONCE_ORDERS), (False, True), (0, 1)):
        yield Case((left,), (right,), None, nonces, late, impatient=impatient)


def explore(case: Case) -> Figures:
    """Try every schedule of a case."""
    return _explore(Play(case), (), frozenset())


def _explore(play: Play, schedule: tuple[Choice, ...], asleep: frozenset[Choice]) -> Figures:
    """Everything that may follow. What sleeps was tried before, and nothing since has met it.

    The states of the engines cannot be copied, processes can: a child of this one tries one
    branch, while this one waits for its figures.
    """
    figures = Figures()
    try:
        while choices := play.choices():
            awake = [choice for choice in choices if choice not in asleep]
            if not awake:
                return figures
            for choice in awake[:-1]:
                after = frozenset(c for c in asleep if c[0] != choice[0])
                figures.add(_in_a_child(partial(_branch, play, (*schedule, choice), after)))
                asleep |= {choice}
            choice = awake[-1]
            asleep = frozenset(c for c in asleep if c[0] != choice[0])
            schedule = (*schedule, choice)
            play.do(choice)
        settled_s = play.settle()
    except Violation as found:
        figures.violations.append(f"{found} in {play.case!r}\nby {schedule}")
        return figures
    figures.add(Figures(1, int(play.lost), settled_s, play.requests, play.messages, play.packets))
    return figures


def _branch(play: Play, schedule: tuple[Choice, ...], asleep: frozenset[Choice]) -> Figures:
    try:
        play.do(schedule[-1])
    except Violation as found:
        return Figures(violations=[f"{found} in {play.case!r}\nby {schedule}"])
    return _explore(play, schedule, asleep)


def _in_a_child(work: Callable[[], Figures]) -> Figures:
    """Do it in a copy of this process. Raises RuntimeError when the copy ends without a word."""
    mine, its = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(mine)
            with os.fdopen(its, "w") as out:
                json.dump(asdict(work()), out)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(its)
    with os.fdopen(mine) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"a branch ended with status {status}")
    return Figures(**json.loads(text))


def replay(case: Case, schedule: tuple[Choice, ...], trace: Callable[[str], None]) -> None:
    """One schedule again, with everything that happens in it. Raises Violation."""
    play = Play(case, trace)
    for choice in schedule:
        play.do(choice)
    play.settle()
