"""IKEv1: who lives, what closes for silence, and what a reboot leaves."""

from dataclasses import replace
from random import Random

import pytest

from isthmus.ike.core.commands import Configure, Initiate, Shutdown, Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived, RuleIdle
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import Configuration, DpdAction, Lifetimes, Liveness, Start
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType, NotifyType, ProtocolId
from isthmus.wire.v1 import Notify

from .pair import LEFT, RIGHT, Pair, Side, rule
from .scenes import left_rule, right_rule, states
from .v1 import PHASE2_V1, forged, kinds, nothing_left, site, standing, two_sites, v1_sa

NEAR = rule(proposals=PHASE2_V1)
FAR = rule("lan", "10.2.0.0/24", "10.1.0.0/24", PHASE2_V1)


def probes(side: Side) -> int:
    """Questions that it has sent."""
    return sum("R_U_THERE" in str(h.detail) for h in side.events("exchange.sent"))


# --- dead peer detection --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every_s", "timeout_s", "dead_after_s"),
    [(10.0, 40.0, 40.0), (2.0, 6.0, 6.0), (1.0, 4.0, 4.0), (1.0, 2.0, 3.0), (10.0, 10.0, 20.0)],
)
@pytest.mark.parametrize("who", ["left", "right"])
def test_a_silent_peer_is_found_dead_as_in_the_other_version(
    who: str, every_s: float, timeout_s: float, dead_after_s: float
) -> None:
    liveness = Liveness(every_s=every_s, timeout_s=timeout_s)
    pair = standing(two_sites(left={"liveness": liveness}, right={"liveness": liveness}))
    pair.advance(3 * every_s + 0.3)
    side: Side = getattr(pair, who)
    heard = float(v1_sa(side).heard_at)
    while side.sas and pair.now < heard + 10 * timeout_s:
        pair.advance(0.05, deliver=False)
        pair.lose()
    assert pair.now - heard == pytest.approx(dead_after_s, abs=0.2)
    (dead,) = side.events("peer.dead")
    assert dead.code == "E602"
    assert side.policies[(side.view().name, "lan")] == "hold"
    assert side.engine.census()["ike_sas"] == 0


def test_living_peers_probe_each_other_and_nothing_ends() -> None:
    pair = standing(two_sites())
    pair.advance(600)
    assert probes(pair.left) and probes(pair.right)
    # An answer needs no question of the other side, and proves life as well.
    assert len(pair.wire) < 9 + 2 * 2 * 600 / 10 + 10
    assert not pair.left.events("peer.dead") and not pair.right.events("peer.dead")
    assert len(pair.left.children()) == 1


def test_each_question_has_the_next_number() -> None:
    pair = standing(two_sites())
    before = v1_sa(pair.left).probe_next
    pair.advance(300)
    left, right = v1_sa(pair.left), v1_sa(pair.right)
    sent = probes(pair.left)
    assert left.probe_next - (before or left.probe_next - sent) <= sent
    assert right.probe_heard is None or right.probe_heard < left.probe_next


@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_answers_that_are_lost_are_asked_for_again(loss: float) -> None:
    pair = standing(two_sites())
    chance = Random(11)
    until = pair.now + 600
    while pair.now < until:
        pair.advance(0.25, deliver=False)
        while pair.left.out or pair.right.out:
            side = pair.left if pair.left.out else pair.right
            datagram = side.out.pop(0)
            if chance.random() >= loss:
                pair.deliver(side, datagram)
    assert not pair.left.events("peer.dead") and not pair.right.events("peer.dead")
    assert len(pair.left.children()) == len(pair.right.children()) == 1


def test_a_peer_that_does_not_say_that_it_answers_is_not_asked() -> None:
    pair = standing(two_sites())
    left = v1_sa(pair.left)
    left.peer_can = replace(left.peer_can, dpd=False)
    pair.lose()
    pair.advance(400, deliver=False)
    assert probes(pair.left) == 0 and not pair.left.events("peer.dead")
    assert pair.left.sas, "nothing tells that it is dead"


