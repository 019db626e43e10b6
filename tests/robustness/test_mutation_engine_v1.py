"""S-01, S-05, R-03 for IKEv1: mutated messages at the engine, most of them behind the HASH.

Any exception is a failure; so are an SA installed twice or taken out twice, which the pair's host
asserts, and anything that is left when everybody has gone quiet.
"""

from random import Random

import pytest

from .mutation import OF_V1, Mutator
from .scenes_v1 import SCENES, SceneV1, StageV1

MUTANTS = 600
"""For each of the scenes."""
OF_A_STAGE = 24
QUIET_S = 400.0


@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_mutants_of_every_message_of_ikev1_are_survived(scene: SceneV1) -> None:
    mutator = Mutator(Random(f"IKEv1 {scene.name}"), OF_V1)
    done = 0
    while done < MUTANTS:
        stage = StageV1(scene)
        for _ in range(OF_A_STAGE):
            stage.deliver(stage.mutant(mutator))
            done += 1
            if stage.is_over:
                break
        if mutator.chance.random() < 0.2:
            all_ends_well(stage)


def all_ends_well(stage: StageV1) -> None:
    """The genuine message comes too, time passes, and nothing half-made is left."""
    stage.deliver(stage.genuine.octets)
    pair = stage.pair
    pair.settle()
    pair.advance(QUIET_S)
    for side in (pair.left, pair.right):
        census = side.engine.census()
        assert census["half_open"] == census["first_requests"] == 0
        assert census["waiting_computes"] == census["fragment_octets"] == 0
        assert len(side.sas) <= 2 * census["child_sas"]
