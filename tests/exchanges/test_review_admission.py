"""What a hostile review asked of admission and cost: what strangers and peers can take is bounded,
and one tunnel costs the same beside two thousand others (RFC 7296 §2.6, §2.21.4)."""

import pytest

from isthmus.ike.core import admission
from isthmus.ike.core.commands import Configure, Initiate, Terminate
from isthmus.ike.core.effects import Compute
from isthmus.ike.core.events import DatagramReceived, DeadlineReached
from isthmus.policy.connection import Configuration
from isthmus.values.address import Endpoint
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    HeaderFlag,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from isthmus.values.selector import TrafficSelector
from isthmus.values.time import Instant
from isthmus.wire.header import Header
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors

from .pair import LEFT, RIGHT, Pair, connection, rule
from .scenes import far_side, from_stranger, seal_request, steps_of

# --- strangers --------------------------------------------------------------------------------


def stray(n: int) -> bytes:
    """An INFORMATIONAL for an IKE SA that nobody has, long enough to be answered."""
    header = Header(
        bytes(7) + bytes((n + 1,)),
        bytes((1,)) * 8,
        0,
        exchange=ExchangeType.INFORMATIONAL,
        flags=HeaderFlag.INITIATOR,
        message_id=5,
    )
    payload = bytes((0, 0, 0, 32)) + bytes(28)
    length = 28 + len(payload)
    return header.with_payload(PayloadType.NOTIFY, length).encode(length) + payload


@pytest.mark.parametrize("strangers", [0, 25])
def test_strangers_do_not_use_up_the_answers_that_our_peer_needs(strangers: int) -> None:
    """The peer has to be told of another group, in clear and from the same budget of answers."""
    both = ("aes256gcm16-prfsha384-x25519-ecp256",)
    pair = Pair(
        connection("b", RIGHT, (rule(),), both),
        far_side(proposals=("aes256gcm16-prfsha384-ecp256",)),
    )

    def flood() -> None:
        for n in range(strangers):
            from_stranger(pair.right, stray(n))
        pair.right.out.clear()

    pair.packet(pair.left)
    for _ in range(40):
        flood()
        pair.settle()
        pair.now += 0.999
        pair.advance(0.001, deliver=False)
        flood()
        pair.settle()
    assert pair.left.view().state == "up"


def test_strays_are_answered_within_the_budget() -> None:
    """The flood above is one that is answered: it competes for something."""
    pair = Pair()
    for n in range(25):
        from_stranger(pair.right, stray(n))
    assert len(pair.right.out) == admission.REPLIES_OF_PREFIX_PER_S


def test_refused_ike_sas_count_as_half_open() -> None:
    pair = Pair(right=far_side(remote_id="fqdn:nobody.example"))
    for _ in range(40):
        pair.left.command(Initiate("site-b"))
        pair.settle()
        pair.left.command(Terminate("site-b"))
    census = pair.right.engine.census()
    assert 0 < census["ike_sas"] <= admission.HALF_OPEN_OF_PREFIX_MAX


def test_a_spoofed_first_message_does_not_make_a_tunnel_unhealthy() -> None:
    pair = Pair()
    other = Pair(connection("b", RIGHT, (rule(),), ("aes128gcm16-prfsha256-ecp256",)))
    other.packet(other.left)
    assert pair.right.view().healthy
    from_stranger(pair.right, other.left.out[0].octets, Endpoint(LEFT, 500))
    assert pair.right.view().state != "failed" and pair.right.view().healthy


def test_only_what_a_stranger_asks_for_may_be_shed() -> None:
    """A busy host sheds first messages and no renewals (see the daemon's workers)."""
    pair = Pair().establish()
    for phase in (1, 2):
        pair.rekey(pair.left, phase)
        pair.settle()
    jobs = {
        side.name: [e.sheddable for e in side.effects if isinstance(e, Compute)]
        for side in (pair.left, pair.right)
    }
    assert not any(jobs["left"]) and len(jobs["left"]) == 7
    assert jobs["right"] == [True, False, False]


# --- peers ------------------------------------------------------------------------------------


