"""A peer of IKEv1 that is who it says, and hostile: what it gets by Quick Modes."""

from isthmus.ike.v1.children import CHILDREN_SPARE
from isthmus.ike.v1.transport import EXCHANGES_MAX
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.spi import Spi
from isthmus.wire.header import Header

from .hand import Opened
from .hand_v1 import HandV1
from .mutation import GENERIC
from .scenes_v1 import SCENES, StageV1

SPI_AT = 20
"""In Quick Mode's first message behind the HASH: generic headers of SA and proposal, and fields."""


class Peer:
    """The keys of a phase 1, and what its owner once asked for."""

    def __init__(self, scene: str) -> None:
        self.stage = StageV1(next(s for s in SCENES if s.name == scene))
        sa = self.stage.victim_sa
        assert sa is not None
        self.sa, self.hand = sa, HandV1(sa)
        inside = self.stage.inside
        self._first, _, length = GENERIC.unpack_from(inside.chain, 0)
        self._asked = inside.chain[length:]

    def _header(self, number: int) -> Header:
        return Header(
            *(self.sa.spi_i, self.sa.spi_r, 0),
            version=0x10,
            exchange=ExchangeType.QUICK_MODE,
            message_id=number,
        )

    def ask(self, number: int, spi: int) -> None:
        """1, with this SPI of the peer's."""
        header = self._header(number)
        octets = self._asked[:SPI_AT] + spi.to_bytes(4, "big") + self._asked[SPI_AT + 4 :]
        inside = self.hand.hashed(header, self._first, octets)
        self.stage.deliver(self.hand.seal(header, inside, self.hand.first_iv(number)))

    def confirm(self, number: int) -> bool:
        """3, if there was a 2."""
        exchange = self.sa.exchanges.get(number)
        if exchange is None or exchange.quick is None:
            return False
        header = self._header(number)
        nonces = exchange.quick.nonce_i, exchange.quick.nonce_r
        inside: Opened = self.hand.hashed(header, 0, b"", 3, nonces)
        self.stage.deliver(self.hand.seal(header, inside, exchange.iv))
        return True

    def outbound(self) -> list[int]:
        """SPIs of the victim's outbound SAs."""
        return [int(spi) for spi, inbound in self.stage.victim.sas if not inbound]

    def sends_by(self) -> list[int]:
        """Those that do not merely stand by."""
        return [spi for spi in self.outbound() if not self.stage.victim.standby[Spi(spi)]]


def test_a_peer_cannot_make_pairs_without_end() -> None:
    """Nor is it cut off from new ones: the oldest that another has replaced make way."""
    peer = Peer("quick-1")
    most = CHILDREN_SPARE + 2 * len(peer.sa.connection.rules)
    for number in range(1, 4 * most):
        peer.ask(number, 0x1000 + number)
        assert peer.confirm(number), f"pair {number} is made"
        assert len(peer.sa.children) <= most
        assert peer.sends_by() == [0x1000 + number]
        peer.stage.pair.advance(0.05, deliver=False)
        peer.stage.victim.out.clear()
    peer.stage.pair.advance(6.0, deliver=False)
    assert len(peer.stage.victim.sas) <= 2 * most, "and none listens much longer"


def test_pairs_that_a_peer_begins_and_leaves_are_bounded_and_go() -> None:
    peer = Peer("quick-1")
    for number in range(1, 4 * EXCHANGES_MAX):
        peer.ask(number, 0x1000 + number)
    assert len(peer.sa.children) <= EXCHANGES_MAX and not peer.outbound()
    peer.stage.pair.advance(400.0, deliver=False)
    assert not peer.sa.children and not peer.stage.victim.sas


def test_two_quick_modes_at_once_cannot_share_an_spi() -> None:
    """The second comes while the key of the first is still being made: both are good by then."""
    peer = Peer("quick-pfs-1")
    victim = peer.stage.victim
    victim.held_computes = []
    for number in (1, 2):
        peer.ask(number, 0xABCD)
    jobs, victim.held_computes = victim.held_computes, None
    assert len(jobs) == 2
    for job in jobs:
        victim.compute(job)
    assert [peer.confirm(number) for number in (1, 2)] == [True, False]
    assert peer.outbound() == [0xABCD], "the host asserts that no SPI lives twice"
