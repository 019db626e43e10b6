"""Several rules under one tunnel: each has its own Child SA, and the responder picks the right one
(RFC 7296 §2.9)."""

import itertools

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.policy.connection import ChildPolicy
from isthmus.policy.negotiate import narrow
from isthmus.policy.specificity import width
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import Encr, SecurityProtocol
from isthmus.values.selector import Selectors, TrafficSelector, selectors_text

from .pair import LEFT, RIGHT, Pair, Side, connection

NEAR, FAR = "10.1.0.0/24", "10.2.0.0/24"
TCP = 6
SUITES = {"web": "aes128gcm16", "database": "aes256gcm16-ecp384", "rest": "chacha20poly1305"}


def side(network: str, protocol: int = 0, *ports: int) -> Selectors:
    """One network; with ports, of these alone."""
    if not ports:
        return (TrafficSelector.of_network(network, protocol),)
    return tuple(TrafficSelector.of_network(network, protocol, p, p) for p in ports)


def rule(name: str, local: Selectors, remote: Selectors, suite: str = "") -> ChildPolicy:
    """A rule with one proposal, by default that of its name."""
    proposal = parse_proposal(suite or SUITES[name], SecurityProtocol.ESP)
    return ChildPolicy(name, local, remote, (proposal,))


CLIENT = (
    rule("web", side(NEAR, TCP), side(FAR, TCP, 80)),
    rule("database", side(NEAR, TCP), side(FAR, TCP, 5432)),
    rule("rest", side(NEAR), side(FAR)),
)
SERVER = tuple(rule(r.name, r.remote, r.local) for r in CLIENT)


def chosen(rules: tuple[ChildPolicy, ...], local: Selectors, remote: Selectors) -> list[str]:
    """The fitting rules, best first."""
    return [found.rule.name for found in narrow(rules, local, remote)]


def suites(where: Side) -> dict[str, tuple[int, str, str]]:
    """Cipher and selectors of each rule's outbound SA."""
    return {
        sa.rule: (
            int(sa.suite.encr) + sa.suite.key_bits,
            selectors_text(sa.local_selectors),
            selectors_text(sa.remote_selectors),
        )
        for (_, inbound), sa in where.sas.items()
        if not inbound
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("who", ["left", "right"])
def test_each_rule_has_its_own_pair_over_one_phase_1(who: str, order: tuple[int, ...]) -> None:
    """Whoever starts, and whatever order the responder's file has."""
    theirs = tuple(SERVER[i] for i in order)
    pair = Pair(connection("b", RIGHT, CLIENT), connection("a", LEFT, theirs))
    starter: Side = getattr(pair, who)
    starter.command(Initiate(starter.view().name))
    pair.settle()
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 1
    assert len(pair.left.sas) == len(pair.right.sas) == 6
    pair.agree()
    assert suites(pair.left) == {
        "web": (Encr.AES_GCM_16 + 128, f"{NEAR}[tcp]", f"{FAR}[tcp/80]"),
        "database": (Encr.AES_GCM_16 + 256, f"{NEAR}[tcp]", f"{FAR}[tcp/5432]"),
        "rest": (Encr.CHACHA20_POLY1305, NEAR, FAR),
    }
    assert suites(pair.right) == {
        name: (suite, remote, local) for name, (suite, local, remote) in suites(pair.left).items()
    }


def test_a_packet_of_one_rule_brings_up_that_rule_alone() -> None:
    pair = Pair(connection("b", RIGHT, CLIENT), connection("a", LEFT, SERVER))
    pair.packet(pair.left, "database")
    pair.settle()
    assert set(suites(pair.left)) == set(suites(pair.right)) == {"database"}
    pair.packet(pair.right, "web")
    pair.settle()
    assert set(suites(pair.left)) == set(suites(pair.right)) == {"database", "web"}
    assert pair.left.engine.census()["ike_sas"] == 1


def test_renewals_keep_their_rules() -> None:
    pair = Pair(connection("b", RIGHT, CLIENT), connection("a", LEFT, SERVER))
    pair.left.command(Initiate("b"))
    pair.settle()
    before, spis = suites(pair.left), set(pair.left.sas)
    pair.rekey(pair.right)
    pair.settle()
    pair.advance(60)
    assert suites(pair.left) == before
    assert len(pair.left.sas) == 6
    pair.agree()
    assert not spis & set(pair.left.sas)


def test_an_offer_lands_on_the_rule_that_says_the_same() -> None:
    """Not on the wider one that holds it, and not on a narrower one that it holds."""
    host = rule("host", side("10.2.0.7/32", TCP, 80), side(NEAR, TCP), "aes128gcm16")
    for rules in itertools.permutations((*SERVER, host)):
        assert chosen(rules, side(FAR, TCP, 80), side(NEAR, TCP))[0] == "web"
        assert chosen(rules, side("10.2.0.7/32", TCP, 80), side(NEAR, TCP))[0] == "host"
        assert chosen(rules, side(FAR), side(NEAR))[0] == "rest"


def test_an_offer_within_several_rules_lands_on_the_most_specific_one() -> None:
    for rules in itertools.permutations(SERVER):
        assert chosen(rules, side("10.2.0.7/32", TCP, 80), side(NEAR, TCP)) == ["web", "rest"]
        assert chosen(rules, side(FAR, 17), side(NEAR, 17)) == ["rest"]


def test_an_offer_of_everything_gets_as_much_as_there_is() -> None:
    for rules in itertools.permutations(SERVER):
        everything = (TrafficSelector.everything(4),)
        assert chosen(rules, everything, everything)[0] == "rest"


def test_the_packet_that_a_peer_puts_first_decides() -> None:
    """strongSwan's traps and others ask for everything with a packet in front."""
    here = (TrafficSelector.of_network("10.2.0.7/32", TCP, 80, 80), TrafficSelector.everything(4))
    there = (
        TrafficSelector.of_network("10.1.0.9/32", TCP, 40000, 40000),
        TrafficSelector.everything(4),
    )
    for rules in itertools.permutations(SERVER):
        assert chosen(rules, here, there)[0] == "web"


def test_a_rule_within_another_is_the_narrower_one_whatever_its_list_holds() -> None:
    """One host beside a large network does not make a rule specific."""
    wide = (*side("10.0.0.0/8"), *side("192.0.2.1/32"))
    narrow_side = side("10.2.0.0/16")
    assert width(side(NEAR), narrow_side) < width(side(NEAR), wide)
    halves = (*side("10.2.0.0/25"), *side("10.2.0.128/25"))
    assert width(side(NEAR), side("10.2.0.64/26")) < width(side(NEAR), halves)
    assert width(side(NEAR), halves)[0] == width(side(NEAR), side(FAR))[0]
    assert width(side(NEAR, TCP), side(FAR, TCP, 80)) < width(side(NEAR, TCP), side(FAR, TCP))
    assert width(side(NEAR, TCP), side(FAR, TCP)) < width(side(NEAR), side(FAR))


def test_a_peer_that_agrees_to_a_part_only_is_told_of() -> None:
    """What lies outside of the part is dropped, and that has a name."""
    wide = (*side(FAR), *side("10.3.0.0/24"))
    pair = Pair(
        connection("b", RIGHT, (rule("rest", side(NEAR), wide),)),
        connection("a", LEFT, (rule("rest", side(FAR), side(NEAR)),)),
    )
    pair.left.command(Initiate("b"))
    pair.settle()
    (told,) = pair.left.events("phase2.narrowed")
    assert told.code == "E204"
    assert "10.1.0.0/24 to 10.2.0.0/24; other packets" in told.message
    assert not pair.right.events("phase2.narrowed")
