"""S-05, R-02: every message × every payload × {omitted, empty, twice, moved, wrong critical bit}.

Each cell is a genuine message with one or two payloads wronged, sealed with the sender's real keys
where the genuine one is, and delivered in the very state that waits for it. What must come of it is
worked out here from RFC 7296 §1.2 to §1.4, §2.5 and appendix C, not taken from the product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from tests.exchanges.pair import PHASE1, PHASE2, Side

from isthmus.values.registry.ikev2 import ExchangeType, NotifyType, PayloadType
from isthmus.wire.header import Header

from .mutation import CRITICAL, HEADER_SIZE, Piece, join, split
from .scenes import CBC1, CBC2, SCENES, Scene, Stage

T = PayloadType
SUITES = {"gcm": (PHASE1, PHASE2), "cbc": (CBC1, CBC2)}
UNKNOWN = 200
REPEATABLE = frozenset({T.NOTIFY, T.VENDOR_ID, T.DELETE})
MAY_BE_EMPTY = frozenset({T.VENDOR_ID})
INIT, AUTH = "init", "auth"
CHILD_OFFER = frozenset({T.SA, T.TS_I, T.TS_R})

MUST: dict[str, frozenset[int]] = {
    "init-request": frozenset({T.SA, T.KE, T.NONCE}),
    "init-response": frozenset({T.SA, T.KE, T.NONCE}),
    "auth-request": frozenset({T.ID_I}) | CHILD_OFFER,
    "auth-response": frozenset({T.ID_R, T.AUTH}) | CHILD_OFFER,
    "new-child-request": frozenset({T.NONCE}) | CHILD_OFFER,
    "new-child-response": frozenset({T.NONCE}) | CHILD_OFFER,
    "rekey-child-request": frozenset({T.NONCE}) | CHILD_OFFER,
    "rekey-child-response": frozenset({T.NONCE}) | CHILD_OFFER,
    "rekey-ike-request": frozenset({T.SA, T.NONCE, T.KE}),
    "rekey-ike-response": frozenset({T.SA, T.NONCE, T.KE}),
}
"""What a message cannot do without. In IKE_AUTH, SA and TS stand or fall together, and here all
of them do not fall at once."""

STRANGE: dict[int, bytes] = {
    T.SA: bytes.fromhex(
        "0000002801010004030000080100000c03000008020000020300000803000002000000080400001f"
    ),
    T.KE: bytes.fromhex("001f0000") + bytes(range(32)),
    T.ID_I: bytes.fromhex("01000000c0000201"),
    T.ID_R: bytes.fromhex("01000000c0000201"),
    T.CERT: b"\x04certificate",
    T.CERTREQ: b"\x04" + bytes(20),
    T.AUTH: bytes.fromhex("02000000") + bytes(32),
    T.NONCE: bytes(range(32)),
    T.DELETE: bytes.fromhex("03040001deadbeef"),
    T.TS_I: bytes.fromhex("01000000070000100000ffff0a0000000a0000ff"),
    T.TS_R: bytes.fromhex("01000000070000100000ffff0a0000000a0000ff"),
    T.CP: bytes.fromhex("01000000"),
    T.EAP: bytes.fromhex("01010004"),
}
"""Sound payloads that are put where they do not belong."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One wronged message: what was done to which payload, and the chain."""

    what: str
    kinds: tuple[int, ...]
    """The payload types that were wronged."""
    pieces: tuple[Piece, ...]


def cells(pieces: list[Piece]) -> Iterator[Cell]:
    """Every cell of one message."""
    for at, piece in enumerate(pieces):
        kinds = (piece.kind,)
        before, after = pieces[:at], pieces[at + 1 :]
        yield Cell("omit", kinds, (*before, *after))
        yield Cell("empty", kinds, (*before, replace(piece, body=b""), *after))
        yield Cell("twice", kinds, (*before, piece, piece, *after))
        yield Cell("twice", kinds, (*pieces, piece))
        yield Cell("twice", kinds, (piece, *pieces))
        yield Cell("moved", kinds, (piece, *before, *after))
        yield Cell("moved", kinds, (*before, *after, piece))
        yield Cell("critical", kinds, (*before, replace(piece, flags=CRITICAL), *after))
        yield Cell("reserved", kinds, (*before, replace(piece, flags=0x7F), *after))
        yield Cell("short", kinds, (*before, replace(piece, length=3), *after))
        yield Cell("none", kinds, (*before, replace(piece, length=0), *after))
        yield Cell("beyond", kinds, (*before, replace(piece, length=0xFFFF), *after))
    for at in range(len(pieces) + 1):
        for flags, what in ((0, "unknown"), (CRITICAL, "unknown critical")):
            stranger = Piece(UNKNOWN, b"whatever", flags)
            yield Cell(what, (UNKNOWN,), (*pieces[:at], stranger, *pieces[at:]))
    for one, two in combinations(range(len(pieces)), 2):
        kinds = (pieces[one].kind, pieces[two].kind)
        left = tuple(p for n, p in enumerate(pieces) if n not in (one, two))
        yield Cell("omit", kinds, left)
    yield Cell("moved", tuple(p.kind for p in pieces), tuple(reversed(pieces)))
    present = {piece.kind for piece in pieces}
    for kind, body in STRANGE.items():
        if kind not in present:
            yield Cell("strange", (kind,), (*pieces, Piece(kind, body)))
            yield Cell("strange", (kind,), (Piece(kind, body, CRITICAL), *pieces))
    for number in (1, 7, 14, 24, 38, 39, 43, 44, 9999, 16384, 16390, 16393, 40000):
        notify = Piece(T.NOTIFY, b"\0\0" + number.to_bytes(2, "big"))
        yield Cell("notify", (number,), (*pieces, notify))


