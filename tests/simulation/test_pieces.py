"""Worlds whose gateways send their IKE messages in pieces (RFC 7383)."""

from dataclasses import replace

import pytest

from isthmus.policy.connection import Configuration, Fragmentation
from isthmus.simulator.checks import Checks
from isthmus.simulator.host import Host
from isthmus.simulator.packets import Ike, Outer
from isthmus.simulator.plan import Scenario
from isthmus.simulator.scenario import draw
from isthmus.simulator.world import World
from isthmus.values.registry.ikev2 import PayloadType

SMALL = Fragmentation(size=160)


def in_pieces(scenario: Scenario) -> Scenario:
    """The same world, with every gateway cutting as finely as it can."""
    return replace(
        scenario,
        hosts=tuple(
            replace(
                host,
                configuration=Configuration(
                    tuple(replace(c, fragmentation=SMALL) for c in host.configuration.connections)
                ),
            )
            for host in scenario.hosts
        ),
    )


@pytest.mark.parametrize(("seed", "lossless"), [(1, True), (2, False), (3, False)])
def test_a_world_of_small_pieces_holds(
    seed: int, lossless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewals of both phases crossing, NATs, loss: each piece meets them for itself."""
    counts = {"pieces": 0, "whole": 0}
    real = Checks.transmitted

    def counted(checks: Checks, host: Host, outer: Outer) -> None:
        if isinstance(outer.content, Ike):
            first = outer.content.octets[16]
            counts["pieces"] += first == PayloadType.SKF
            counts["whole"] += first == PayloadType.SK
        real(checks, host, outer)

    monkeypatch.setattr(Checks, "transmitted", counted)
    outcome = World(in_pieces(draw(seed, lossless))).run()
    assert outcome.is_good, outcome.violation
    assert counts["pieces"] > 100 and counts["whole"] > 100
    assert outcome.figures["phase1.rekeyed"] > 0 and outcome.figures["phase2.rekeyed"] > 0


def test_worlds_are_drawn_with_all_kinds_of_ends() -> None:
    drawn = {
        connection.fragmentation
        for seed in range(60)
        for host in draw(seed).hosts
        for connection in host.configuration.connections
    }
    assert {f.size for f in drawn if f.enabled} == {1280, 220, 160}
    assert any(not f.enabled for f in drawn)
