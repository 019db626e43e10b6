"""Several rules with suites of their own over one IKEv1 phase 1."""

import itertools

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.policy.connection import ChildPolicy
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.registry.ikev2 import Encr, SecurityProtocol
from isthmus.values.selector import TrafficSelector

from .pair import LEFT, RIGHT, Pair, Side
from .v1 import kinds, nothing_left, site

NEAR, FAR = "10.1.0.0/24", "10.2.0.0/24"
TCP = 6
SUITES = {
    "web": ("aes128gcm16-noesn", Encr.AES_GCM_16, 128),
    "database": ("aes256-sha256-modp2048-noesn", Encr.AES_CBC, 256),
    "rest": ("aes128-sha1-noesn", Encr.AES_CBC, 128),
}
PORTS = {"web": (80, 80), "database": (5432, 5432), "rest": None}


def rules() -> tuple[tuple[ChildPolicy, ...], tuple[ChildPolicy, ...]]:
    """The client's and the server's halves."""
    near, far = [], []
    for name, (words, _, _) in SUITES.items():
        ports = PORTS[name]
        proposals = (parse_proposal(words, SecurityProtocol.ESP),)
        if ports is None:
            here, there = (TrafficSelector.of_network(n) for n in (NEAR, FAR))
        else:
            here = TrafficSelector.of_network(NEAR, TCP)
            there = TrafficSelector.of_network(FAR, TCP, *ports)
        near.append(ChildPolicy(name, (here,), (there,), proposals))
        far.append(ChildPolicy(name, (there,), (here,), proposals))
    return tuple(near), tuple(far)


def suites(side: Side) -> dict[str, tuple[int, int]]:
    """Cipher and key of what each rule sends by."""
    return {
        sa.rule: (int(sa.suite.encr), sa.suite.key_bits)
        for (spi, inbound), sa in side.sas.items()
        if not inbound and not side.standby.get(spi)
    }


EXPECTED = {name: (int(encr), bits) for name, (_, encr, bits) in SUITES.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("who", ["left", "right"])
def test_each_rule_has_its_own_pair_over_one_phase_1(who: str, order: tuple[int, ...]) -> None:
    """Whoever begins, and whatever order the other end's file has."""
    near, far = rules()
    pair = Pair(site("b", RIGHT, near), site("a", LEFT, tuple(far[n] for n in order)))
    side: Side = getattr(pair, who)
    side.command(Initiate(side.view().name))
    pair.settle().advance(1)
    assert kinds(pair.wire).count(ExchangeType.MAIN_MODE) == 6
    assert kinds(pair.wire).count(ExchangeType.QUICK_MODE) == 9
    assert suites(pair.left) == suites(pair.right) == EXPECTED
    assert len(pair.left.sas) == len(pair.right.sas) == 6
    pair.agree()
    pair.advance(20)
    for each in (pair.left, pair.right):
        for phase in (2, 1, 2):
            pair.rekey(each, phase)
            pair.settle().advance(30)
            assert suites(pair.left) == suites(pair.right) == EXPECTED
    assert pair.left.engine.census()["ike_sas"] == 1
    assert len(pair.left.sas) == len(pair.right.sas) == 6
    pair.agree()
    pair.down(pair.right)
    pair.settle()
    nothing_left(pair)


def test_a_packet_of_one_rule_brings_up_that_rule_alone() -> None:
    near, far = rules()
    pair = Pair(site("b", RIGHT, near), site("a", LEFT, far))
    pair.packet(pair.left, "database")
    pair.settle().advance(1)
    assert set(suites(pair.left)) == set(suites(pair.right)) == {"database"}
    pair.packet(pair.right, "web")
    pair.settle().advance(1)
    assert set(suites(pair.left)) == set(suites(pair.right)) == {"database", "web"}
    assert pair.left.engine.census()["ike_sas"] == 1


def test_one_rule_that_is_refused_leaves_the_others_alone() -> None:
    near, far = rules()
    pair = Pair(site("b", RIGHT, near), site("a", LEFT, far[:1] + far[2:]))
    pair.left.command(Initiate("b"))
    pair.settle().advance(3)
    assert suites(pair.left) == {name: EXPECTED[name] for name in ("web", "rest")}
    failures = {r.name: r.failure.code for r in pair.left.view().rules if r.failure is not None}
    assert set(failures) == {"database"} and failures["database"] in ("E201", "E203")
    assert not pair.left.events("phase1.down")
