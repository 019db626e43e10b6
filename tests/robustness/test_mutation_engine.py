"""S-01, S-05, R-03: mutated messages at the engine, most of them behind the integrity check.

Any exception is a failure; so are an SA installed twice or taken out twice, which the pair's host
asserts, and anything that is left when everybody has gone quiet.
"""

from dataclasses import replace
from random import Random

import pytest
from tests.exchanges.pair import PHASE1, PHASE2

from isthmus.wire.header import Header

from .mutation import Mutator
from .scenes import CBC1, CBC2, SCENES, Scene, Stage

MUTANTS = 1250
"""For each of the 16 scenes: 20,000 in all."""
OF_A_STAGE = 24
QUIET_S = 200.0


def mutant(stage: Stage, mutator: Mutator) -> bytes:
    """One damaged datagram for the victim: sealed with real keys two times in three."""
    chance = mutator.chance
    if chance.random() < 1 / 3:
        others = [d.octets for d in stage.pair.wire] or [b""]
        return mutator.datagram(stage.genuine.octets, chance.choice(others))
    first, chain = stage.inside.first, stage.inside.chain
    if chance.random() < 0.9:
        first, chain = mutator.chain(first, chain)
    return stage.written(first, chain, header_of(stage, chance))


def header_of(stage: Stage, chance: Random) -> Header:
    """The genuine header with the ID that is due, or now and then another exchange or ID."""
    header = stage.header
    sa = stage.victim_sa
    if sa is not None and not header.is_response and stage.hand is not None:
        header = replace(header, message_id=sa.window.expected_id)
    match chance.randrange(30):
        case 0:
            header = replace(header, exchange=chance.choice((34, 35, 36, 37, 38, 43, 44, 240)))
        case 1:
            header = replace(header, message_id=chance.choice((0, 1, 2, 3, 2**31, 2**32 - 1)))
        case 2:
            header = replace(header, flags=chance.choice((0, 0x08, 0x20, 0x28)))
    return header


@pytest.mark.parametrize("suite", ["gcm", "cbc"])
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_mutants_of_every_message_are_survived(scene: Scene, suite: str) -> None:
    mutator = Mutator(Random(f"{scene.name} {suite}"))
    proposals = (PHASE1, PHASE2) if suite == "gcm" else (CBC1, CBC2)
    done = 0
    while done < MUTANTS // 2:
        stage = Stage(scene, *proposals)
        for _ in range(OF_A_STAGE):
            stage.deliver(mutant(stage, mutator))
            done += 1
            sa = stage.victim_sa
            if sa is not None and sa.protector is None and stage.hand is not None:
                break
        if mutator.chance.random() < 0.1:
            all_ends_well(stage)


def all_ends_well(stage: Stage) -> None:
    """The genuine message comes too, time passes, and nothing half-made is left."""
    stage.deliver(stage.genuine.octets)
    pair = stage.pair
    pair.settle()
    pair.advance(QUIET_S)
    for side in (pair.left, pair.right):
        census = side.engine.census()
        assert census["half_open"] == census["first_requests"] == 0
        assert census["waiting_computes"] == 0
        assert len(side.sas) <= 2 * census["child_sas"]
