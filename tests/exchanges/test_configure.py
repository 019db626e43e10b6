"""A new configuration while tunnels run: nothing is disturbed that need not be."""

from dataclasses import replace

from isthmus.credentials.store import Credentials
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.commands import Configure, Terminate
from isthmus.ike.core.effects import UpdateSa
from isthmus.ike.core.events import RuleIdle
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    Lifetimes,
    Liveness,
    Start,
)
from isthmus.values.identity import Identity
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.secret import Secret

from .pair import LEFT, PSK, RIGHT, Pair, Side, connection, rule

AES128 = (parse_proposal("aes128gcm16-x25519", SecurityProtocol.ESP),)
TODAY, MIRRORED = rule(), rule(local="10.2.0.0/24", remote="10.1.0.0/24")
LEFTS = connection("site-b", RIGHT, (TODAY,))
RIGHTS = connection("site-a", LEFT, (MIRRORED,))


def reload(side: Side, *connections: Connection) -> None:
    """Run under these tunnels from now on."""
    side.command(Configure(Configuration(connections)))


def with_rule(terms: Connection, rule: ChildPolicy) -> Connection:
    """The same tunnel with this one rule."""
    return replace(terms, rules=(rule,))


def suite(side: Side) -> str:
    """The suite of the only pair."""
    ((child,),) = [r.children for r in side.view().rules]
    return child.suite


def test_what_stayed_the_same_stays_with_its_sas_and_timers() -> None:
    pair = Pair().establish()
    before, timer = pair.left.children(), pair.left.engine.deadline
    sent = len(pair.wire)
    moved = replace(LEFTS, origin="isthmus.toml:99", rules=(replace(TODAY, origin="x:101"),))
    reload(pair.left, moved)
    pair.settle()
    assert pair.left.children() == before
    assert pair.left.engine.deadline == timer
    assert len(pair.wire) == sent, "nobody is told anything"
    assert pair.left.view().origin == "isthmus.toml:99"
    pair.rekey(pair.left)
    pair.settle()
    pair.agree()


def test_another_tunnel_comes_and_goes_beside_it() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    beside = connection("third", "203.0.113.9", (rule(remote="10.9.0.0/24"),))
    reload(pair.left, beside, LEFTS)
    assert [v.name for v in pair.left.engine.views(pair.left.engine._ctx.now)] == [
        "third",
        "site-b",
    ]
    assert pair.left.policies[("third", "lan")] == "hold"
    reload(pair.left, LEFTS)
    pair.settle()
    assert pair.left.children() == before
    assert pair.left.engine.census()["dead_timers"] == 0


def test_a_removed_tunnel_is_deleted_at_both_ends() -> None:
    pair = Pair().establish()
    reload(pair.left)
    pair.settle()
    pair.advance(6)
    for side in (pair.left, pair.right):
        assert not side.sas
        assert side.engine.census()["ike_sas"] == 0
        assert side.engine.census()["dead_timers"] == 0


def test_changed_lifetimes_move_the_timers_of_living_sas() -> None:
    pair = Pair().establish()
    pair.advance(100)
    before = pair.left.children()
    short = Lifetimes(lifetime_s=600, margin_s=60, fuzz=0.0, octets_max=1_000_000)
    phase1 = Lifetimes(lifetime_s=1200, margin_s=100, fuzz=0.0)
    sent = len(pair.wire)
    changed = with_rule(replace(LEFTS, phase1_lifetimes=phase1), replace(TODAY, lifetimes=short))
    pair.left.effects.clear()
    reload(pair.left, changed)
    pair.settle()
    assert pair.left.children() == before
    assert len(pair.wire) == sent
    (child,) = pair.left.view().rules[0].children
    assert (child.rekey_in_s, child.expires_in_s) == (440, 500)
    phase1_view = pair.left.view().phase1
    assert phase1_view is not None and phase1_view.rekey_in_s == 1000
    told = [e for e in pair.left.effects if isinstance(e, UpdateSa)]
    assert {(e.inbound, e.lifetimes) for e in told} == {(True, short), (False, short)}
    pair.advance(445)
    assert pair.left.children().isdisjoint(before), "it was renewed by its new lifetime"
    pair.agree()


def test_an_sa_that_is_too_old_already_is_renewed_and_not_cut_off() -> None:
    pair = Pair().establish()
    pair.advance(1000)
    before = pair.left.children()
    short = Lifetimes(lifetime_s=300, margin_s=30)
    reload(pair.left, with_rule(LEFTS, replace(TODAY, lifetimes=short)))
    (child,) = pair.left.view().rules[0].children
    assert 0 <= child.rekey_in_s <= 5 and child.expires_in_s >= 30
    pair.advance(6)
    assert len(pair.left.events("phase2.rekeyed")) == 1
    assert not pair.left.events("phase2.down")
    assert pair.left.children().isdisjoint(before)


