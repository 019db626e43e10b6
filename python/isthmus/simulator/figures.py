"""Small worlds, each made for one figure of the security guide (sections 4 and 7).

Each function here takes a seed and gives what is counted; tests ask for some seeds, the campaign
for all (`make sim-campaign`).
"""

import hashlib
from dataclasses import dataclass
from random import Random

from isthmus.ike.core.commands import Rekey
from isthmus.policy.connection import Start
from isthmus.simulator.checks import Violation
from isthmus.simulator.link import Weather
from isthmus.simulator.pairs import Timings, flow, pair
from isthmus.simulator.plan import Incident, Killed, Ordered
from isthmus.simulator.scenario import draw
from isthmus.simulator.world import Outcome, World
from isthmus.values.time import Seconds

HANDSHAKE_WITHIN_S: Seconds = 60.0
OPEN_WITHIN_S: Seconds = 30.0
STEADY_UNTIL_S: Seconds = 60.0
"""Nothing comes up or goes from `OPEN_WITHIN_S` until here."""
DISORDER_S: Seconds = 400.0
TENTH, THIRD, HALF = 0.1, 0.3, 0.5
LOSS_SHARES = ((0.05, 1.0), (TENTH, 1.0), (THIRD, 0.999), (HALF, 0.98))
"""R-17: by what a road loses, the share of handshakes that succeed within a minute."""
P95_AT_TENTH_S: Seconds = 6.0


def first_packet_s(loss: float, seed: int) -> Seconds | None:
    """F-01, R-17: how long until the first packet is through; None when a minute is not enough."""
    world = World(
        pair(
            seed,
            Weather(delay_s=0.05, jitter_s=0.02, loss=loss),
            (flow("left", "right", 1.0, 0.0, HANDSHAKE_WITHIN_S),),
            heal_s=HANDSHAKE_WITHIN_S,
            end_s=HANDSHAKE_WITHIN_S,
        )
    )
    while not world.checks.delivered and world.step():
        pass
    return world.clock.elapsed if world.checks.delivered else None


@dataclass(frozen=True, slots=True)
class Opened:
    """How two that started at once ended."""

    seed: int
    crossed: bool
    """Both made an IKE SA of their own."""
    trouble: str = ""


def opened(seed: int) -> Opened:
    """F-11, R-16: both start at once or nearly so; one IKE SA is left within 30 s, and stays."""
    chance = Random(f"{seed}/opened")
    delay_s = chance.choice((0.0005, 0.01, 0.05, 0.3, 1.0))
    apart_s = chance.choice((0.0, 0.0, delay_s, 2 * delay_s, 4 * delay_s)) * chance.random()
    always = chance.choice((Start.ALWAYS, Start.TRAFFIC))
    stop_s = OPEN_WITHIN_S - 6.0
    world = World(
        pair(
            seed,
            Weather(
                delay_s,
                chance.choice((0.0, delay_s / 4, 2 * delay_s)),
                repeat=chance.choice((0, 0.2)),
            ),
            flows=(
                flow("left", "right", 7.0, 1.0, stop_s),
                flow("right", "left", 7.0, 1.0 + apart_s, stop_s),
            ),
            heal_s=STEADY_UNTIL_S,
            end_s=STEADY_UNTIL_S,
            left_start=always,
            right_start=chance.choice((Start.ALWAYS, Start.TRAFFIC)),
            lossless=True,
            job_max_s=chance.choice((0.001, 0.1)),
            lasts=Timings(every_s=25.0),
        )
    )
    try:
        world.run_until(OPEN_WITHIN_S)
        trouble = world.checks.is_quiet() or ""
        if world.checks.outstanding:
            trouble = trouble or f"packets were lost: {world.checks.outstanding}"
        watched = ("phase1.up", "phase1.down", "phase2.up", "phase2.down")
        before = [world.figures.get(event, 0) for event in watched]
        world.run_until(STEADY_UNTIL_S - 0.001)
        after = [world.figures.get(event, 0) for event in watched]
        if before != after:
            trouble = trouble or f"it flaps: {before} became {after}"
    except Violation as found:
        return Opened(seed, False, str(found))
    return Opened(seed, world.figures.get("phase1.up", 0) > 2, trouble)


def disordered(seed: int) -> Outcome:
    """F-02, R-18: a road that reorders, delays up to 4 s and brings most things two or three times,
    under renewals of both sides. The checks of every step say what may not be; `repeats` of the
    figures counts what came again."""
    chance = Random(f"{seed}/disordered")
    incidents: list[Incident] = []
    for _ in range(8):
        at = round(chance.uniform(30.0, DISORDER_S - 190.0), 3)
        phase = chance.choice((1, 2))
        incidents += [
            Ordered(at, "left", Rekey("to-right", None, phase)),
            Ordered(
                round(at + chance.choice((0.0, 0.5)), 3), "right", Rekey("to-left", None, phase)
            ),
        ]
    scenario = pair(
        seed,
        Weather(
            delay_s=chance.choice((0.02, 0.5, 2.0)),
            jitter_s=chance.choice((0.5, 1.0, 2.0)),
            loss=chance.choice((0.0, 0.05)),
            repeat=chance.choice((0.5, 1.0)),
        ),
        (
            flow("left", "right", 2.0, 1.0, DISORDER_S - 20.0),
            flow("right", "left", 2.0, 1.0, DISORDER_S - 20.0),
        ),
        tuple(incidents),
        heal_s=DISORDER_S - 185.0,
        end_s=DISORDER_S,
        lasts=Timings(every_s=20.0, timeout_s=60.0),
    )
    return World(scenario).run()


def digest(seed: int, until_s: Seconds) -> str:
    """R-19: of everything that happens in a world until then."""
    told = hashlib.sha256()
    world = World(draw(seed), lambda line: told.update(line.encode()))
    world.run_until(until_s)
    return told.hexdigest()


RENEWALS_AT_S: Seconds = 20.0


def crashed(side: str, step: int) -> Outcome | None:
    """F-15, R-22: the IKE process of a side is killed after that many of its events, in a world
    that opens and then renews phase 2 and phase 1 from both sides at once, and is started again
    0.7 s later. None when there are not so many events."""
    scenario = pair(
        4,
        flows=(flow("left", "right", 0.5, 1.0, 250.0), flow("right", "left", 0.5, 1.0, 250.0)),
        incidents=tuple(
            Ordered(RENEWALS_AT_S + 2.0 * n, name, Rekey(tunnel, None, phase))
            for n, phase in enumerate((2, 1))
            for name, tunnel in (("left", "to-right"), ("right", "to-left"))
        ),
        heal_s=40.0,
        end_s=280.0,
        lasts=Timings(every_s=5.0, timeout_s=10.0),
    )
    world = World(scenario)
    while world.steps_of(side) < step and world.step(RENEWALS_AT_S + 5.0):
        pass
    if world.steps_of(side) < step:
        return None
    now_s = world.clock.elapsed
    world.add(Killed(now_s, now_s + 0.7, side, ike=True, plane=False))
    return world.run()
