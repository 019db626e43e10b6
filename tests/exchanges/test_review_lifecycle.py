"""What a hostile review asked of lifecycles: every rule is tried again, what is closed stays
closed, and every command of the user is answered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.ike.core.commands import Configure, Initiate, Shutdown, Terminate
from isthmus.ike.core.events import InstallFailed, OrphanFound
from isthmus.policy.connection import Configuration, Start
from isthmus.values.address import Endpoint
from isthmus.values.spi import Spi

from .pair import LEFT, RIGHT, Pair, Side, connection, rule
from .scenes import answers, far_side, ike_sas, left_rule, right_rule, states, two_rules

TESTS = Path(__file__).parents[1]


# --- retries --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_two_rules_that_failed_together_may_both_ask_again(seed: int) -> None:
    pair = two_rules(100 + seed)
    pair.packet(pair.left, "r1")
    pair.packet(pair.left, "r2")
    pair.advance(100, deliver=False)
    pair.lose()
    assert pair.left.view().failure is not None
    pair.advance(120)
    assert pair.left.policies == {("b", "r1"): "hold", ("b", "r2"): "hold"}


@pytest.mark.parametrize("seed", range(4))
def test_two_rules_that_are_always_up_both_come_back(seed: int) -> None:
    pair = two_rules(200 + seed, start=Start.ALWAYS)
    pair.advance(100, deliver=False)
    pair.lose()
    pair.advance(300)
    assert states(pair.left) == {"r1": "up", "r2": "up"}


def test_a_packet_for_an_earlier_rule_during_ike_auth_is_not_forgotten() -> None:
    pair = two_rules()
    pair.packet(pair.left, "r2")
    pair.step()
    pair.step()
    pair.packet(pair.left, "r1")
    pair.settle().advance(300)
    assert states(pair.left) == {"r1": "up", "r2": "up"}
    assert len(pair.left.children()) == 2


def nothing_arrives(pair: Pair, seconds: int, *, packets: bool) -> None:
    """The peer is out of reach; with traffic or without."""
    for _ in range(seconds):
        pair.advance(1, deliver=False)
        pair.lose()
        if packets:
            pair.packet(pair.left)


@pytest.mark.parametrize("start", [Start.TRAFFIC, Start.ALWAYS])
def test_a_goodbye_that_nobody_answers_does_not_end_the_retries(start: Start) -> None:
    pair = Pair(
        connection("b", RIGHT, (rule(start=start),)), far_side(local_id="fqdn:other.example")
    )
    by_traffic = start is Start.TRAFFIC
    if by_traffic:
        pair.packet(pair.left)
    for _ in range(4):
        pair.step()
    assert pair.left.view().failure is not None
    pair.lose()  # the goodbye too
    nothing_arrives(pair, 120, packets=by_traffic)
    before = len(pair.left.events("phase1.negotiating"))
    nothing_arrives(pair, 600, packets=by_traffic)
    assert len(pair.left.events("phase1.negotiating")) > before


def usable(side: Side) -> list[Spi]:
    """Inbound SPIs of pairs that carry traffic."""
    return [
        child.spi_in
        for each in side.view().rules
        for child in each.children
        if child.state in ("installed", "rekeying")
    ]


def test_what_the_plane_always_refuses_is_tried_ever_more_rarely() -> None:
    pair = Pair(connection("b", RIGHT, (rule(start=Start.ALWAYS),)))
    for _ in range(600):
        pair.settle()
        for spi in usable(pair.left):
            pair.left.feed(InstallFailed(spi, True, "no room"))
        pair.settle().advance(0.1)
    assert 1 < len(pair.left.events("phase2.up")) < 20


# --- down and shutdown ----------------------------------------------------------------------


def test_down_during_our_renewal_of_phase_1_is_done() -> None:
    pair = Pair().establish()
    pair.rekey(pair.left, 1)
    ticket = pair.left.command(Terminate("site-b", hold=True))
    pair.settle().advance(60)
    assert not pair.left.sas and not pair.right.sas
    assert answers(pair.left, ticket)


def test_shutdown_during_our_renewal_of_phase_1_is_done() -> None:
    pair = Pair().establish()
    pair.rekey(pair.left, 1)
    pair.left.command(Shutdown())
    pair.settle().advance(60)
    assert not pair.right.sas
    assert pair.left.events("daemon.quiet")


def test_nothing_begins_after_shutdown() -> None:
    pair = Pair(connection("b", RIGHT, (rule(start=Start.ALWAYS),)))
    pair.settle()
    assert pair.left.view().state == "up"
    pair.left.command(Shutdown())
    pair.settle().advance(5)
    assert ike_sas(pair)[0] == 0 and not pair.right.sas


def test_a_rule_that_works_outlives_the_refusal_of_its_sibling() -> None:
    pair = Pair(
        connection("b", RIGHT, (rule("bad", "10.9.0.0/24", "10.8.0.0/24"), left_rule(2))),
        far_side(rules=(right_rule(2),)),
    )
    pair.packet(pair.left, "bad")
    pair.packet(pair.left, "r2")
    pair.settle()
    assert states(pair.left)["r2"] == "up"
    pair.advance(20)
    assert states(pair.left)["r2"] == "up"


def test_a_rule_held_down_during_its_renewal_goes_down() -> None:
    pair = Pair().establish()
    pair.rekey(pair.left)
    pair.left.command(Terminate("site-b", "lan", hold=True))
    pair.settle().advance(60)
    assert not pair.left.sas and not pair.right.sas


def test_a_rule_held_down_while_it_is_made_goes_down() -> None:
    pair = Pair()
    pair.packet(pair.left)
    pair.step()
    pair.step()
    pair.left.command(Terminate("site-b", "lan", hold=True))
    pair.settle().advance(60)
    assert not pair.left.sas


def test_a_peer_does_not_bring_up_what_is_held_down() -> None:
    pair = Pair()
    pair.right.command(Terminate("site-a", hold=True))
    pair.packet(pair.left)
    pair.settle()
    assert not pair.right.sas


# --- every command is answered --------------------------------------------------------------


def test_up_that_down_cuts_short_is_answered() -> None:
    pair = Pair()
    ticket = pair.left.command(Initiate("site-b"))
    pair.left.command(Terminate("site-b"))
    pair.lose()
    pair.advance(200)
    assert answers(pair.left, ticket)


def test_up_that_a_new_configuration_cuts_short_is_answered() -> None:
    pair = Pair()
    ticket = pair.left.command(Initiate("site-b"))
    moved = connection("site-b", "198.51.100.77", (rule(),))
    pair.left.command(Configure(Configuration((moved,))))
    pair.lose()
    pair.advance(200, deliver=False)
    assert answers(pair.left, ticket)


def test_down_is_answered_when_a_replaced_ike_sa_goes_last() -> None:
    pair = Pair().establish()
    pair.rekey(pair.right, 1)
    while not pair.left.events("phase1.rekeyed"):
        assert pair.step()
    pair.deliver(pair.left, pair.left.out.pop(0))
    pair.right.out.clear()  # the right's Delete of the old IKE SA is lost
    ticket = pair.left.command(Terminate("site-b"))
    pair.left.out.pop(0)
    pair.settle().advance(120)
    assert ike_sas(pair)[0] == 0
    assert answers(pair.left, ticket)


# --- configuration and restarts -------------------------------------------------------------


def test_a_peer_cannot_finish_for_a_tunnel_that_was_removed_meanwhile() -> None:
    pair = Pair(connection("x", RIGHT, (rule(),), local_id="fqdn:bob.example"))
    alice = far_side("alice", None, remote_id="fqdn:alice.example")
    bob = far_side("bob", None, remote_id="fqdn:bob.example")
    pair.right.command(Configure(Configuration((alice, bob))))
    pair.packet(pair.left)
    pair.step()
    pair.step()
    pair.right.command(Configure(Configuration((alice,))))
    pair.settle()
    assert not pair.right.sas, "a removed tunnel has no SAs that no view shows"


def adoption_order() -> list[str]:
    """In which order rules whose SAs were found in the plane come up."""
    rules = range(6)
    pair = Pair(
        connection("b", RIGHT, tuple(left_rule(n) for n in rules)),
        connection("a", LEFT, tuple(right_rule(n) for n in rules)),
    )
    pair.packet(pair.left, "r0")
    pair.settle()
    for n in rules[1:]:
        orphan = OrphanFound("b", f"r{n}", Spi(5000 + n), False, Endpoint(RIGHT, 500))
        pair.left.feed(orphan)
        pair.left.sas[(orphan.spi, False)] = next(iter(pair.left.sas.values()))
    pair.advance(1)
    return [happening.rule for happening in pair.left.events("phase2.up")]


def test_the_order_of_adoption_does_not_hang_on_the_hash_seed() -> None:
    """The same events, times and seed give the same effects, in every process."""
    code = "from exchanges.test_review_lifecycle import adoption_order; print(adoption_order())"
    orders = set()
    for seed in range(4):
        environment = dict(os.environ, PYTHONHASHSEED=str(seed))
        environment["PYTHONPATH"] = os.pathsep.join((str(TESTS), *filter(None, sys.path)))
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        orders.add(run.stdout)
    assert orders == {f"{adoption_order()}\n"}
    assert len(adoption_order()) == 6