def test_idle_and_liveness_apply_live() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    changed = with_rule(
        replace(LEFTS, liveness=Liveness(every_s=2, timeout_s=5)), replace(TODAY, idle_s=5.0)
    )
    reload(pair.left, changed)
    assert pair.left.children() == before
    sent = len(pair.wire)
    pair.advance(2.5)
    assert len(pair.wire) > sent, "the peer is asked whether it lives, by the new period"
    pair.left.feed(RuleIdle("site-b", "lan"))
    pair.settle()
    assert pair.left.view().rules[0].state == "idle"


def test_new_phase_2_proposals_renew_make_before_break() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    # The peer's side first: it answers by the new proposals, and loses nothing meanwhile.
    reload(pair.right, with_rule(RIGHTS, replace(MIRRORED, proposals=(*AES128, *TODAY.proposals))))
    pair.settle()
    reload(pair.left, with_rule(LEFTS, replace(TODAY, proposals=AES128)))
    outbound = [key for key in pair.left.sas if not key[1]]
    assert outbound, "the old pair carries packets until the new one stands"
    pair.settle()
    assert "aes128gcm16" in suite(pair.left)
    assert pair.left.children().isdisjoint(before)
    assert not pair.left.events("phase2.down") and not pair.right.events("phase2.down")
    assert len(pair.left.events("phase1.up")) == 1, "phase 1 stayed"
    pair.advance(6)
    pair.agree()
    assert len(pair.left.sas) == len(pair.right.sas) == 2


def test_a_peer_that_was_not_told_yet_keeps_the_old_pair_alive() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    reload(pair.left, with_rule(LEFTS, replace(TODAY, proposals=AES128)))
    pair.settle()
    assert pair.left.children() == before
    assert pair.left.view().rules[0].state == "up"
    reload(pair.right, with_rule(RIGHTS, replace(MIRRORED, proposals=AES128)))
    pair.advance(15)
    assert "aes128gcm16" in suite(pair.left)
    pair.agree()


def test_other_networks_close_the_pair_and_make_another() -> None:
    pair = Pair().establish()
    wide = rule(remote="10.2.0.0/16")
    reload(pair.right, with_rule(RIGHTS, rule(local="10.2.0.0/16", remote="10.1.0.0/24")))
    pair.settle()
    reload(pair.left, with_rule(LEFTS, wide))
    pair.settle()
    pair.advance(6)
    ((child,),) = [r.children for r in pair.left.view().rules]
    assert child.remote == wide.remote
    assert len(pair.left.events("phase1.up")) == 1, "phase 1 stayed"
    pair.agree()


def test_a_rule_more_and_a_rule_less() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    more = rule("voice", remote="10.3.0.0/24", start=Start.ALWAYS)
    mirror = rule("voice", local="10.3.0.0/24", remote="10.1.0.0/24")
    reload(pair.right, replace(RIGHTS, rules=(MIRRORED, mirror)))
    reload(pair.left, replace(LEFTS, rules=(TODAY, more)))
    pair.settle()
    assert before < pair.left.children() and len(pair.left.children()) == 2
    assert len(pair.left.events("phase1.up")) == 1
    reload(pair.left, LEFTS)
    pair.settle()
    pair.advance(6)
    assert pair.left.children() == before
    pair.agree()
    assert len(pair.left.sas) == len(pair.right.sas) == 2


def test_a_restart_makes_the_new_phase_1_before_the_old_one_goes() -> None:
    pair = Pair(
        connection("site-b", RIGHT, (TODAY,), local_id="fqdn:a.example"),
        connection("site-a", LEFT, (MIRRORED,), remote_id="fqdn:a.example"),
    ).establish()
    before = pair.left.children()
    other = Identity.parse("fqdn:a2.example")
    reload(pair.right, replace(RIGHTS, remote_id=other))
    pair.settle()
    assert [h.code for h in pair.right.events("phase1.failed")] == ["E120"], "not told yet"
    reload(pair.left, replace(LEFTS, local_id=other))
    carrying = {spi for spi, inbound in pair.left.sas if not inbound}
    assert carrying == {spi_out for _, spi_out in before}, "the old pair bridges"
    assert pair.left.view().rules[0].state in ("up", "rekeying")
    pair.settle()
    assert pair.left.children().isdisjoint(before)
    assert len(pair.left.events("phase1.up")) == 2
    pair.advance(40)
    for side in (pair.left, pair.right):
        assert side.engine.census()["ike_sas"] == 1
        assert len(side.sas) == 2
        assert side.engine.census()["dead_timers"] == 0
    pair.agree()
    phase1 = pair.left.view().phase1
    assert phase1 is not None and phase1.local_id == "fqdn:a2.example"


