"""Every message of every exchange, about to be delivered: where a hostile peer steps in."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.exchanges.pair import LEFT, PHASE1, PHASE2, RIGHT, Pair, Side, connection, rule

from isthmus.ike.core.commands import Initiate, Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.v2.dialect import wish
from isthmus.ike.v2.wishes import WantProbe
from isthmus.values.registry.ikev2 import ExchangeType
from isthmus.values.time import Instant
from isthmus.wire.header import Header

from .hand import Hand, Opened, receiver_sa
from .mutation import HEADER_SIZE

CBC1 = ("aes256-sha256-x25519",)
CBC2 = ("aes256-sha256-x25519",)


def pair_of(phase1: tuple[str, ...] = PHASE1, phase2: tuple[str, ...] = PHASE2) -> Pair:
    """Two engines with two rules between them."""
    lan, dmz = ("10.1.0.0/24", "10.2.0.0/24"), ("10.1.9.0/24", "10.2.9.0/24")
    left = (rule("lan", *lan, phase2), rule("dmz", *dmz, phase2))
    right = (rule("lan", *lan[::-1], phase2), rule("dmz", *dmz[::-1], phase2))
    return Pair(
        connection("site-b", RIGHT, left, phase1, remote_id=f"ip:{RIGHT}"),
        connection("site-a", LEFT, right, phase1, remote_id=f"ip:{LEFT}"),
    )


def _nothing(pair: Pair) -> None:
    pair.left.command(Initiate("site-b", "lan"))


def _up(pair: Pair) -> Pair:
    """Phase 1, and phase 2 of the first rule."""
    pair.left.command(Initiate("site-b", "lan"))
    pair.settle()
    assert len(pair.left.sas) == len(pair.right.sas) == 2
    return pair


def _new_child(pair: Pair) -> None:
    _up(pair)
    pair.left.command(Initiate("site-b", "dmz"))


def _rekey_child(pair: Pair) -> None:
    _up(pair)
    pair.rekey(pair.left, 2)


def _rekey_ike(pair: Pair) -> None:
    _up(pair)
    pair.rekey(pair.left, 1)


def _delete_child(pair: Pair) -> None:
    _up(pair)
    pair.left.command(Terminate("site-b", "lan"))


def _delete_ike(pair: Pair) -> None:
    _up(pair)
    pair.down(pair.left)


def _probe(pair: Pair) -> None:
    _up(pair)
    engine = pair.left.engine
    (sa,) = engine._sas.values()
    engine._ctx.now = Instant(pair.now)
    wish(engine._ctx, sa, WantProbe())
    effects = tuple(engine._ctx.effects)
    engine._ctx.effects.clear()
    pair.left.perform(effects)


E = ExchangeType


@dataclass(frozen=True, slots=True)
class Scene:
    """A message of the left side's exchange, or the answer to it."""

    name: str
    prepare: Callable[[Pair], None]
    exchange: ExchangeType
    is_response: bool


EXCHANGES = (
    ("init", _nothing, E.IKE_SA_INIT),
    ("auth", _nothing, E.IKE_AUTH),
    ("new-child", _new_child, E.CREATE_CHILD_SA),
    ("rekey-child", _rekey_child, E.CREATE_CHILD_SA),
    ("rekey-ike", _rekey_ike, E.CREATE_CHILD_SA),
    ("delete-child", _delete_child, E.INFORMATIONAL),
    ("delete-ike", _delete_ike, E.INFORMATIONAL),
    ("probe", _probe, E.INFORMATIONAL),
)
SCENES = tuple(
    Scene(f"{name}-{'response' if answer else 'request'}", prepare, exchange, answer)
    for name, prepare, exchange in EXCHANGES
    for answer in (False, True)
)


class Stage:
    """A scene that is set: the genuine datagram lies ready, and its receiver is the victim."""

    def __init__(
        self,
        scene: Scene,
        phase1: tuple[str, ...] = PHASE1,
        phase2: tuple[str, ...] = PHASE2,
    ) -> None:
        self.scene = scene
        self.pair = pair_of(phase1, phase2)
        scene.prepare(self.pair)
        self.victim: Side = self.pair.left if scene.is_response else self.pair.right
        self.sender = self.pair.other(self.victim)
        self.genuine = self._until()
        self.header = Header.decode(self.genuine.octets)
        self.victim_sa = receiver_sa(self.victim.engine, self.genuine.octets)
        self.hand: Hand | None = None
        self._answers: Hand | None = None
        if scene.exchange is E.IKE_SA_INIT:
            self.inside = Opened(self.header.next_payload, self.genuine.octets[HEADER_SIZE:])
        else:
            assert self.victim_sa is not None
            self.hand = Hand(self.victim_sa, from_initiator=self.header.from_initiator)
            self.inside = self.hand.open(self.genuine.octets)
            self._answers = Hand(self.victim_sa, from_initiator=not self.header.from_initiator)

    def _until(self) -> SendDatagram:
        for _ in range(50):
            if self.sender.out:
                header = Header.decode(self.sender.out[0].octets)
                if (header.exchange, header.is_response) == (
                    self.scene.exchange,
                    self.scene.is_response,
                ):
                    return self.sender.out.pop(0)
            assert self.pair.step(), f"{self.scene.name} never comes"
        raise AssertionError(f"{self.scene.name} never comes")

    @property
    def answers(self) -> Hand:
        """What the victim seals with; after IKE_SA_INIT it has keys only once that is done."""
        if self._answers is None:
            assert self.victim_sa is not None
            return Hand(self.victim_sa, from_initiator=not self.header.from_initiator)
        return self._answers

    def written(self, first: int, chain: bytes, header: Header | None = None) -> bytes:
        """The datagram with another chain inside: sealed, where the genuine one is."""
        header = header or self.header
        if self.hand is not None:
            return self.hand.seal(header, first, chain)
        size = HEADER_SIZE + len(chain)
        return header.with_payload(first, size).encode(size) + chain

    def deliver(self, octets: bytes) -> None:
        """Give the victim a datagram as from the sender; its answers are in `victim.out`."""
        genuine = self.genuine
        self.victim.feed(DatagramReceived(genuine.remote, genuine.local, octets))
