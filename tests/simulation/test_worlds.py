"""R-14: seeded worlds of an hour each. `make sim` runs 500; these are the first few."""

import pytest

from isthmus.simulator.run import run_many, run_seed
from isthmus.simulator.scenario import LOSS_MAX, draw

FEW = range(24)
MANY = range(500)


@pytest.mark.parametrize("seed", FEW)
def test_world(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.violation is None, f"{outcome.violation}: make sim SEED={seed} TRACE=1"


@pytest.mark.slow
def test_five_hundred_worlds() -> None:
    bad = [o for o in run_many(MANY, processes=2) if not o.is_good]
    assert not bad, "\n".join(f"{o.violation}: make sim SEED={o.seed} TRACE=1" for o in bad)


def test_worlds_are_as_different_as_they_should_be() -> None:
    """What the drawing promises is drawn: every kind of incident, losses up to 20 %, NATs, both
    kinds of world, one and two spokes."""
    worlds = [draw(seed) for seed in range(200)]
    kinds = {type(i).__name__ for w in worlds for i in w.incidents}
    assert kinds == {"Cut", "NatForgets", "Killed", "Ordered"}
    losses = [link.weather.loss for w in worlds for link in w.links]
    assert max(losses) > 0.95 * LOSS_MAX and min(losses) == 0.0
    assert {w.lossless for w in worlds} == {True, False}
    assert {len(w.hosts) for w in worlds} == {2, 3}
    assert any(h.nat is not None for w in worlds for h in w.hosts)
    assert all(i.at_s < w.heal_s for w in worlds for i in w.incidents)
    assert all(w.end_s == 3600.0 for w in worlds)
