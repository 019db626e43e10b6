"""S-07, S-13, S-26, R-10, R-26: what strangers get out of us, and what they can move: nothing."""

from dataclasses import replace
from random import Random

import pytest
from tests.exchanges.pair import LEFT, RIGHT, Pair, connection, rule

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.events import DatagramReceived
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev2 import ExchangeType, HeaderFlag, NotifyType
from isthmus.wire.header import Header
from isthmus.wire.v2.message import decode_message, encode_message
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify

from .hand import Hand
from .mutation import HEADER_SIZE, Mutator, join, split
from .scenes import SCENES, Scene, Stage, pair_of
from .test_omission_matrix import state_of

FORGED = 100_000
INIT = next(s for s in SCENES if s.name == "init-request")
REFUSALS = frozenset(
    {
        NotifyType.COOKIE,
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.INVALID_KE_PAYLOAD,
        NotifyType.INVALID_IKE_SPI,
        NotifyType.INVALID_MAJOR_VERSION,
        NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD,
    }
)
DATA_SIZES = {
    NotifyType.COOKIE: 33,
    NotifyType.NO_PROPOSAL_CHOSEN: 0,
    NotifyType.INVALID_KE_PAYLOAD: 2,
    NotifyType.INVALID_IKE_SPI: 0,
    NotifyType.INVALID_MAJOR_VERSION: 0,
    NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD: 1,
}
OUR_GROUPS = {(31).to_bytes(2, "big")}


def anybody() -> Pair:
    """The right side takes peers from any address."""
    mirrored = rule(local="10.2.0.0/24", remote="10.1.0.0/24")
    return Pair(right=connection("a", None, (mirrored,), remote_id=f"ip:{LEFT}"))


def replies(pair: Pair, source: Endpoint, octets: bytes) -> list[bytes]:
    """What the right side says to a datagram."""
    pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), source, octets))
    said = [d for d in pair.right.out if d.remote == source]
    assert len(said) == len(pair.right.out), "nobody else is written to"
    pair.right.out.clear()
    for history in (pair.right.effects, pair.right.happenings):
        history.clear()
    return [d.octets for d in said]


def test_every_octet_of_a_reply_to_a_stranger_is_accounted_for() -> None:
    """Replies without an IKE SA behind them: header from the request, one notify of a fixed size.

    An unkeyed answer (IKE_SA_INIT) has no octet that the request, configuration or entropy did not
    give: it is built again here from its decoded parts.
    """
    chance = Random(7)
    mutator = Mutator(chance)
    stage = Stage(INIT)
    request = stage.genuine.octets
    first, chain = stage.inside.first, stage.inside.chain
    pair = anybody()
    kinds: set[int] = set()
    sizes: set[int] = set()
    answered = 0
    for n in range(6000):
        pair.now += 0.2 if n < 4000 else 0.05  # the second pace brings cookies
        pair.advance(0.0, deliver=False)
        header = replace(stage.header, spi_i=chance.randbytes(8))
        octets = stage.written(*mutator.chain(first, chain), header)
        if n % 3 == 0:
            octets = mutator.datagram(request)
        elif n % 7 == 0:
            octets = octets[:18] + bytes((chance.choice((35, 36, 37)),)) + octets[19:]
        source = Endpoint(f"203.0.113.{n % 250 + 1}", 500)
        for reply in replies(pair, source, octets):
            asked = Header.decode(octets)
            message = decode_message(reply)
            told = message.header
            assert told.is_response and told.length == len(reply)
            assert told.spi_i == asked.spi_i and told.message_id == asked.message_id
            assert told.exchange == asked.exchange and told.version == 0x20
            assert encode_message(told, message.payloads) == reply, "no octet beside the fields"
            sizes.add(len(reply))
            match message.payloads:
                case (Notify() as notify,):
                    assert notify.kind in REFUSALS and notify.spi == b""
                    assert len(notify.data) == DATA_SIZES[NotifyType(notify.kind)]
                    assert told.spi_r in (bytes(8), asked.spi_r)
                    if notify.kind == NotifyType.INVALID_KE_PAYLOAD:
                        assert notify.data in OUR_GROUPS
                    if notify.kind == NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD:
                        assert notify.data[0] in octets
                    assert len(reply) <= len(octets)
                    kinds.add(notify.kind)
                case _:
                    answered += 1
                    pieces = sum(
                        isinstance(p, Notify) and p.kind == NotifyType.IKEV2_FRAGMENTATION_SUPPORTED
                        for p in decode_message(octets).payloads
                    )
                    assert [p.kind for p in split(told.next_payload, reply[HEADER_SIZE:])] == [
                        *(33, 34, 40, 41, 41, *(41,) * min(pieces, 1), 43, 43)
                    ]
                    (nonce,) = (p for p in message.payloads if isinstance(p, Nonce))
                    assert nonce.data not in octets and len(nonce.data) == 32
    assert kinds == REFUSALS and answered > 100
    # A notify has 36 octets and its data; the answer to an agreement depends on what was chosen.
    assert {s - 36 for s in sizes} <= {*DATA_SIZES.values(), *(s - 36 for s in sizes if s > 200)}
    assert len(sizes) < 16, sizes


