"""IKEv1's first messages by the thousand, from addresses that nobody has: what they cost (R-26).

And what anybody's octets cost under cookies that are right: the cipher is undone, and what comes
out is read, before a HASH can tell that it is nonsense.
"""

from random import Random

import pytest
from tests.exchanges.pair import LEFT, RIGHT, Pair, rule
from tests.exchanges.v1 import PHASE2_V1, site, two_sites

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.v1.door import EMBRYOS_MAX
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.transport import EXCHANGES_MAX
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType, Flag
from isthmus.wire.header import HEADER_SIZE, Header

FIRST_MESSAGES = 10_000
GARBAGE = 20_000
HERE = Endpoint(RIGHT, 500)


def anybody() -> Pair:
    """The right side takes peers from any address."""
    ours = rule(proposals=PHASE2_V1)
    theirs = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=PHASE2_V1)
    return Pair(
        site("site-b", RIGHT, (ours,)),
        site("site-a", None, (theirs,), remote_id=f"ip:{LEFT}"),
    )


def spoofed(number: int) -> Endpoint:
    """An address of RFC 2544's network for tests, another one each time."""
    return Endpoint(f"198.{18 + number // 65536 % 2}.{number // 256 % 256}.{number % 256}", 500)


def test_ten_thousand_first_messages_cost_a_bounded_table_and_reflect_nothing() -> None:
    pair = anybody()
    pair.left.command(Initiate("site-b"))
    first = bytearray(pair.left.out[0].octets)
    pair.lose()
    sent = said = 0
    for number in range(FIRST_MESSAGES):
        first[0:8] = (number + 1).to_bytes(8, "big")
        pair.right.feed(DatagramReceived(HERE, spoofed(number), bytes(first)))
        sent += len(first)
        said += sum(len(d.octets) for d in pair.right.out)
        for history in (pair.right.out, pair.right.effects, pair.right.happenings):
            history.clear()
        if number == FIRST_MESSAGES // 2:
            # In the thick of it: the tunnel comes up at the next repeat of its first message.
            pair.advance(3.0)
            assert pair.left.view().state == pair.right.view().state == "up"
            census = pair.right.engine.census()
            assert census["embryos"] > EMBRYOS_MAX // 2, "the flood is one that is answered"
    assert 0 < said <= sent
    census = pair.right.engine.census()
    assert census["embryos"] <= EMBRYOS_MAX and census["ike_sas"] == 1
    assert census["half_open"] == census["waiting_computes"] == 0
    pair.agree()
    pair.down(pair.left)
    pair.settle()
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(3.0)
    assert pair.left.view().state == pair.right.view().state == "up", "and after it"
    pair.advance(120.0)
    assert pair.right.engine.census()["embryos"] == 0


@pytest.mark.parametrize(
    "exchange",
    [
        ExchangeType.QUICK_MODE,
        ExchangeType.INFORMATIONAL,
        ExchangeType.TRANSACTION,
        ExchangeType.MAIN_MODE,
    ],
    ids=lambda exchange: exchange.name,
)
def test_octets_of_anybody_under_the_right_cookies_move_nothing(exchange: ExchangeType) -> None:
    """Phase 1 stands, and its window of exchanges is full of what repeats are known by."""
    pair = two_sites().establish()
    pair.advance(1.0)
    for _ in range(EXCHANGES_MAX + 6):
        pair.rekey(pair.left, 2)
        pair.settle().advance(0.3)
    (sa,) = pair.right.engine._sas.values()
    assert isinstance(sa, SaV1) and len(sa.exchanges) == EXCHANGES_MAX
    chance = Random(exchange.name)
    before = _state(pair, sa)
    for history in (pair.right.out, pair.right.effects, pair.right.happenings):
        history.clear()
    for _ in range(GARBAGE):
        size = 16 * chance.randrange(1, 30) + chance.choice((0, 0, 0, 1))
        header = Header(
            *(sa.spi_i, sa.spi_r, chance.choice((0, 1, 5, 8, 8, 8, 11, 12, 14))),
            version=0x10,
            exchange=exchange,
            flags=chance.choice(
                (Flag.ENCRYPTION, Flag.ENCRYPTION, Flag.ENCRYPTION | Flag.COMMIT, 0)
            ),
            message_id=chance.choice((0, chance.getrandbits(32), *sa.exchanges)),
        )
        length = HEADER_SIZE + size
        octets = header.with_payload(header.next_payload, length).encode(length)
        remote = Endpoint(LEFT, chance.choice((500, 4500, 1)))
        pair.right.feed(DatagramReceived(HERE, remote, octets + chance.randbytes(size)))
    assert _state(pair, sa) == before
    assert not pair.right.out, "and nobody is answered"
    pair.agree()


def _state(pair: Pair, sa: SaV1) -> tuple[object, ...]:
    exchanges = [(e.message_id, e.iv, e.heard, e.reply, e.sent) for e in sa.every_exchange]
    return (
        exchanges,
        list(sa.used_ids),
        *(sa.state, sa.heard_at, sa.remote, sa.local, sa.last_block, sa.probe_heard),
        pair.right.engine.deadline,
        {k: v for k, v in pair.right.engine.census().items() if not k.startswith("oldest")},
        frozenset(pair.right.sas),
    )
