"""S-03: pieces of messages from strangers, from the road, and from a peer that is authentic and
hostile. Nothing is kept that is not verified, nothing without bound, and nothing for ever."""

from dataclasses import replace
from random import Random

import pytest

from isthmus.ike.core.commands import Shutdown
from isthmus.ike.core.events import DeadlineReached
from isthmus.ike.core.fragments import HALF_OPEN_MAX, LIFE_S, MESSAGE_MAX
from isthmus.ike.v2 import fragments
from isthmus.ike.v2.fragments import PIECES_MAX
from isthmus.values.time import Instant

from .mutation import HEADER_SIZE
from .scenes import SCENES, Scene, Stage

PARTS = 5
VICTIMS = tuple(s for s in SCENES if s.name.startswith(("auth-", "new-child-", "rekey-ike-")))


class Pieces(Stage):
    """A scene whose genuine message is held back; the hand sends it in pieces as it likes."""

    def __init__(self, scene: Scene, parts: int = PARTS) -> None:
        super().__init__(scene)
        size = -(-len(self.inside.chain) // parts)
        self.parts = [self.inside.chain[n * size : (n + 1) * size] for n in range(parts)]

    def piece(
        self, number: int, total: int | None = None, part: bytes | None = None, first: int = -1
    ) -> bytes:
        """Under the right keys; without more words, piece `number` of the genuine message."""
        assert self.hand is not None
        part = self.parts[number - 1] if part is None else part
        if first < 0:
            first = self.inside.first if number == 1 else 0
        return self.hand.seal(self.header, first, part, piece=(number, total or len(self.parts)))

    @property
    def held(self) -> int:
        """Octets that the victim holds of messages which are not whole."""
        held = self.victim.engine.census()["fragment_octets"]
        (*sas,) = self.victim.engine._sas.values()
        told = sum(
            len(p) for sa in sas for s in sa.assembly._sets.values() for p in s.parts.values()
        )
        assert held == told, "the count is right"
        return held

    @property
    def answered(self) -> bool:
        """The victim took the message: it answers a request, or goes on after a response."""
        if self.scene.is_response:
            assert self.victim_sa is not None
            out = self.victim_sa.window.outstanding
            return out is None or out.message_id != self.header.message_id
        return bool(self.victim.out)

    def why(self) -> str:
        """Why the last datagram was dropped."""
        return str(dict(self.victim.events("datagram.dropped")[-1].detail)["reason"])

    def refuses(self, octets: bytes, reason: str) -> None:
        """Dropped for that reason, and nothing is held that was not before."""
        before, drops = self.held, len(self.victim.events("datagram.dropped"))
        self.deliver(octets)
        assert len(self.victim.events("datagram.dropped")) == drops + 1
        assert (self.why(), self.held) == (reason, before)
        assert not self.answered

    def goes_through(self) -> None:
        """For all that was done, the genuine message in its pieces is still understood."""
        for number in range(1, len(self.parts) + 1):
            self.deliver(self.piece(number))
        assert self.answered
        assert self.held == 0
        self.pair.settle()
        self.pair.agree()


@pytest.fixture(params=VICTIMS, ids=lambda scene: scene.name)
def stage(request: pytest.FixtureRequest) -> Pieces:
    """A message of each kind and direction."""
    pieces = Pieces(request.param)
    pieces.victim.out.clear()
    return pieces


def test_any_order_makes_the_message(stage: Pieces) -> None:
    order = list(range(1, PARTS + 1))
    Random(stage.scene.name).shuffle(order)
    for number in order[:-1]:
        stage.deliver(stage.piece(number))
        assert not stage.answered
    stage.deliver(stage.piece(order[-1]))
    assert stage.answered and stage.held == 0


@pytest.mark.parametrize(
    ("number", "total"), [(0, 0), (0, 1), (0, 5), (1, 0), (6, 5), (65535, 1), (65535, 65534)]
)
def test_numbers_that_cannot_be(stage: Pieces, number: int, total: int) -> None:
    """Their ICV is right; they say nonsense, and are not answered (RFC 7383 §2.6)."""
    assert stage.hand is not None
    bad = stage.hand.seal(stage.header, stage.inside.first, b"x", piece=(number, total))
    stage.refuses(bad, "malformed")
    stage.goes_through()


def test_a_piece_is_verified_before_it_is_kept(stage: Pieces) -> None:
    """Each octet of a piece is damaged once: nothing of it is held."""
    good = stage.piece(2)
    chance = Random(1)
    # Behind the SPIs, which find the SA.
    for at in range(16, len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << chance.randrange(8)
        stage.deliver(bytes(bad))
        assert stage.held == 0, at
    for cut in range(HEADER_SIZE, len(good)):
        stage.deliver(good[:24] + cut.to_bytes(4, "big") + good[28:cut])
        assert stage.held == 0, cut
    stage.victim.out.clear()
    stage.goes_through()


def test_a_piece_cannot_be_another_one(stage: Pieces) -> None:
    """Number and total are under the ICV: a stranger cannot move pieces about."""
    for other in ((1, PARTS), (3, PARTS), (2, PARTS + 1)):
        moved = bytearray(stage.piece(2))
        moved[32:36] = b"".join(n.to_bytes(2, "big") for n in other)
        stage.refuses(bytes(moved), "integrity")
    stage.goes_through()


def test_pieces_that_come_twice_or_overlap(stage: Pieces) -> None:
    """The first authentic one stays; another content under its number changes nothing."""
    stage.deliver(stage.piece(2))
    stage.refuses(stage.piece(2), "fragment_repeat")
    stage.refuses(stage.piece(2, part=b"something else of another length"), "fragment_repeat")
    stage.refuses(stage.piece(2, part=b""), "fragment_repeat")
    for number in (1, 3, 4, 5):
        stage.deliver(stage.piece(number))
    assert stage.answered and stage.held == 0


def test_the_total_changes(stage: Pieces) -> None:
    """More pieces begin anew, fewer are ignored; no message is made of two sets."""
    stage.deliver(stage.piece(1))
    stage.deliver(stage.piece(2, PARTS + 1, b"finer"))
    assert stage.held == len(b"finer")
    for number in range(1, PARTS + 1):
        stage.refuses(stage.piece(number), "fragment_of_old_set")
    assert stage.held == len(b"finer")
    # The finer set is completed: three octets a piece more or less do not matter.
    chain = stage.inside.chain
    size = -(-len(chain) // (PARTS + 2))
    stage.parts = [chain[n * size : (n + 1) * size] for n in range(PARTS + 2)]
    stage.goes_through()


def test_the_first_piece_is_missing(stage: Pieces) -> None:
    """All others are here, and wait: nobody reads what has no beginning."""
    for number in range(2, PARTS + 1):
        stage.deliver(stage.piece(number))
    for number in range(2, PARTS + 1):
        stage.refuses(stage.piece(number), "fragment_repeat")
    assert stage.held == sum(map(len, stage.parts[1:]))
    stage.deliver(stage.piece(1))
    assert stage.answered and stage.held == 0


def test_only_the_first_piece_says_what_is_inside(stage: Pieces) -> None:
    """What the others write there is no matter."""
    for number in range(PARTS, 0, -1):
        stage.deliver(stage.piece(number, first=-1 if number == 1 else 47))
    assert stage.answered and stage.held == 0


def test_65535_pieces_of_one_octet(stage: Pieces) -> None:
    """Not one is held; and 32 of one octet are the most."""
    for number in (1, 2, 33, 65535):
        stage.refuses(stage.piece(number, 65535, b"x"), "fragments_too_many")
    stage.refuses(stage.piece(1, PIECES_MAX + 1, b"x"), "fragments_too_many")
    for number in range(1, PIECES_MAX):
        stage.deliver(stage.piece(number, PIECES_MAX, b"x"))
    assert stage.held == PIECES_MAX - 1


def test_pieces_of_more_than_64_kib(stage: Pieces) -> None:
    """The whole set is thrown away as soon as it is too much."""
    large = bytes(MESSAGE_MAX // 4)
    for number in range(1, 5):
        stage.deliver(stage.piece(number, PARTS, large))
    assert stage.held == MESSAGE_MAX
    stage.deliver(stage.piece(5, PARTS, b"x"))
    assert (stage.why(), stage.held) == ("fragments_too_large", 0)
    stage.goes_through()


def test_what_is_not_completed_is_forgotten_after_15_s(stage: Pieces) -> None:
    """It does not end the IKE SA (RFC 7383 §2.6), and repeats of a piece do not prolong it."""
    pair, victim = stage.pair, stage.victim
    began = pair.now
    stage.deliver(stage.piece(1))
    for later in (5.0, 10.0, LIFE_S - 0.5):
        pair.now = began + later
        stage.deliver(stage.piece(1))
        stage.deliver(stage.piece(2))
        victim.feed(DeadlineReached())
        assert stage.held == len(stage.parts[0]) + len(stage.parts[1])
    victim.out.clear()
    pair.now = began + LIFE_S
    victim.feed(DeadlineReached())
    assert (stage.why(), stage.held) == ("fragments_missing", 0)
    if not stage.scene.is_response:
        victim.out.clear()
        stage.goes_through()


def test_one_message_at_a_time(stage: Pieces) -> None:
    """Pieces of exchanges that nobody waits for are not held, whatever their ICV says."""
    assert stage.hand is not None
    for message_id in {0, 1, 2, 3, 4, 1 << 31} - {stage.header.message_id}:
        header = replace(stage.header, message_id=message_id)
        stage.deliver(stage.hand.seal(header, 0, b"x", piece=(2, 5)))
        assert stage.held == 0, message_id
    for exchange in {34, 35, 36, 37, 38, 43, 255} - {int(stage.header.exchange)}:
        header = replace(stage.header, exchange=exchange)
        stage.deliver(stage.hand.seal(header, 0, b"x", piece=(2, 5)))
        (*sas,) = stage.victim.engine._sas.values()
        assert sum(len(sa.assembly._sets) for sa in sas) <= 1
        if stage.scene.name == "auth-request":
            assert stage.held == 0, "before authentication there is IKE_AUTH only"
    stage.victim.out.clear()
    stage.goes_through()


def test_both_directions_have_a_place_of_their_own() -> None:
    """A request in pieces does not push out the response in pieces that is on its way."""
    stage = Pieces(next(s for s in SCENES if s.name == "new-child-response"))
    assert stage.hand is not None
    stage.deliver(stage.piece(1))
    header = replace(stage.header, flags=stage.header.flags & ~0x20, message_id=0)
    stage.deliver(stage.hand.seal(header, 42, b"x", piece=(1, 2)))
    assert stage.held == len(stage.parts[0]) + 1
    for number in range(2, PARTS + 1):
        stage.deliver(stage.piece(number))
    assert stage.answered and stage.held == 1


def test_an_sa_that_ends_takes_its_pieces_along() -> None:
    stage = Pieces(next(s for s in SCENES if s.name == "auth-request"))
    stage.deliver(stage.piece(1))
    assert stage.held > 0
    stage.victim.command(Shutdown())
    assert stage.victim.engine.census()["ike_sas"] == 0
    assert stage.victim.engine.census()["fragment_octets"] == 0
    assert stage.victim.engine.census()["dead_timers"] == 0


def test_half_open_peers_together_have_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys cost a stranger one exchange: many of them may not fill the memory with pieces. Who is
    authenticated is not affected."""
    assert HALF_OPEN_MAX == 16 << 20
    monkeypatch.setattr(fragments, "HALF_OPEN_MAX", 1000)
    half_open = Pieces(next(s for s in SCENES if s.name == "auth-request"))
    half_open.deliver(half_open.piece(1, PARTS, bytes(900)))
    half_open.refuses(half_open.piece(2, PARTS, bytes(101)), "fragments_full")
    half_open.deliver(half_open.piece(2, PARTS, bytes(100)))
    assert half_open.held == 1000
    known = Pieces(next(s for s in SCENES if s.name == "new-child-request"))
    known.deliver(known.piece(1, PARTS, bytes(5000)))
    assert known.held == 5000


def test_what_the_pieces_make_is_judged_like_any_message(stage: Pieces) -> None:
    """Nonsense in good pieces: the answer to it is the same as in one."""
    for number in range(1, PARTS + 1):
        stage.deliver(stage.piece(number, PARTS, b"\xff" * 40))
    assert stage.held == 0
    whole = Stage(stage.scene)
    whole.victim.out.clear()
    whole.deliver(whole.written(whole.inside.first, b"\xff" * 40 * PARTS))
    assert [len(d.octets) for d in stage.victim.out] == [len(d.octets) for d in whole.victim.out]
    assert stage.victim.engine.census() == whole.victim.engine.census()


def test_payloads_beside_a_piece_are_not_believed(stage: Pieces) -> None:
    """What stands outside is not encrypted; no exchange of ours has such."""
    piece = stage.piece(1)
    size = len(piece) + 8
    head = piece[:16] + bytes((41,)) + piece[17:24] + size.to_bytes(4, "big")
    notify = bytes((53, 0, 0, 8, 0, 0, 0x40, 0x2E))
    stage.refuses(head + notify + piece[28:], "integrity")


def test_a_thousand_pieces_at_random() -> None:
    """Any numbers, totals, contents and times: bounds hold, no exception escapes."""
    for seed in range(20):
        chance = Random(seed)
        stage = Pieces(chance.choice(VICTIMS))
        for _ in range(50):
            total = chance.choice((1, 2, 5, 31, 32, 33, chance.randrange(65536)))
            number = chance.choice((1, 2, total, chance.randrange(65536)))
            part = bytes(chance.choice((0, 1, 100, 3000, 30000)))
            assert stage.hand is not None
            header = replace(stage.header, message_id=chance.choice((0, 1, 2, 3)))
            stage.deliver(
                stage.hand.seal(header, chance.randrange(256), part, piece=(number, total))
            )
            stage.pair.now = Instant(stage.pair.now + chance.choice((0.0, 0.1, 3.0)))
            stage.victim.feed(DeadlineReached())
            assert stage.victim.engine.census()["fragment_octets"] <= 2 * MESSAGE_MAX