def test_reflection_stays_below_one_with_retransmissions_over_a_minute() -> None:
    """R-26: each source by itself, whether it repeats itself, floods, or goes on to IKE_AUTH."""
    pair = anybody()
    pair.packet(pair.left)
    first = pair.left.out.pop(0)
    sent: dict[str, int] = {}
    received: dict[str, int] = {}

    def collect() -> None:
        for datagram in pair.right.out:
            source = datagram.remote.address
            received[source] = received.get(source, 0) + len(datagram.octets)
        pair.right.out.clear()

    for second in range(60):
        for n in range(40):
            source = f"203.0.113.{n + 1}"
            octets = bytearray(first.octets)
            # A third repeats one first message for ever, the others begin anew.
            octets[0:8] = (n + 1 if n % 3 == 0 else second * 100 + n + 1).to_bytes(8, "big")
            if n % 5 == 4:
                octets[18] = 35 + second % 3
            sent[source] = sent.get(source, 0) + len(octets)
            feed = DatagramReceived(first.remote, Endpoint(source, 500), bytes(octets))
            pair.right.feed(feed)
        pair.advance(1.0, deliver=False)
        collect()
    pair.advance(60.0, deliver=False)
    collect()
    worst = max(received[source] / sent[source] for source in received)
    assert len(received) == 40 and worst <= 1.0, worst


# --- what strangers can move -----------------------------------------------------------------


def established() -> Pair:
    """A pair with a NAT in front of the left side, so that the right one would follow moves."""
    pair = pair_of()
    pair.left.command(Initiate("site-b", "lan"))
    pair.settle()
    (sa,) = pair.right.engine._sas.values()
    sa.nat = replace(sa.nat, peer=True)
    return pair


def moved_by(pair: Pair) -> tuple[object, ...]:
    """What only an authentic peer may move."""
    (sa,) = (s for s in pair.right.engine._sas.values() if s.is_authenticated)
    window = sa.window
    engine = pair.right.engine
    return (
        (sa.heard_at, sa.remote, sa.local, type(sa.state).__name__, sa.established_at),
        (window.expected_id, window.next_id, window.outstanding, window.answering),
        [(c.spi_in, c.spi_out, c.state) for c in sa.children.values()],
        sorted(
            (str(o), sorted((k.name, v) for k, v in kinds.items()))
            for o, kinds in engine._agenda._armed.items()
            if o in (sa.owner, *(("child", c) for c in sa.children))
        ),
        sorted(pair.right.sas),
    )


def test_a_hundred_thousand_forged_datagrams_move_nothing() -> None:
    """S-26, R-10: from the peer's address and from others, with its SPIs and message IDs."""
    pair = established()
    (sa,) = pair.left.engine._sas.values()
    hand = Hand(sa, from_initiator=True)
    chance = Random(26)
    mutator = Mutator(chance)
    genuine = [
        hand.seal(Header(sa.spi_i, sa.spi_r, 0, exchange=exchange, flags=8, message_id=mid), 0, b"")
        for exchange in (35, 36, 37)
        for mid in range(4)
    ]
    pair.now += 3.0
    before = moved_by(pair)
    sources = [Endpoint(LEFT, 500), Endpoint(LEFT, 4500), Endpoint("203.0.113.9", 4500)]
    local = Endpoint(RIGHT, 4500)
    for n in range(FORGED):
        octets = bytearray(chance.choice(genuine))
        match n % 4:
            case 0:
                octets[28 + chance.randrange(len(octets) - 28)] ^= 1 << chance.randrange(8)
            case 1:
                # Flags beside the two that count are authentic all the same: leave octet 19.
                octets[chance.choice((*range(19), 20, 21, 22, 23))] ^= 1 << chance.randrange(8)
            case 2:
                octets[28:] = chance.randbytes(len(octets) - 28)
            case _:
                octets = bytearray(mutator.datagram(bytes(octets), chance.choice(genuine)))
        if bytes(octets) in genuine or bytes(octets[20:]) in {g[20:] for g in genuine}:
            continue
        pair.right.feed(DatagramReceived(local, chance.choice(sources), bytes(octets)))
        if n % 1000 == 0:
            pair.right.effects.clear()
            pair.right.happenings.clear()
    assert moved_by(pair) == before
    assert all(d.remote in sources for d in pair.right.out)
    assert pair.right.engine.census()["ike_sas"] == 1
    # The genuine one still is heard, and moves all that it should.
    pair.right.feed(DatagramReceived(local, sources[2], genuine[8 + sa.window.next_id]))
    assert moved_by(pair)[0] != before[0] and moved_by(pair)[1] != before[1]