def test_both_sides_reload_at_once() -> None:
    """Both begin a phase 1 of their own; one pair is left, and nothing was without one."""
    pair = Pair().establish()
    who = Identity.parse("fqdn:a2.example")
    pair.right.command(Configure(Configuration((replace(RIGHTS, remote_id=who),))))
    pair.left.command(Configure(Configuration((replace(LEFTS, local_id=who),))))
    for _ in range(200):
        outbound = [key for key in pair.left.sas if not key[1]]
        assert outbound, "packets can always leave"
        if not pair.step():
            break
    pair.advance(60)
    for side in (pair.left, pair.right):
        assert side.engine.census()["ike_sas"] == 1
        assert len(side.sas) == 2
        assert side.engine.census()["dead_timers"] == 0
    pair.agree()


def test_a_restart_that_the_peer_refuses_ends_what_stood_under_the_old_terms() -> None:
    pair = Pair().establish()
    reload(pair.left, replace(LEFTS, local_id=Identity.parse("fqdn:unexpected.example")))
    pair.settle()
    assert pair.left.view().rules[0].state == "rekeying", "bridged"
    pair.advance(60)
    assert not [key for key in pair.left.sas if not key[1]], "nothing leaves by the old pair"
    assert pair.left.view().rules[0].state == "failed"
    assert pair.left.policies[("site-b", "lan")] in ("hold", "hold_quiet"), "nor in clear"
    reload(pair.left, LEFTS)
    pair.packet(pair.left)
    pair.settle()
    assert pair.left.view().rules[0].state == "up"
    pair.agree()


def test_another_secret_means_another_phase_1() -> None:
    pair = Pair().establish()
    before = pair.left.children()
    same = Credentials({"site-b": Secret(PSK.reveal()), "site-a": Secret(PSK.reveal())})
    pair.left.command(Configure(Configuration((LEFTS,)), same))
    pair.settle()
    assert pair.left.children() == before, "the same secret read again is no change"
    new = Secret(b"another pre-shared key, 32 octets+")
    pair.right.command(Configure(Configuration((RIGHTS,)), Credentials({"site-a": new})))
    pair.settle()
    pair.left.command(Configure(Configuration((LEFTS,)), Credentials({"site-b": new})))
    pair.settle()
    pair.advance(60)
    assert pair.left.children().isdisjoint(before)
    assert pair.left.view().rules[0].state == "up"
    for side in (pair.left, pair.right):
        assert side.engine.census()["ike_sas"] == 1
    pair.agree()


def test_nothing_stood_so_nothing_is_called() -> None:
    pair = Pair()
    reload(pair.left, replace(LEFTS, local_id=Identity.parse("fqdn:b.example")))
    pair.settle()
    assert not pair.wire
    assert pair.left.view().rules[0].state == "armed"


def test_what_is_held_down_stays_down() -> None:
    pair = Pair()
    always = with_rule(LEFTS, replace(TODAY, start=Start.ALWAYS))
    pair.left.command(Terminate("site-b", hold=True))
    reload(pair.left, always)
    pair.settle()
    assert not pair.wire
    assert pair.left.policies[("site-b", "lan")] == "drop"
    reload(pair.left, replace(always, local_id=Identity.parse("fqdn:b.example")))
    pair.settle()
    assert not pair.wire


def test_a_peer_in_the_middle_of_its_handshake_meets_the_new_terms() -> None:
    """The responder reloads between IKE_SA_INIT and IKE_AUTH."""
    pair = Pair()
    pair.packet(pair.left)
    pair.step()
    pair.step()
    assert pair.right.engine.census()["half_open"] == 1
    terms = replace(RIGHTS, remote_id=Identity.parse("fqdn:other.example"))
    reload(pair.right, terms)
    pair.settle()
    assert pair.right.engine.census()["child_sas"] == 0
    assert [h.code for h in pair.right.events("phase1.failed")] == ["E130"]


def test_reloads_all_the_time_leave_nothing_behind() -> None:
    pair = Pair().establish()
    for turn in range(20):
        who = Identity.parse(f"fqdn:turn{turn}.example")
        reload(pair.right, replace(RIGHTS, remote_id=who))
        pair.settle()
        reload(pair.left, replace(LEFTS, local_id=who))
        pair.advance(0.2)
    pair.advance(90)
    pair.packet(pair.left)
    pair.advance(20)
    for side in (pair.left, pair.right):
        assert side.engine.census()["ike_sas"] == 1
        assert side.engine.census()["dead_timers"] == 0
        assert len(side.sas) == 2
    pair.agree()
    assert TimerKind.RETIRE not in {
        kind for kinds in pair.left.engine._agenda._armed.values() for kind in kinds
    }
