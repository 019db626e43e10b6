"""R-14 over IKEv1: the same worlds, their tunnels in IKEv1 or with one end that speaks either."""

import pytest

from isthmus.ike.core.commands import Configure
from isthmus.ike.v1.offers import expressible_phase1, expressible_phase2, phase2_group
from isthmus.policy.connection import Connection, IkeVersion
from isthmus.simulator.plan import Ordered, Scenario
from isthmus.simulator.run import run_many, run_seed, world_of
from isthmus.simulator.versions import speaking
from isthmus.values.proposal import Proposal
from isthmus.values.registry.ikev2 import TransformType

FEW = range(8)
FEW_OF_EITHER = range(4)
MANY = range(300)
V1, V2, AUTO = IkeVersion.V1, IkeVersion.V2, IkeVersion.AUTO


@pytest.mark.parametrize("seed", FEW)
def test_world(seed: int) -> None:
    outcome = run_seed(seed, ike=V1)
    assert outcome.violation is None, f"{outcome.violation}: make sim SEED={seed} IKE=1 TRACE=1"


@pytest.mark.parametrize("seed", FEW_OF_EITHER)
def test_world_of_either_version(seed: int) -> None:
    outcome = run_seed(seed, ike=AUTO)
    assert outcome.violation is None, f"{outcome.violation}: make sim SEED={seed} IKE=auto TRACE=1"


@pytest.mark.slow
@pytest.mark.parametrize("ike", [V1, AUTO])
def test_three_hundred_worlds(ike: IkeVersion) -> None:
    bad = [o for o in run_many(MANY, processes=2, ike=ike) if not o.is_good]
    assert not bad, "\n".join(f"{o.violation}: make sim SEED={o.seed} IKE={ike}" for o in bad)


def connections(scenario: Scenario) -> dict[tuple[str, str], Connection]:
    """Every end of a tunnel, by host and name."""
    return {
        (host.name, connection.name): connection
        for host in scenario.hosts
        for connection in host.configuration.connections
    }


def test_a_world_is_the_same_in_either_version_but_for_what_its_tunnels_speak() -> None:
    for seed in range(50):
        before, after = world_of(seed), world_of(seed, V1)
        assert speaking(before, V2) is before
        assert after == world_of(seed, V1)
        assert (before.links, before.flows, before.mates) == (after.links, after.flows, after.mates)
        for one, other in zip(before.incidents, after.incidents, strict=True):
            told = isinstance(one, Ordered) and isinstance(one.command, Configure)
            assert one == other or (told and str(one) == str(other))
        assert {c.ike for c in connections(before).values()} == {V2}
        assert {c.ike for c in connections(after).values()} == {V1}


def test_a_reload_leaves_every_tunnel_in_its_version() -> None:
    """Else it would be another tunnel: what changes is the lifetime that the incident is about."""
    seen = 0
    for seed in range(100):
        scenario = world_of(seed, AUTO)
        ends = connections(scenario)
        for incident in scenario.incidents:
            if isinstance(incident, Ordered) and isinstance(incident.command, Configure):
                for c in incident.command.configuration.connections:
                    end = ends[incident.host, c.name]
                    assert (c.ike, c.phase1_proposals, c.rules) == (
                        end.ike,
                        end.phase1_proposals,
                        end.rules,
                    )
                    seen += 1
    assert seen > 20


@pytest.mark.parametrize("ike", [V1, AUTO])
def test_both_ends_of_a_tunnel_have_something_in_common(ike: IkeVersion) -> None:
    """The group of a Quick Mode is not negotiated: each end must take that of the other's first."""
    for seed in range(100):
        scenario = world_of(seed, ike)
        ends = connections(scenario)
        for left, left_tunnel, right, right_tunnel in scenario.mates:
            one, two = ends[left, left_tunnel], ends[right, right_tunnel]
            if not (one.speaks_v1 and two.speaks_v1):
                continue
            assert set(expressible_phase1(one.phase1_proposals)) & set(
                expressible_phase1(two.phase1_proposals)
            )
            for ours, theirs in zip(one.rules, two.rules, strict=True):
                mine, others = (
                    {(p.transforms, _group(p)) for p in expressible_phase2(rule.proposals)}
                    for rule in (ours, theirs)
                )
                for begins in (ours, theirs):
                    group = phase2_group(begins.proposals)
                    assert any(g == group for _, g in mine & others)


def _group(proposal: Proposal) -> int:
    kinds = proposal.of_kind(TransformType.KE)
    return kinds[0].number if kinds else 0


def test_ends_that_speak_either_are_drawn_with_each_other_version() -> None:
    """An end of IKEv1 alone is one that begins by itself, since the other begins in IKEv2."""
    drawn = set()
    for seed in range(200):
        scenario = world_of(seed, AUTO)
        ends = connections(scenario)
        for left, left_tunnel, right, right_tunnel in scenario.mates:
            one, two = ends[left, left_tunnel], ends[right, right_tunnel]
            drawn.add((one.ike, two.ike))
            if one.ike is V1:
                assert one.peer is not None and {r.start.value for r in one.rules} == {"always"}
    assert drawn == {(AUTO, V1), (V1, AUTO), (AUTO, V2), (V2, AUTO), (AUTO, AUTO)}