# --- order -----------------------------------------------------------------------------------

STATES = tuple(s for s in SCENES if s.name in ("init-response", "auth-request", "auth-response"))
REQUESTS = tuple(
    s for s in SCENES if not s.is_response and s.exchange is not ExchangeType.IKE_SA_INIT
)


OUT_OF_ORDER = tuple(
    (state, asked)
    for state in STATES
    for asked in REQUESTS
    if (state.name, asked.name) != ("auth-request", "auth-request")  # the one that is due
)


@pytest.mark.parametrize(
    "state, asked", OUT_OF_ORDER, ids=[f"{s.name}-{a.name}" for s, a in OUT_OF_ORDER]
)
def test_nothing_but_what_is_due_is_heard_before_authentication(state: Scene, asked: Scene) -> None:
    """S-13: genuine requests of each exchange, sealed with the real keys, in each early state.

    Both ways: the responder that waits for IKE_AUTH, and the initiator that waits for its answer.
    """
    stage = Stage(state)
    inside = Stage(asked).inside
    before = state_of(stage.victim)
    stage.victim.out.clear()
    sa = stage.victim_sa
    assert sa is not None
    for message_id in range(4):
        whose = stage.header.flags & HeaderFlag.INITIATOR
        for flags in (whose, whose | HeaderFlag.RESPONSE):
            header = Header(
                stage.header.spi_i,
                stage.header.spi_r,
                0,
                exchange=asked.exchange,
                flags=flags,
                message_id=message_id,
            )
            if stage.hand is None:
                octets = encode_message(header, ())
            else:
                octets = stage.hand.seal(header, inside.first, inside.chain)
            due = state.name == "auth-response" and header.is_response and message_id == 1
            if due and asked.exchange is ExchangeType.IKE_AUTH:
                continue
            stage.deliver(octets)
    assert state_of(stage.victim) == before
    assert not stage.victim.out and not stage.victim.sas
    stage.deliver(stage.genuine.octets)
    stage.pair.settle()
    assert len(stage.pair.left.sas) == len(stage.pair.right.sas) == 2


@pytest.mark.parametrize("exchange", sorted({*range(256)} - {36, 37}))
def test_exchange_types_that_do_not_exist_are_never_answered(exchange: int) -> None:
    """S-04, S-13: each number, in an established SA, with an empty chain under the real keys."""
    stage = Stage(next(s for s in SCENES if s.name == "probe-request"))
    before = state_of(stage.victim)
    assert stage.hand is not None
    stage.deliver(stage.hand.seal(replace(stage.header, exchange=exchange), 0, b""))
    assert state_of(stage.victim) == before and not stage.victim.out


def test_a_peer_cannot_take_an_spi_that_is_in_use() -> None:
    """The plane knows outbound SAs by SPI: removing a hostile peer's would remove another's.

    The first such SA stays as it is, whoever asks, and the next SPI is fine.
    """
    stage = Stage(next(s for s in SCENES if s.name == "new-child-request"))
    victim = stage.victim
    before = state_of(victim)
    (taken,) = (spi for spi, inbound in victim.sas if not inbound)
    first, *rest = split(stage.inside.first, stage.inside.chain)
    assert first.kind == 33
    # Behind the eight octets of the proposal's header.
    body = first.body[:8] + taken.to_bytes(4, "big") + first.body[12:]
    stage.deliver(stage.written(*join([replace(first, body=body), *rest])))
    opened = stage.answers.open(victim.out.pop(0).octets)
    (refusal,) = split(opened.first, opened.chain)
    assert int.from_bytes(refusal.body[2:4], "big") == NotifyType.TEMPORARY_FAILURE
    assert state_of(victim) == before
    stage.header = replace(stage.header, message_id=stage.header.message_id + 1)
    stage.deliver(stage.written(stage.inside.first, stage.inside.chain))
    assert len(victim.sas) == 4
