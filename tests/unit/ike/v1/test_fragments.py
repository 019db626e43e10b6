"""IKEv1's messages in pieces: cut, lost, repeated, poisoned, and strongSwan's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.ike.core.agenda import Agenda, Owner, TimerKind
from isthmus.ike.core.context import Context
from isthmus.ike.core.fragments import HALF_OPEN_MAX, LIFE_S, MESSAGE_MAX, NotKept
from isthmus.ike.v1 import fragments
from isthmus.ike.v1.fragments import (
    PIECES_MAX,
    PIECES_SENT_MAX,
    ROOM_MAX,
    STRANGERS_MESSAGE_MAX,
    Assembly,
    cut,
    piece_in,
)
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import ExchangeType, Flag, PayloadType
from isthmus.values.time import Instant
from isthmus.wire.header import HEADER_SIZE, Header
from isthmus.wire.v1 import Fragment, Nonce, VendorId, decode_message, encode_message

V4, V6 = Endpoint("192.0.2.1", 4500), Endpoint("2001:db8::1", 4500)
OWNER: Owner = ("sa", b"an SPI")
HEADER = Header(b"\x11" * 8, b"\x22" * 8, 0, version=0x10, exchange=2)
CAPTURES = Path(__file__).parents[3] / "vectors" / "captures" / "ikev1_strongswan.json"


def message(size: int, fill: int = 0, header: Header = HEADER) -> bytes:
    """An encrypted message of so many octets; `fill` tells one from another."""
    inside = bytes((fill + at // 7) % 256 for at in range(size - HEADER_SIZE))
    sealed = replace(header, next_payload=PayloadType.ID, flags=Flag.ENCRYPTION)
    return sealed.encode(size) + inside


def pieces_of(octets: bytes, parts: int, fragment_id: int = 1) -> list[Fragment]:
    """A message in so many pieces, numbered together."""
    size = -(-len(octets) // parts)
    found = [octets[at : at + size] for at in range(0, len(octets), size)]
    return [Fragment(fragment_id, n, n == len(found), p) for n, p in enumerate(found, 1)]


class Ear:
    """One IKE SA's pieces, with what surrounds them."""

    def __init__(self, ctx: Context | None = None, owner: Owner = OWNER) -> None:
        nobody = cast(Any, None)
        self.ctx = ctx or Context(Instant(0.0), nobody, Agenda(), nobody, nobody, nobody)
        self.owner = owner
        self.assembly = Assembly(owner)
        self.is_authenticated = True
        self.header = HEADER

    def hears(self, piece: Fragment) -> bytes | None:
        """One piece."""
        return self.assembly.keep(
            self.ctx, self.header, piece, is_authenticated=self.is_authenticated
        )

    def tries(self, piece: Fragment) -> bytes | str | None:
        """One piece; the reason where it is refused."""
        try:
            return self.hears(piece)
        except NotKept as why:
            return str(why)

    def refuses(self, piece: Fragment, reason: str) -> None:
        """One piece that is of no use for this reason."""
        with pytest.raises(NotKept, match=f"^{reason}$"):
            self.hears(piece)

    @property
    def held(self) -> int:
        """Octets that count, which are those that are there; a timer runs when there are any."""
        waiting = self.assembly._waiting
        there = 0 if waiting is None else sum(map(len, waiting.parts.values()))
        armed = self.ctx.agenda.when(self.owner, TimerKind.FRAGMENTS) is not None
        assert armed == (there > 0)
        assert self.ctx.fragments_held >= there
        return there

    def is_empty(self) -> bool:
        """Nothing waits and nothing counts."""
        return self.held == 0 and self.ctx.fragments_held == 0


# --- cutting --------------------------------------------------------------------------------


@pytest.mark.parametrize(("remote", "ip"), [(V4, 20), (V6, 40)])
def test_a_message_that_fits_is_not_cut(remote: Endpoint, ip: int) -> None:
    size = 576
    largest = message(size - ip - 8 - 4)
    assert cut(HEADER, largest, size, remote, 1) == (largest,)
    larger = message(size - ip - 8 - 4 + 1)
    assert len(cut(HEADER, larger, size, remote, 1)) == 2