def expected(scene: Scene, cell: Cell) -> set[str]:
    """What may come of a cell; one word unless the RFC leaves a choice."""
    exchange, _, way = scene.name.rpartition("-")
    wrong = refusal_of_syntax(exchange, way)
    informational = scene.exchange is ExchangeType.INFORMATIONAL
    match cell.what:
        case "moved" | "critical" | "reserved" | "unknown":
            return {"done"}
        case "unknown critical":
            if exchange == INIT:
                return {"notify UNSUPPORTED_CRITICAL_PAYLOAD"} if way == "request" else {"silence"}
            if way == "response":
                return {"silence"}
            closing = "closed" if exchange == AUTH else "notify"
            return {f"{closing} UNSUPPORTED_CRITICAL_PAYLOAD"}
        case "short" | "none" | "beyond":
            return wrong
        case "empty":
            return {"done"} if set(cell.kinds) <= MAY_BE_EMPTY else wrong
        case "twice":
            if cell.kinds == (T.NOTIFY,) and exchange == "rekey-child":
                return wrong
            return {"done"} if set(cell.kinds) <= REPEATABLE else wrong
        case "omit":
            return expected_of_omission(scene, cell, exchange, way, wrong)
        case "strange":
            return expected_of_strange(exchange, way, cell.kinds[0], wrong)
        case "notify":
            return ANY_NOTIFY if not informational else ANY_NOTIFY | {"empty", "gone empty"}
    raise AssertionError(cell.what)


ANY_NOTIFY = {
    "done",
    "silence",
    "ended",
    "goodbye",
    "closed INVALID_SYNTAX",
    "notify INVALID_SYNTAX",
    "notify CHILD_SA_NOT_FOUND",
    "notify NO_ADDITIONAL_SAS",
}
"""A notify that does not belong may be passed over or refused, and in a response be believed."""


def refusal_of_syntax(exchange: str, way: str) -> set[str]:
    """Nonsense: fatal when authentic (RFC 7296 §2.21.3), else as if it had not come (§2.21.1)."""
    if exchange == INIT:
        return {"silence"}
    return {"closed INVALID_SYNTAX"} if way == "request" else {"ended"}


def expected_of_omission(
    scene: Scene, cell: Cell, exchange: str, way: str, wrong: set[str]
) -> set[str]:
    left = {piece.kind for piece in cell.pieces}
    if exchange == AUTH and way == "request" and not left & CHILD_OFFER:
        return {"done"}
    missing = MUST.get(scene.name, frozenset()) - left
    if exchange == AUTH and way == "request" and T.ID_I not in left:
        # Without IDi it is a later round of EAP, which nobody began.
        return wrong
    if missing:
        return wrong
    if exchange == AUTH and T.AUTH not in left:
        return {"closed AUTHENTICATION_FAILED"}  # the wish for EAP, which is not on offer
    if exchange in ("new-child", "rekey-child") and T.KE not in left:
        if way == "response":
            return {"goodbye"}
        return {"notify INVALID_KE_PAYLOAD"}
    if exchange == "rekey-child" and way == "request" and T.NOTIFY not in left:
        return {"child"}
    if exchange in ("delete-child", "delete-ike") and way == "request":
        return {"empty"}
    return {"done"}


