"""Two sites that speak IKEv1, for the tests of its exchanges."""

from collections.abc import Iterable

from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived, DeadlineReached
from isthmus.ike.core.pairs import LINGER_S
from isthmus.ike.v1 import rivals
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.transport import hash_over
from isthmus.policy.connection import ChildPolicy, Connection, IkeVersion
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.wire.header import Header
from isthmus.wire.v1 import VERSION_1, Hash, Payload, encode_chain

from .pair import LEFT, RIGHT, Keys, Pair, Side, connection, rule

PHASE1_V1 = ("aes128-sha256-modp2048",)
PHASE2_V1 = ("aes128gcm16-noesn",)
PFS_V1 = ("aes256-sha256-modp2048-noesn",)


def site(name: str, peer: str | None, rules: tuple[ChildPolicy, ...], **more: object) -> Connection:
    """A tunnel whose phase 1 is IKEv1's."""
    settings: dict[str, object] = {"proposals": PHASE1_V1, "ike": IkeVersion.V1, **more}
    return connection(name, peer, rules, **settings)  # type: ignore[arg-type]


def two_sites(
    proposals: tuple[str, ...] = PHASE2_V1,
    left_keys: Keys | None = None,
    right_keys: Keys | None = None,
    left: dict[str, object] | None = None,
    right: dict[str, object] | None = None,
    seed: int = 7,
) -> Pair:
    """Both ends of one tunnel; `left` and `right` are settings of one end each."""
    ours = rule(proposals=proposals)
    theirs = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=proposals)
    return Pair(
        site("site-b", RIGHT, (ours,), **(left or {})),
        site("site-a", LEFT, (theirs,), **(right or {})),
        left_keys,
        right_keys,
        seed,
    )


def standing(pair: Pair) -> Pair:
    """Both phases are up from the left, and both ends send."""
    pair.establish().advance(1.0)
    pair.agree()
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    return pair


def v1_sa(side: Side) -> SaV1:
    """The one phase 1 of a side."""
    (sa,) = side.engine._sas.values()  # tests look inside
    assert isinstance(sa, SaV1)
    return sa


def kinds(datagrams: Iterable[SendDatagram]) -> list[int]:
    """Exchanges of datagrams, in order."""
    return [Header.decode(d.octets).exchange for d in datagrams]


def again(pair: Pair, datagram: SendDatagram) -> None:
    """A datagram of either side comes once more."""
    receiver = pair.right if datagram.remote.address == RIGHT else pair.left
    receiver.feed(DatagramReceived(datagram.remote, datagram.local, datagram.octets))


def nothing_left(pair: Pair) -> None:
    """After the end of everything, and a while, neither engine holds a thing but its tunnels."""
    pair.advance(60)
    for side in (pair.left, pair.right):
        side.feed(DeadlineReached())
        census = side.engine.census()
        tunnels = census.pop("timer_owners")
        assert tunnels <= 1 and not any(census.values()), (side.name, census)
        assert not side.sas


def one_pair(pair: Pair) -> None:
    """One pair of SAs stands, crosswise, and nothing else a while later."""
    pair.advance(LINGER_S + rivals.OLD_PAIR_S + 2)
    assert len(pair.left.children()) == 1, pair.left.children()
    assert pair.left.children() == {(out, into) for into, out in pair.right.children()}
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    pair.agree()


def forged(sa: SaV1, kind: ExchangeType, message_id: int, payloads: tuple[Payload, ...]) -> bytes:
    """A first message behind phase 1 as one end would write it: sealed with its own keys."""
    assert sa.suite is not None and sa.suite.prf is not None and sa.protector is not None
    _, rest = encode_chain(payloads)
    whole = (Hash(hash_over(message_id)(sa, rest)), *payloads)
    header = Header(sa.spi_i, sa.spi_r, 0, VERSION_1, kind, message_id=message_id)
    first, plain = encode_chain(whole)
    iv = phase2_iv(sa.suite.prf, sa.last_block, message_id)
    return sa.protector.seal(header, first, plain, iv)[0]