@given(
    size=st.integers(200, 1500),
    length=st.integers(HEADER_SIZE, 20_000),
    fragment_id=st.integers(0, 0xFFFF),
    remote=st.sampled_from([V4, V6]),
)
def test_pieces_fit_and_make_the_message(
    size: int, length: int, fragment_id: int, remote: Endpoint
) -> None:
    octets = message(length)
    datagrams = cut(Header.decode(octets), octets, size, remote, fragment_id)
    headers = 8 + 4 + (20 if remote is V4 else 40)
    part = size - headers - HEADER_SIZE - 8
    if length + headers <= size or length > part * PIECES_SENT_MAX:
        assert datagrams == (octets,)
        return
    assert len(datagrams) == -(-length // part)
    assert all(len(datagram) + headers == size for datagram in datagrams[:-1])
    assert len(datagrams[-1]) + headers <= size
    ear = Ear()
    for datagram in datagrams[:-1]:
        piece = piece_in(Header.decode(datagram), datagram)
        assert piece is not None and piece.id == fragment_id
        assert ear.hears(piece) is None
    last = piece_in(Header.decode(datagrams[-1]), datagrams[-1])
    assert last is not None
    assert ear.hears(last) == octets
    assert ear.is_empty()


@pytest.mark.parametrize(
    ("exchange", "mode", "outside"),
    [
        (ExchangeType.MAIN_MODE, ExchangeType.MAIN_MODE, ExchangeType.MAIN_MODE),
        (ExchangeType.AGGRESSIVE_MODE, ExchangeType.MAIN_MODE, ExchangeType.AGGRESSIVE_MODE),
        (ExchangeType.QUICK_MODE, ExchangeType.MAIN_MODE, ExchangeType.MAIN_MODE),
        (ExchangeType.TRANSACTION, ExchangeType.AGGRESSIVE_MODE, ExchangeType.AGGRESSIVE_MODE),
    ],
)
def test_pieces_go_under_phase_1(
    exchange: ExchangeType, mode: ExchangeType, outside: ExchangeType
) -> None:
    """As strongSwan's do: exchange of phase 1, message ID 0, in clear; the original is inside."""
    header = replace(HEADER, exchange=exchange, message_id=0x01020304, flags=Flag.ENCRYPTION)
    octets = message(1000, header=header)
    datagrams = cut(header, octets, 576, V4, 3, mode)
    assert len(datagrams) == 2
    for datagram in datagrams:
        carrier, chain = decode_message(datagram)
        assert (carrier.exchange, carrier.message_id, carrier.flags) == (outside, 0, 0)
        assert (carrier.spi_i, carrier.spi_r) == (header.spi_i, header.spi_r)
        assert encode_message(carrier, chain.payloads) == datagram


@pytest.mark.parametrize("size", [0, 60, 68, 69])
def test_what_nobody_would_put_together_goes_whole(size: int) -> None:
    """There is no room for a piece, or it takes too many."""
    octets = message(PIECES_SENT_MAX + HEADER_SIZE)
    assert cut(HEADER, octets, size, V4, 1) == (octets,)


def test_there_are_at_most_16_pieces() -> None:
    size = 576
    part = size - 20 - 8 - 4 - HEADER_SIZE - 8
    assert len(cut(HEADER, message(16 * part), size, V4, 1)) == PIECES_SENT_MAX == 16
    assert len(cut(HEADER, message(16 * part + 1), size, V4, 1)) == 1


# --- reading one piece ----------------------------------------------------------------------


def test_a_piece_is_known_by_the_first_payload() -> None:
    piece = Fragment(1, 2, False, b"x")
    datagram = encode_message(HEADER, (piece,))
    assert piece_in(Header.decode(datagram), datagram) == piece
    whole = encode_message(HEADER, (Nonce(bytes(16)),))
    assert piece_in(Header.decode(whole), whole) is None


def test_a_piece_under_the_flag_of_the_whole_message() -> None:
    """Some racoons leave it as the original has it; the piece is in clear for all that."""
    piece = Fragment(1, 2, False, b"x")
    datagram = encode_message(replace(HEADER, flags=Flag.ENCRYPTION), (piece,))
    with pytest.raises(Malformed):
        decode_message(datagram)
    assert piece_in(Header.decode(datagram), datagram) == piece


def test_nothing_stands_beside_a_piece() -> None:
    piece = Fragment(1, 2, False, b"x")
    for beside in ((piece,), (VendorId(b"v"),)):
        datagram = encode_message(HEADER, (piece, *beside))
        with pytest.raises(Malformed, match="1 payloads beside"):
            piece_in(Header.decode(datagram), datagram)


# --- putting together -----------------------------------------------------------------------


@given(st.data())
def test_any_order_with_repeats_makes_the_message(data: st.DataObject) -> None:
    """Each piece comes at least once; the message is there with the last new one, once."""
    parts = data.draw(st.integers(2, 9))
    octets = message(data.draw(st.integers(200, 3000)))
    pieces = pieces_of(octets, parts)
    order = data.draw(st.permutations(pieces))
    repeats = data.draw(st.lists(st.sampled_from(pieces), max_size=12))
    ear = Ear()
    came: set[int] = set()
    for piece in order[:-1]:
        assert ear.hears(piece) is None
        came.add(piece.number)
        for repeat in repeats:
            if repeat.number in came:
                before = ear.held
                ear.refuses(repeat, "fragment_repeat")
                assert ear.held == before
    assert ear.hears(order[-1]) == octets
    assert ear.is_empty()


@given(st.data())
def test_loss_is_healed_by_the_peers_repeats(data: st.DataObject) -> None:
    """The peer sends all pieces again and again, the road loses some each time: in the round in
    which the last one gets through, the message is there, and nothing waits after it."""
    octets = message(1500)
    pieces = pieces_of(octets, data.draw(st.integers(2, 6)))
    ear = Ear()
    came: set[int] = set()
    for _ in range(20):
        lost = data.draw(st.sets(st.integers(1, len(pieces))))
        wholes = []
        for piece in pieces:
            if piece.number not in lost:
                came.add(piece.number)
                heard = ear.tries(piece)
                if isinstance(heard, bytes):
                    wholes.append(heard)
        if len(came) == len(pieces):
            assert wholes == [octets]
            assert ear.is_empty()
            return
        assert wholes == []
    assert ear.held <= len(octets)


@pytest.mark.parametrize("fragment_id", [0, 1, 0xFFFF])
def test_late_pieces_of_a_whole_message_do_not_wait(fragment_id: int) -> None:
    """The first was lost: when it comes again, so do the others."""
    octets = message(900)
    one, two, three = pieces_of(octets, 3, fragment_id)
    ear = Ear()
    assert (ear.hears(three), ear.hears(two), ear.hears(one)) == (None, None, octets)
    ear.refuses(two, "fragment_repeat")
    ear.refuses(three, "fragment_repeat")
    assert ear.is_empty()


def test_a_message_that_is_sent_again_comes_out_again() -> None:
    """Its answer was lost: the peer waits for it, and whoever gave it knows the repeat."""
    octets = message(900)
    ear = Ear()
    for _ in range(3):
        assert [ear.hears(piece) for piece in pieces_of(octets, 3)] == [None, None, octets]
    # With numbers of its own each time, in whatever order.
    for number in (2, 3):
        backwards = reversed(pieces_of(octets, 3, number))
        assert [ear.hears(piece) for piece in backwards] == [None, None, octets]
    assert ear.is_empty()


def test_the_next_message_under_the_same_numbers() -> None:
    """All known peers write fragment ID 1 into everything: late pieces of the message before do
    not get into the next one."""
    first, second = message(900), message(1000, fill=50)
    ear = Ear()
    for piece in pieces_of(first, 3):
        whole = ear.hears(piece)
    assert whole == first
    one, two, three = pieces_of(second, 3)
    assert ear.hears(three) is None
    ear.refuses(pieces_of(first, 3)[1], "fragment_repeat")
    assert ear.hears(two) is None
    assert ear.hears(one) == second
    assert ear.is_empty()


def test_pieces_of_another_message_make_way() -> None:
    """Another fragment ID, message ID or exchange: one message at a time."""
    old, new = message(900), message(300, fill=9)
    for header, fragment_id in (
        (HEADER, 2),
        (replace(HEADER, message_id=7), 1),
        (replace(HEADER, exchange=ExchangeType.QUICK_MODE), 1),
    ):
        ear = Ear()
        one, two, three = pieces_of(old, 3)
        assert ear.hears(one) is None and ear.hears(two) is None
        ear.header = header
        head, tail = pieces_of(new, 2, fragment_id)
        assert ear.hears(head) is None
        assert ear.held == ear.ctx.fragments_held == len(head.data)
        assert ear.hears(tail) == new
        assert ear.is_empty()
        ear.header = HEADER
        assert ear.hears(three) is None


CONTRADICTIONS = {
    "another content": Fragment(1, 2, False, b"other"),
    "the last after all": Fragment(1, 1, True, b"last"),
    "a last one before one that is here": Fragment(1, 3, True, b"last"),
    "the same, but the last": Fragment(1, 4, True, b"four"),
}
BEHIND_THE_LAST = {
    "another last": Fragment(1, 5, True, b"last"),
    "another last before it": Fragment(1, 3, True, b"last"),
    "a number above": Fragment(1, 5, False, b"five"),
    "the last, but not the last": Fragment(1, 4, False, b"four"),
    "other content": Fragment(1, 4, True, b"else"),
}


@pytest.mark.parametrize(
    ("has_last", "piece"),
    [(False, piece) for piece in CONTRADICTIONS.values()]
    + [(True, piece) for piece in BEHIND_THE_LAST.values()],
    ids=[*CONTRADICTIONS, *BEHIND_THE_LAST],
)
def test_pieces_that_cannot_be_of_one_message(has_last: bool, piece: Fragment) -> None:
    """They go together, and the next repeat is put together as if nothing had been."""
    ear = Ear()
    ear.hears(Fragment(1, 2, False, b"two"))
    ear.hears(Fragment(1, 4, has_last, b"four"))
    ear.refuses(piece, "fragments_contradict")
    assert ear.is_empty()
    octets = message(700)
    assert [ear.hears(part) for part in pieces_of(octets, 3)] == [None, None, octets]


@given(st.data())
def test_poison_costs_repeats_and_nothing_else(data: st.DataObject) -> None:
    """A stranger who knows the cookies puts pieces between the peer's. What comes out may be
    rubbish, and bounds hold; when he stops, the peer's message comes out within three rounds."""
    octets = message(data.draw(st.integers(100, 2000)))
    pieces = pieces_of(octets, data.draw(st.integers(2, 6)))
    poison = st.builds(
        Fragment,
        id=st.sampled_from([1, 1, 1, 2]),
        number=st.integers(1, 8) | st.integers(1, 255),
        is_last=st.booleans(),
        data=st.binary(min_size=1, max_size=50) | st.sampled_from([p.data for p in pieces]),
    )
    ear = Ear()
    for _ in range(data.draw(st.integers(1, 3))):
        for piece in pieces:
            for bad in data.draw(st.lists(poison, max_size=3)):
                ear.tries(bad)
            ear.tries(piece)
            assert ear.held == ear.ctx.fragments_held <= MESSAGE_MAX
    for _ in range(3):
        if octets in [ear.tries(piece) for piece in pieces]:
            break
    else:
        pytest.fail("the peer's message does not come out any more")
    ear.assembly.clear(ear.ctx)
    assert ear.is_empty()


# --- what comes out -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"x" * 300, "fragments_malformed"),
        (b"x" * 20, "fragments_malformed"),
        (message(300) + b"more", "fragments_malformed"),
        (message(300)[:-1], "fragments_malformed"),
        (message(300, header=replace(HEADER, version=0x20)), "fragments_malformed"),
        (message(300, header=replace(HEADER, spi_i=b"3" * 8)), "fragments_of_other_spi"),
        (message(300, header=replace(HEADER, spi_r=bytes(8))), "fragments_of_other_spi"),
        (encode_message(HEADER, (Fragment(1, 1, True, message(90)),)), "fragment_in_fragment"),
    ],
)
def test_what_comes_out_is_a_message_of_the_same_sa(octets: bytes, reason: str) -> None:
    ear = Ear()
    *others, last = pieces_of(octets, 2)
    for _ in range(2):
        for piece in others:
            assert ear.hears(piece) is None
        ear.refuses(last, reason)
        assert ear.is_empty()