def expected_of_strange(exchange: str, way: str, kind: int, wrong: set[str]) -> set[str]:
    allowed: set[int] = set()
    if exchange == AUTH:
        allowed = {T.CERT, T.CERTREQ, T.CP}
        if way == "request":
            allowed |= {T.ID_R}
    elif exchange == INIT and way == "response":
        allowed = {T.CERTREQ}
    elif exchange in ("new-child", "rekey-child"):
        allowed = {T.CP}
    elif exchange in ("delete-child", "delete-ike", "probe"):
        allowed = {T.CP, T.DELETE}
    if kind not in allowed:
        return wrong
    if exchange == AUTH and kind == T.ID_R:
        return {"done", "closed AUTHENTICATION_FAILED"}
    return {"done"} | (wrong if kind in (T.CERTREQ, T.CP) else set())


# --- what came of it -------------------------------------------------------------------------


def state_of(side: Side) -> object:
    """Everything of a side that a refused message must not change, but for the message ID."""
    return (
        sorted(
            (
                sa.spi_i,
                sa.spi_r,
                type(sa.state).__name__,
                sa.window.outstanding.message_id if sa.window.outstanding else None,
                str(sa.local),
                str(sa.remote),
                sorted((c.spi_in, c.spi_out, c.state.name) for c in sa.children.values()),
            )
            for sa in side.engine._sas.values()
        ),
        sorted(side.sas),
        sorted(side.policies.items()),
        sorted(side.standby.items()),
    )


def inside_of(stage: Stage, octets: bytes) -> tuple[Header, list[Piece]]:
    """A datagram of the victim, opened."""
    header = Header.decode(octets)
    if header.next_payload != T.SK:
        return header, split(header.next_payload, octets[HEADER_SIZE:])
    opened = stage.answers.open(octets)
    return header, split(opened.first, opened.chain)


def outcome(stage: Stage, octets: bytes) -> str:
    """Deliver, and say in a word what the victim made of it."""
    victim = stage.victim
    victim.out.clear()
    before, children = state_of(victim), len(victim.sas)
    sas = len(victim.engine._sas)
    known = stage.victim_sa
    stage.deliver(octets)
    same = state_of(victim) == before
    said = [inside_of(stage, d.octets) for d in victim.out]
    answers = [pieces for header, pieces in said if header.is_response]
    asked = [pieces for header, pieces in said if not header.is_response]
    gone = known is not None and known.protector is None
    if not said and same:
        return "silence"
    if len(answers) == 1 and [p.kind for p in answers[0]] == [T.NOTIFY]:
        word = NotifyType(int.from_bytes(answers[0][0].body[2:4], "big")).name
        refused = known is not None and type(known.state).__name__ == "Refused"
        if gone or refused:
            return f"closed {word}"
        return f"notify {word}" if same else f"notify {word}, and more"
    if answers == [[]]:
        return "empty" if same else "gone empty" if gone else "emptied"
    if len(answers) == 1:
        if (
            len(victim.sas) > children
            and same is False
            and stage.scene.name == "rekey-child-request"
        ):
            replaced = any(
                c.state.name == "REPLACED"
                for sa in victim.engine._sas.values()
                for c in sa.children.values()
            )
            return "answered" if replaced else "child"
        return f"answered {len(victim.engine._sas) - sas:+d} {len(victim.sas) - children:+d}"
    if asked and any(p.kind == T.DELETE and p.body[0] == 1 for pieces in asked for p in pieces):
        return "goodbye"
    if gone and not said:
        return "ended"
    return (
        f"went on {[[p.kind for p in pieces] for pieces in asked]} "
        f"{len(victim.engine._sas) - sas:+d} {len(victim.sas) - children:+d}"
    )


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_wronged_messages_are_refused_as_the_rfc_says(scene: Scene, suite: str) -> None:
    stage = Stage(scene, *SUITES[suite])
    genuine = outcome(stage, stage.genuine.octets)
    stage = Stage(scene, *SUITES[suite])
    wrong: list[str] = []
    count = 0
    for cell in cells(split(stage.inside.first, stage.inside.chain)):
        first, chain = join(list(cell.pieces))
        came = outcome(stage, stage.written(first, chain))
        wanted = expected(scene, cell)
        words = {genuine if word == "done" else word for word in wanted}
        if came not in words:
            names = "+".join(T(k).name if k in T._value2member_map_ else str(k) for k in cell.kinds)
            wrong.append(f"{cell.what} {names}: {came}, not {sorted(words)}")
        count += 1
        if came != "silence":
            stage = Stage(scene, *SUITES[suite])
    assert not wrong, "\n".join(wrong)
    assert count >= 40


def test_the_matrix_is_as_large_as_asked() -> None:
    total = sum(1 for scene in SCENES for _ in cells(split(*_of(Stage(scene))))) * len(SUITES)
    assert total >= 1500, total


def _of(stage: Stage) -> tuple[int, bytes]:
    return stage.inside.first, stage.inside.chain