def ask(pair: Pair, number: bytes, message_id: int) -> list[SendDatagram]:
    """R-U-THERE as the left would write it; what the right sends."""
    sa = v1_sa(pair.left)
    cookies = bytes(sa.spi_i + sa.spi_r)
    asked = Notify(NotifyType.R_U_THERE, number, ProtocolId.ISAKMP, cookies)
    octets = forged(sa, ExchangeType.INFORMATIONAL, message_id, (asked,))
    pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
    return [pair.right.out.pop() for _ in range(len(pair.right.out))]


def test_an_old_number_is_not_answered() -> None:
    pair = standing(two_sites())
    assert len(ask(pair, b"\0\0\1\0", 1)) == 1
    assert len(ask(pair, b"\0\0\1\0", 2)) == 1, "the answer was lost: a new message asks again"
    assert len(ask(pair, b"\0\0\1\1", 3)) == 1
    assert len(ask(pair, b"\0\0\1\0", 4)) == 0
    assert len(ask(pair, b"\0\0\1\2", 3)) == 0, "a message ID that was used"
    assert len(ask(pair, b"\0\0\1", 5)) == 0 and len(ask(pair, b"", 6)) == 0
    assert len(ask(pair, b"\0\0\2\0", 7)) == 1


@pytest.mark.parametrize(
    ("action", "start", "back"),
    [
        (DpdAction.REARM, Start.TRAFFIC, "hold"),
        (DpdAction.RECONNECT, Start.TRAFFIC, "up"),
        (DpdAction.REARM, Start.ALWAYS, "up"),
    ],
)
def test_after_a_death_rules_are_armed_as_configured(
    action: DpdAction, start: Start, back: str
) -> None:
    liveness = Liveness(every_s=2, timeout_s=6, action=action)
    near = rule(proposals=PHASE2_V1, start=start)
    pair = Pair(site("site-b", RIGHT, (near,), liveness=liveness), site("site-a", LEFT, (FAR,)))
    pair.settle()
    if start is not Start.ALWAYS:
        pair.establish()
    pair.advance(1)
    until = pair.now + 15
    while pair.now < until:
        pair.advance(0.5, deliver=False)
        pair.lose()
    assert pair.left.events("peer.dead")
    pair.advance(90)
    if back == "up":
        assert pair.left.view().rules[0].state == "up"
        return
    assert not pair.left.sas and pair.left.policies[("site-b", "lan")] == back
    pair.packet(pair.left)
    pair.settle().advance(2)
    assert pair.left.view().rules[0].state == "up"


# --- silence --------------------------------------------------------------------------------


def idle_pair(**more: object) -> Pair:
    """Phase 2 has just closed for silence at the left."""
    near = rule(proposals=PHASE2_V1, idle_s=5.0)
    pair = standing(Pair(site("site-b", RIGHT, (near,), **more), site("site-a", LEFT, (FAR,))))
    pair.left.feed(RuleIdle("site-b", "lan"))
    return pair


def test_silence_closes_phase_2_and_one_quick_mode_brings_it_back() -> None:
    pair = idle_pair()
    spi = v1_sa(pair.left).spi_i
    assert not [key for key in pair.left.sas if not key[1]], "nothing leaves any more"
    pair.settle()
    for side in (pair.left, pair.right):
        assert side.view().state == "up" and side.view().rules[0].state == "idle"
        assert side.view().healthy and side.engine.census()["ike_sas"] == 1
    assert pair.left.policies[("site-b", "lan")] == "hold"
    pair.advance(30)
    for side in (pair.left, pair.right):
        before = len(pair.wire)
        pair.packet(side)
        pair.settle()
        assert kinds(pair.wire[before:]) == [ExchangeType.QUICK_MODE] * 3
        pair.advance(1)
        assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
        pair.agree()
        assert v1_sa(pair.left).spi_i == spi
        pair.left.feed(RuleIdle("site-b", "lan"))
        pair.settle().advance(20)