def test_a_peer_cannot_make_child_sas_without_end() -> None:
    plain = ("aes256gcm16",)
    pair = Pair(
        connection("b", RIGHT, (rule(proposals=plain),)),
        far_side(rules=(rule("lan", "10.2.0.0/24", "10.1.0.0/24", plain),)),
    ).establish()
    near, far = (TrafficSelector.of_network(f"10.{n}.0.0/24") for n in (1, 2))
    proposal = parse_proposal("aes256gcm16-noesn", SecurityProtocol.ESP)
    for n in range(100):
        payloads = (
            SecurityAssociation((proposal.with_spi(bytes((0, 1, 0, n)), 1),)),
            Nonce(bytes((n,)) * 32),
            TrafficSelectors(PayloadType.TS_I, (near,)),
            TrafficSelectors(PayloadType.TS_R, (far,)),
        )
        octets = seal_request(pair, pair.left, ExchangeType.CREATE_CHILD_SA, payloads, n)
        pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
    refusals = [h for h in pair.right.happenings if NotifyType.NO_ADDITIONAL_SAS.name in h.message]
    assert refusals, "the peer is told why"
    assert 2 < len(pair.right.sas) <= 2 * 64


# --- cost -------------------------------------------------------------------------------------


def work_for_a_first_message(tunnels: int) -> int:
    """What one spoofed first message costs a responder with that many tunnels."""
    pair = Pair()
    many = tuple(
        connection(f"t{n}", f"10.{n >> 8}.{n & 255}.9", (rule(remote=f"172.16.{n >> 8}.0/24"),))
        for n in range(tunnels)
    )
    pair.right.command(Configure(Configuration(many)))
    pair.packet(pair.left)
    octets = pair.left.out[0].octets
    return steps_of(lambda: from_stranger(pair.right, octets, Endpoint("10.0.7.9", 500)))


def test_a_first_message_costs_the_same_beside_two_thousand_tunnels() -> None:
    few, many = work_for_a_first_message(200), work_for_a_first_message(2000)
    assert few > 100, "it is a tunnel's peer, and its message is looked at"
    assert many < few * 1.1


def work_for_views(tunnels: int) -> int:
    """What a look at that many standing tunnels costs, as every heartbeat takes."""
    pair = Pair()
    here = [f"10.0.{n}.1" for n in range(tunnels)]
    left = tuple(connection(f"t{n}", RIGHT, (rule(),), local_address=a) for n, a in enumerate(here))
    right = tuple(far_side(f"t{n}", a) for n, a in enumerate(here))
    pair.left.command(Configure(Configuration(left)))
    pair.right.command(Configure(Configuration(right)))
    for each in left:
        pair.left.command(Initiate(each.name))
        pair.settle()
    engine = pair.right.engine
    assert engine.census()["ike_sas"] == tunnels
    return steps_of(lambda: engine.views(Instant(pair.now)))


def test_views_cost_in_proportion_to_tunnels() -> None:
    """A hundred tunnels looked through for each of a hundred would be a hundred times ten's."""
    few, many = work_for_views(10), work_for_views(100)
    assert few > 10
    assert many < few * 10.5


def work_for_the_end_of_half_open(count: int) -> int:
    """What one event costs in which that many half-open IKE SAs end."""
    pair = Pair(right=far_side(peer=None, remote_id="fqdn:x.example"))
    pair.right.held_computes = []
    pair.packet(pair.left)
    octets = pair.left.out[0].octets
    for n in range(count):
        from_stranger(pair.right, octets, Endpoint(f"10.0.{n >> 8}.{n & 255}", 500))
    assert pair.right.engine.census()["half_open"] == count
    pair.now += 31
    steps = steps_of(lambda: pair.right.feed(DeadlineReached()))
    assert pair.right.engine.census()["half_open"] == 0
    return steps


def test_half_open_ike_sas_end_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands for cookies that are given back.
    monkeypatch.setattr(admission, "HALF_OPEN_BEFORE_COOKIES", 10**6)
    few, many = work_for_the_end_of_half_open(50), work_for_the_end_of_half_open(500)
    assert few > 50
    assert many < few * 12
