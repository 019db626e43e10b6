"""Aggressive Mode between two engines: only where both ends ask for it by name."""

from dataclasses import replace

import pytest

from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import Compute, JudgePeer
from isthmus.policy.connection import Configuration, V1Terms
from isthmus.values.address import Endpoint
from isthmus.values.secret import Secret

from .pair import LEFT, Keys, Pair
from .pki import trust
from .scenes import from_stranger
from .test_certificates import CERT, LEFT_ID, RIGHT_ID, ROOT, keys, leaf
from .v1 import two_sites

AGGRESSIVE: dict[str, object] = {"v1": V1Terms(aggressive=True), "allow_weak": True}


def started(pair: Pair) -> Pair:
    pair.left.command(Initiate("site-b"))
    return pair.settle()


def test_three_messages_make_phase_1() -> None:
    pair = started(two_sites(left=AGGRESSIVE, right=AGGRESSIVE)).advance(1.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    assert {side.view().version for side in (pair.left, pair.right)} == {"IKEv1 aggressive"}
    assert [datagram.octets[18] for datagram in pair.wire[:3]] == [4, 4, 4]
    assert pair.wire[3].octets[18] == 32, "a Quick Mode follows at once"
    pair.agree()


def test_a_responder_that_has_not_asked_for_it_does_not_answer() -> None:
    pair = started(two_sites(left=AGGRESSIVE))
    assert pair.right.out == []
    assert pair.wire and all(datagram.local.address == pair.left.address for datagram in pair.wire)
    assert [h.detail[0] for h in pair.right.events("datagram.dropped")] == [
        ("reason", "aggressive_is_off")
    ]


def test_main_mode_is_not_taken_where_aggressive_mode_is_asked_for() -> None:
    pair = started(two_sites(right=AGGRESSIVE))
    assert pair.right.out == []


def test_a_stranger_learns_nothing_by_another_name() -> None:
    pair = started(
        two_sites(left={**AGGRESSIVE, "local_id": "fqdn:somebody.example"}, right=AGGRESSIVE)
    )
    assert all(datagram.local.address == pair.left.address for datagram in pair.wire)


@pytest.mark.parametrize("lost", range(3))
def test_each_message_may_be_lost(lost: int) -> None:
    pair = two_sites(left=AGGRESSIVE, right=AGGRESSIVE)
    pair.left.command(Initiate("site-b"))
    for _ in range(lost):
        pair.step()
    sender = pair.right if lost == 1 else pair.left
    assert sender.out.pop(0).octets[18] == 4
    pair.settle().advance(10.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.agree()


def test_another_secret_is_seen_by_the_initiator() -> None:
    """HASH_R is in the second message: the initiator is the first to know."""
    keys = Keys(Secret(b"something else altogether, as long"))
    pair = started(two_sites(right_keys=keys, left=AGGRESSIVE, right=AGGRESSIVE)).advance(5.0)
    assert pair.left.view().state != "up"
    assert "E120" in {h.code for h in pair.left.events("phase1.failed")}


def test_a_quick_mode_behind_a_proof_that_is_being_judged_is_not_lost() -> None:
    """The initiator takes its proof for accepted once it is sent: what follows comes at once."""
    signed: dict[str, object] = {
        **AGGRESSIVE,
        "proposals": ("aes128-sha256-ecp256",),
        "local_auth": CERT[0],
        "remote_auth": CERT[1],
    }
    left, right = leaf("left", "rsa2048"), leaf("right", "rsa2048")
    pair = two_sites(
        left_keys=keys(left.own(), trust(ROOT)),
        right_keys=keys(right.own(), trust(ROOT)),
        left={**signed, "local_id": LEFT_ID, "remote_id": RIGHT_ID},
        right={**signed, "local_id": RIGHT_ID, "remote_id": LEFT_ID},
    )
    pair.left.command(Initiate("site-b"))
    while [datagram.octets[18] for datagram in pair.wire].count(4) < 2:
        assert pair.step()
    pair.right.held_computes = []
    pair.settle()
    (job,) = pair.right.held_computes
    assert isinstance(job.job, JudgePeer)
    assert pair.wire[-1].octets[18] == 32
    pair.right.held_computes = None
    pair.right.compute(job)
    pair.settle()
    pair.advance(0.4)
    assert len(pair.right.children()) == len(pair.left.children()) == 1
    assert pair.left.events("exchange.repeated") == []


def test_the_first_message_again_gets_the_same_answer_and_makes_nothing_new() -> None:
    pair = two_sites(left=AGGRESSIVE, right=AGGRESSIVE)
    pair.left.command(Initiate("site-b"))
    first = pair.left.out[0]
    for _ in range(20):
        pair.deliver(pair.left, first)
    assert len([e for e in pair.right.effects if isinstance(e, Compute)]) == 1
    assert pair.right.engine.census()["half_open"] == 1
    assert len({d.octets for d in pair.right.out}) == 1
    assert 1 < len(pair.right.out) <= 6, "its address is not proved: a few answers a second"
    pair.settle().advance(2.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    pair.right.out.clear()
    pair.deliver(pair.left, first)
    assert not pair.right.out and pair.right.engine.census()["ike_sas"] == 1


def test_one_source_that_floods_shuts_no_other_out() -> None:
    pair = two_sites(left=AGGRESSIVE, right={**AGGRESSIVE, "remote_id": f"ip:{LEFT}"})
    pair.right.command(
        Configure(
            Configuration(
                (replace(pair.right.engine._ctx.configuration.connections[0], peer=None),)
            )
        )
    )
    pair.left.command(Initiate("site-b"))
    first = pair.left.out[0]
    for n in range(20):
        octets = (n + 1).to_bytes(8, "big") + first.octets[8:]
        from_stranger(pair.right, octets, Endpoint("203.0.113.9", 500))
    assert pair.right.engine.census()["half_open"] == 4
    pair.right.out.clear()
    pair.settle().advance(1.0)
    assert pair.left.view().state == pair.right.view().state == "up"
