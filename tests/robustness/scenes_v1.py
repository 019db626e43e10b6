"""Every message of every exchange of IKEv1 about to be delivered: where a hostile peer steps in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tests.exchanges.pair import Keys, Pair, Side
from tests.exchanges.pki import Node, issue, private, trust
from tests.exchanges.test_ikev1_access import pair as with_access
from tests.exchanges.v1 import PFS_V1, two_sites

from isthmus.ike.core.commands import Initiate, Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.v1.exchanges import informational
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Fragmentation, V1Terms
from isthmus.values.registry.ikev1 import ExchangeType, Flag
from isthmus.values.time import Instant
from isthmus.wire.header import Header

from .hand import Opened
from .hand_v1 import HASH, HandV1, receiver_sa
from .mutation import GENERIC, GENERIC_SIZE, HEADER_SIZE, Mutator

NAME = "site-b"
RETRIES_MAX = 200


# --- pairs ----------------------------------------------------------------------------------


def by_secret() -> Pair:
    """Main Mode with a pre-shared key, phase 2 without PFS."""
    return two_sites()


def with_pfs() -> Pair:
    """A public value in Quick Mode too."""
    return two_sites(PFS_V1)


@cache
def _nodes() -> tuple[Node, Node, Node]:
    root = issue("Root of IKEv1")
    left = issue("left", root, private("p256", 11), names=("fqdn:left.example.org",))
    right = issue("right", root, private("p256", 12), names=("fqdn:right.example.org",))
    return root, left, right


def by_certificates(size: int = 1280) -> Pair:
    """Main Mode with ECDSA signatures."""
    root, left, right = _nodes()
    auth = {
        "local_auth": LocalAuth(AuthKind.CERT, "own"),
        "remote_auth": RemoteAuth(AuthKind.CERT, "trust"),
        "fragmentation": Fragmentation(size=size),
    }
    ids = ("fqdn:left.example.org", "fqdn:right.example.org")
    return two_sites(
        left_keys=Keys(owns={"own": left.own()}, trusts={"trust": trust(root)}),
        right_keys=Keys(owns={"own": right.own()}, trusts={"trust": trust(root)}),
        left=auth | {"local_id": ids[0], "remote_id": ids[1]},
        right=auth | {"local_id": ids[1], "remote_id": ids[0]},
    )


def in_pieces() -> Pair:
    """The same over a road that carries little at once."""
    return by_certificates(size=576)


def aggressively() -> Pair:
    """Aggressive Mode with a pre-shared key."""
    terms: dict[str, object] = {"v1": V1Terms(aggressive=True)}
    return two_sites(left=terms, right=terms)


# --- what is done -----------------------------------------------------------------------------


def _start(pair: Pair) -> None:
    pair.left.command(Initiate(NAME))


def _up(pair: Pair) -> Pair:
    _start(pair)
    pair.settle().advance(1.0)
    assert len(pair.left.sas) == len(pair.right.sas) == 2, pair.left.happenings[-5:]
    return pair


def _renewal(pair: Pair) -> None:
    _up(pair).rekey(pair.left, 2)


def _delete_child(pair: Pair) -> None:
    _up(pair).left.command(Terminate(NAME, "lan"))


def _delete_ike(pair: Pair) -> None:
    _up(pair).down(pair.left)


def _probe(pair: Pair) -> None:
    engine = _up(pair).left.engine
    (sa,) = engine._sas.values()
    assert isinstance(sa, SaV1)
    engine._ctx.now = Instant(pair.now)
    informational.probe(engine._ctx, sa)
    effects = tuple(engine._ctx.effects)
    engine._ctx.effects.clear()
    pair.left.perform(effects)


E = ExchangeType


@dataclass(frozen=True, slots=True)
class SceneV1:
    """One message: the nth of an exchange that a side sends."""

    name: str
    made: Callable[[], Pair]
    prepare: Callable[[Pair], None]
    exchange: ExchangeType
    from_left: bool
    nth: int = 0
    of_quick: int = 0
    """Which message of a Quick Mode it is, for the HASHes of those differ."""


def _main(name: str, made: Callable[[], Pair]) -> tuple[SceneV1, ...]:
    return tuple(
        SceneV1(f"{name}-{number}", made, _start, E.MAIN_MODE, bool(number % 2), (number - 1) // 2)
        for number in range(1, 7)
    )


def _quick(
    name: str, made: Callable[[], Pair], prepare: Callable[[Pair], None]
) -> tuple[SceneV1, ...]:
    return (
        SceneV1(f"{name}-1", made, prepare, E.QUICK_MODE, True, 0, 1),
        SceneV1(f"{name}-2", made, prepare, E.QUICK_MODE, False, 0, 2),
        SceneV1(f"{name}-3", made, prepare, E.QUICK_MODE, True, 1, 3),
    )


SCENES = (
    *_main("main-psk", by_secret),
    *_main("main-cert", by_certificates),
    SceneV1("pieces-of-5", in_pieces, _start, E.MAIN_MODE, True, 2),
    SceneV1("pieces-of-6", in_pieces, _start, E.MAIN_MODE, False, 2),
    SceneV1("aggressive-1", aggressively, _start, E.AGGRESSIVE_MODE, True),
    SceneV1("aggressive-2", aggressively, _start, E.AGGRESSIVE_MODE, False),
    SceneV1("aggressive-3", aggressively, _start, E.AGGRESSIVE_MODE, True, 1),
    *_quick("quick", by_secret, _start),
    *_quick("quick-pfs", with_pfs, _start),
    *_quick("renewal", by_secret, _renewal),
    SceneV1("probe", by_secret, _probe, E.INFORMATIONAL, True),
    SceneV1("probe-answer", by_secret, _probe, E.INFORMATIONAL, False),
    SceneV1("delete-child", by_secret, _delete_child, E.INFORMATIONAL, True),
    SceneV1("delete-ike", by_secret, _delete_ike, E.INFORMATIONAL, True),
    SceneV1("login-question", with_access, _start, E.TRANSACTION, False),
    SceneV1("login-answer", with_access, _start, E.TRANSACTION, True),
    SceneV1("login-verdict", with_access, _start, E.TRANSACTION, False, 1),
    SceneV1("login-done", with_access, _start, E.TRANSACTION, True, 1),
    SceneV1("address-wanted", with_access, _start, E.TRANSACTION, True, 2),
    SceneV1("address-given", with_access, _start, E.TRANSACTION, False, 2),
)


class StageV1:
    """A scene that is set: the genuine datagram lies ready, and its receiver is the victim."""

    def __init__(self, scene: SceneV1) -> None:
        self.scene = scene
        self.pair = scene.made()
        heard = len(self.pair.wire)
        scene.prepare(self.pair)
        assert scene.prepare is _start or len(self.pair.wire) > heard
        self.victim: Side = self.pair.right if scene.from_left else self.pair.left
        self.sender = self.pair.other(self.victim)
        self.genuine = self._until()
        self.header = Header.decode(self.genuine.octets)
        sa = receiver_sa(self.victim.engine, self.genuine.octets)
        self.hand: HandV1 | None = None
        self._nonces: tuple[bytes, bytes] | None = None
        self._is_due = self._is_begun(self.header.message_id)
        self._waits_in = None if sa is None else type(sa.state)
        if self.header.flags & Flag.ENCRYPTION:
            assert sa is not None
            self.hand = HandV1(sa)
            self.inside = self.hand.open(
                self.genuine.octets, self.hand.due_iv(self.header.message_id)
            )
            if scene.of_quick > 1:
                quick = sa.exchanges[self.header.message_id].quick
                assert quick is not None
                self._nonces = quick.nonce_i, quick.nonce_r
        else:
            self.inside = Opened(self.header.next_payload, self.genuine.octets[HEADER_SIZE:])

    def _until(self) -> SendDatagram:
        left = self.scene.nth
        for _ in range(RETRIES_MAX):
            while self.sender.out:
                octets = self.sender.out[0].octets
                if Header.decode(octets).exchange != self.scene.exchange:
                    break
                if left == 0:
                    return self.sender.out.pop(0)
                left -= 1
                self.pair.deliver(self.sender, self.sender.out.pop(0))
            assert self.pair.step(), f"{self.scene.name} never comes"
        raise AssertionError(f"{self.scene.name} never comes")

    @property
    def victim_sa(self) -> SaV1 | None:
        """The receiver's phase 1, while there is one."""
        return receiver_sa(self.victim.engine, self.genuine.octets)

    @property
    def is_over(self) -> bool:
        """The victim no longer waits for such a message."""
        sa = self.victim_sa
        if self.header.message_id == 0:
            return (None if sa is None else type(sa.state)) is not self._waits_in
        if sa is None or sa.keys is None:
            return True
        return self._is_due and not self._is_begun(self.header.message_id)

    def mutant(self, mutator: Mutator) -> bytes:
        """One damaged datagram: as it lies on the wire, behind the cipher, or behind the HASH."""
        chance = mutator.chance
        others = [d.octets for d in self.pair.wire] or [b""]
        if self.hand is None:
            if chance.random() < 0.4:
                return mutator.datagram(self.genuine.octets, chance.choice(others))
            inside = Opened(*mutator.chain(self.inside.first, self.inside.chain))
            size = HEADER_SIZE + len(inside.chain)
            return self.header.with_payload(inside.first, size).encode(size) + inside.chain
        if chance.random() < 0.2:
            return mutator.datagram(self.genuine.octets, chance.choice(others))
        return self._sealed(mutator, self.hand)

    def _sealed(self, mutator: Mutator, hand: HandV1) -> bytes:
        chance, header, inside = mutator.chance, self.header, self.inside
        is_begun = self._is_begun(header.message_id)
        if header.message_id and not is_begun:
            # An ID is good for one exchange: another mutant under it would not be read.
            header = _numbered(header, chance.getrandbits(32) or 1)
        if chance.random() < 0.06:
            header = _numbered(header, chance.choice((0, 1, 2**31, 2**32 - 1)))
        iv = hand.due_iv(header.message_id)
        if chance.random() < 0.25:
            return hand.seal(header, Opened(*mutator.chain(inside.first, inside.chain)), iv)
        if self.header.message_id == 0:
            damaged = Opened(*mutator.chain(inside.first, inside.chain))
            by_left = self.scene.from_left
            return hand.seal(header, hand.proved(damaged, initiator=by_left), iv)
        rest_first, _, length = GENERIC.unpack_from(inside.chain, 0)
        assert inside.first == HASH and length > GENERIC_SIZE
        rest = inside.chain[length:]
        first, rest = mutator.chain(rest_first, rest) if rest_first else (0, rest)
        if chance.random() < 0.1:
            first, rest = rest_first, inside.chain[length:]
        hashed = hand.hashed(header, first, rest, self.scene.of_quick, self._nonces)
        return hand.seal(header, hashed, iv)

    def _is_begun(self, message_id: int) -> bool:
        sa = self.victim_sa
        return sa is not None and message_id in sa.exchanges

    def deliver(self, octets: bytes) -> None:
        """Give the victim a datagram as from the sender; its answers are in `victim.out`."""
        genuine = self.genuine
        self.victim.feed(DatagramReceived(genuine.remote, genuine.local, octets))


def _numbered(header: Header, message_id: int) -> Header:
    return Header(
        *(header.spi_i, header.spi_r, header.next_payload),
        version=header.version,
        exchange=header.exchange,
        flags=header.flags,
        message_id=message_id,
    )