def test_a_message_in_one_piece() -> None:
    octets = message(100)
    ear = Ear()
    assert ear.hears(Fragment(1, 1, True, octets)) == octets
    assert ear.is_empty()


# --- bounds ---------------------------------------------------------------------------------


def test_no_piece_has_a_number_above_64() -> None:
    ear = Ear()
    for number in (PIECES_MAX + 1, 255):
        for is_last in (False, True):
            ear.refuses(Fragment(1, number, is_last, b"x"), "fragments_too_many")
    assert ear.is_empty()
    octets = message(PIECES_MAX * 10)
    pieces = pieces_of(octets, PIECES_MAX)
    assert len(pieces) == PIECES_MAX == 64
    assert [ear.hears(piece) for piece in pieces][-1] == octets


@pytest.mark.parametrize(
    ("is_authenticated", "most"), [(True, MESSAGE_MAX), (False, STRANGERS_MESSAGE_MAX)]
)
def test_no_message_is_larger_than_its_bound(is_authenticated: bool, most: int) -> None:
    """A peer that is not authenticated has less room."""
    assert (MESSAGE_MAX, STRANGERS_MESSAGE_MAX) == (65_536, 16_384)
    ear = Ear()
    ear.is_authenticated = is_authenticated
    for number in (1, 2, 3, 4):
        ear.hears(Fragment(1, number, False, bytes(most // 4)))
    assert ear.held == most
    ear.refuses(Fragment(1, 5, False, b"x"), "fragments_too_large")
    assert ear.is_empty()
    octets = message(most - 1)
    assert [ear.hears(piece) for piece in pieces_of(octets, 8)][-1] == octets
    assert ear.is_empty()


def test_all_sas_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Authenticated or not: the pieces are not. IKEv2's half-open peers keep room."""
    assert 2 * ROOM_MAX == HALF_OPEN_MAX
    monkeypatch.setattr(fragments, "ROOM_MAX", 1000)
    one = Ear()
    other = Ear(one.ctx, ("sa", b"another SPI"))
    one.hears(Fragment(1, 1, False, bytes(900)))
    for number in (1, 2):
        other.refuses(Fragment(1, number, False, bytes(101)), "fragments_full")
    assert (one.held, other.held, one.ctx.fragments_held) == (900, 0, 900)
    other.hears(Fragment(1, 1, False, bytes(100)))
    one.refuses(Fragment(1, 2, False, b"x"), "fragments_full")
    assert (one.held, other.held, one.ctx.fragments_held) == (900, 100, 1000)
    one.assembly.clear(one.ctx)
    assert (one.held, other.held, one.ctx.fragments_held) == (0, 100, 100)
    other.assembly.clear(one.ctx)
    assert other.is_empty()


def test_what_is_not_completed_is_forgotten_in_time() -> None:
    """Neither more pieces nor repeats prolong it."""
    ear = Ear()
    one, two, three = pieces_of(message(900), 3)
    ear.hears(one)
    assert ear.ctx.agenda.when(OWNER, TimerKind.FRAGMENTS) == LIFE_S
    ear.ctx.now = Instant(LIFE_S - 1)
    ear.hears(two)
    ear.refuses(one, "fragment_repeat")
    assert ear.ctx.agenda.when(OWNER, TimerKind.FRAGMENTS) == LIFE_S
    assert ear.assembly.expire(ear.ctx) == 0
    assert ear.held == len(one.data) + len(two.data)
    ear.ctx.now = Instant(LIFE_S)
    assert ear.assembly.expire(ear.ctx) == 2
    assert ear.is_empty()
    assert ear.assembly.expire(ear.ctx) == 0
    # A new life begins with the next piece.
    ear.hears(three)
    assert ear.ctx.agenda.when(OWNER, TimerKind.FRAGMENTS) == 2 * LIFE_S


def test_clear_forgets_late_pieces_too() -> None:
    ear = Ear()
    octets = message(900)
    pieces = pieces_of(octets, 3)
    for piece in pieces:
        ear.hears(piece)
    ear.refuses(pieces[1], "fragment_repeat")
    ear.assembly.clear(ear.ctx)
    assert ear.hears(pieces[1]) is None
    ear.assembly.clear(ear.ctx)
    assert ear.is_empty()
    assert ear.ctx.agenda.owners() == frozenset()


# --- strongSwan -----------------------------------------------------------------------------


def test_what_strongswan_sent_in_pieces() -> None:
    """Both sides of a Main Mode, each message under fragment ID 1; and cut here to the size of its
    datagrams, each has the octets that strongSwan sent."""
    (capture,) = (c for c in json.loads(CAPTURES.read_text()) if c["name"] == "fragments")
    ears = {"initiator": Ear(), "responder": Ear()}
    sent: list[bytes] = []
    wholes = []
    for row in capture["datagrams"]:
        octets = bytes.fromhex(row["octets"])
        ear = ears[row["from"]]
        ear.is_authenticated = False
        ear.header = Header.decode(octets)
        piece = piece_in(ear.header, octets)
        assert piece is not None and piece.id == 1
        sent.append(octets)
        whole = ear.hears(piece)
        assert (whole is None) is not piece.is_last
        if whole is not None:
            header, _ = decode_message(whole)
            ip_datagram = 20 + 8 + 4 + len(sent[0])
            assert cut(header, whole, ip_datagram, V4, 1) == tuple(sent)
            sent.clear()
            wholes.append(whole)
    assert not sent and len(wholes) == 4
    assert all(ear.is_empty() for ear in ears.values())