def test_a_packet_that_comes_while_phase_2_closes_waits_for_the_next() -> None:
    pair = idle_pair()
    pair.packet(pair.left)
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    pair.advance(10)
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def test_both_sides_idle_at_once() -> None:
    far = replace(FAR, idle_s=5.0)
    near = replace(NEAR, idle_s=5.0)
    pair = standing(Pair(site("site-b", RIGHT, (near,)), site("site-a", LEFT, (far,))))
    pair.left.feed(RuleIdle("site-b", "lan"))
    pair.right.feed(RuleIdle("site-a", "lan"))
    pair.settle().advance(6)
    for side in (pair.left, pair.right):
        assert side.view().rules[0].state == "idle" and not side.sas
        assert side.engine.census()["ike_sas"] == 1


def test_an_idle_phase_1_is_renewed_and_phase_2_comes_back_over_its_heir() -> None:
    pair = idle_pair(phase1_lifetimes=Lifetimes(600, 60))
    pair.settle().advance(900)
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 1
    before = len(pair.wire)
    pair.packet(pair.right)
    pair.settle().advance(1)
    assert kinds(pair.wire[before : before + 3]) == [ExchangeType.QUICK_MODE] * 3
    pair.agree()


def test_phase_1_may_end_for_silence_too() -> None:
    pair = idle_pair(phase1_idle_s=30.0)
    pair.settle().advance(31)
    assert pair.left.view().healthy
    nothing_left(pair)
    pair.packet(pair.left)
    pair.settle().advance(1)
    assert pair.left.view().rules[0].state == "up"


def test_idle_phase_1_ends_even_after_it_was_renewed() -> None:
    pair = idle_pair(phase1_idle_s=900.0, phase1_lifetimes=Lifetimes(600, 60))
    pair.settle().advance(2000)
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 0


# --- reboots --------------------------------------------------------------------------------


def reborn(pair: Pair, seed: int = 77) -> Pair:
    """The left is replaced by one that knows nothing; the right stays."""
    fresh = two_sites(seed=seed)
    fresh.right = pair.right
    fresh.now = pair.now
    pair.right.clock = lambda: fresh.now
    return fresh


@pytest.mark.parametrize("after_s", [0.0, 3.0, 300.0])
def test_a_peer_that_starts_anew_takes_its_old_pairs_along(after_s: float) -> None:
    """INITIAL-CONTACT: nothing of before may carry packets, and nothing is inherited."""
    pair = standing(two_sites())
    pair.advance(after_s)
    old = pair.right.children()
    fresh = reborn(pair)
    fresh.left.command(Initiate("site-b"))
    fresh.settle().advance(1)
    assert fresh.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
    assert not old & pair.right.children()
    fresh.advance(20)
    assert pair.right.engine.census()["ike_sas"] == 1
    assert len(fresh.left.sas) == len(pair.right.sas) == 2
    fresh.agree()


def test_a_peer_without_a_word_of_its_reboot_is_found_by_its_new_phase_1() -> None:
    """Without INITIAL-CONTACT both stand for a while; the new one carries, the old one goes."""
    pair = standing(two_sites())
    pair.advance(100)
    fresh = reborn(pair)
    fresh.left.engine._tunnels.first_contact = lambda sa: False  # type: ignore[method-assign]
    fresh.left.command(Initiate("site-b"))
    fresh.settle().advance(1)
    sent = {spi for spi, inbound in fresh.left.sas if inbound}
    live = {
        spi for (spi, inbound) in pair.right.sas if not inbound and not pair.right.standby.get(spi)
    }
    assert live == sent
    fresh.advance(60)
    assert pair.right.engine.census()["ike_sas"] == 1
    fresh.agree()


# --- commands -------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["left", "right"])
def test_down_of_a_tunnel_closes_both_phases_at_both_ends(who: str) -> None:
    pair = standing(two_sites())
    side: Side = getattr(pair, who)
    ticket = side.command(Terminate(side.view().name, hold=True))
    assert [h.event for h in side.happenings if h.ticket == ticket][-1] == "command.done"
    pair.settle()
    assert side.policies[(side.view().name, "lan")] == "drop"
    nothing_left(pair)
    pair.packet(pair.left)
    pair.settle().advance(5)
    assert not pair.left.sas and not pair.right.sas
    side.command(Initiate(side.view().name))
    pair.settle().advance(3)
    assert side.view().rules[0].state == "up"


def test_down_of_a_rule_leaves_the_others() -> None:
    pair = Pair(
        site("b", RIGHT, tuple(left_rule(n, proposals=PHASE2_V1) for n in (1, 2, 3))),
        site("a", LEFT, tuple(right_rule(n, proposals=PHASE2_V1) for n in (1, 2, 3))),
    )
    pair.left.command(Initiate("b"))
    pair.settle().advance(1)
    assert states(pair.left) == states(pair.right) == {"r1": "up", "r2": "up", "r3": "up"}
    pair.left.command(Terminate("b", "r2", hold=True))
    pair.settle().advance(10)
    assert states(pair.left)["r1"] == states(pair.right)["r3"] == "up"
    assert len(pair.left.sas) == len(pair.right.sas) == 4
    pair.agree()
    pair.packet(pair.right, "r2")
    pair.settle().advance(3)
    assert "E210" in {h.code for h in pair.left.events("phase2.failed")}
    assert len(pair.left.children()) == 2
    pair.down(pair.right)
    pair.settle()
    nothing_left(pair)


@pytest.mark.parametrize("steps", range(10))
def test_shutdown_at_any_moment_ends_at_once(steps: int) -> None:
    pair = two_sites()
    pair.packet(pair.left)
    for _ in range(steps):
        pair.step()
    ticket = pair.left.command(Shutdown())
    (quiet,) = pair.left.events("daemon.quiet")
    assert quiet.ticket == ticket and not pair.left.sas
    assert pair.left.engine.census()["ike_sas"] == 0
    pair.settle().advance(90)
    for side in (pair.left, pair.right):
        assert side.engine.census()["ike_sas"] == 0 and not side.sas


def test_a_tunnel_taken_out_of_the_configuration_is_closed() -> None:
    pair = standing(two_sites())
    pair.left.command(Configure(Configuration(())))
    pair.settle()
    nothing_left(pair)


def test_another_suite_of_phase_1_makes_a_new_one_before_the_old_one_goes() -> None:
    pair = standing(two_sites(left={"proposals": ("aes128-sha256-modp2048",)}))
    both = ("aes256-sha384-ecp384", "aes128-sha256-modp2048")
    for side, name, peer, each in (
        (pair.right, "site-a", LEFT, FAR),
        (pair.left, "site-b", RIGHT, NEAR),
    ):
        side.command(Configure(Configuration((site(name, peer, (each,), proposals=both),))))
        for _ in range(60):
            if not pair.step():
                break
            assert any(not inbound for _, inbound in pair.left.sas)
    pair.advance(90)
    assert len(pair.left.children()) == 1 and pair.left.engine.census()["ike_sas"] == 1
    sa = v1_sa(pair.left)
    assert isinstance(sa, SaV1) and sa.suite is not None and sa.suite.key_bits == 256
    pair.agree()


def test_another_suite_of_phase_2_renews_the_pair() -> None:
    pair = standing(two_sites()).advance(20)
    before = pair.left.children()
    words = ("aes256gcm16-noesn", *PHASE2_V1)
    far = rule("lan", "10.2.0.0/24", "10.1.0.0/24", words)
    pair.right.command(Configure(Configuration((site("site-a", LEFT, (far,)),))))
    pair.settle().advance(30)
    near = rule(proposals=words)
    pair.left.command(Configure(Configuration((site("site-b", RIGHT, (near,)),))))
    pair.settle().advance(30)
    assert not before & pair.left.children() and len(pair.left.children()) == 1
    assert {sa.suite.key_bits for sa in pair.left.sas.values()} == {256}
    pair.agree()
