"""What each IKEv1 message may carry, by leaving out, doubling, moving and adding payloads."""

import pytest

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import ExchangeType, PayloadType
from isthmus.wire.v1 import (
    Attributes,
    Certificate,
    CertificateRequest,
    Delete,
    Hash,
    Identification,
    KeyExchange,
    NatDetection,
    NatOriginalAddress,
    Nonce,
    Notify,
    Payload,
    ProposalV1,
    SecurityAssociation,
    Signature,
    TransformV1,
    Unknown,
    VendorId,
    payload_type,
)
from isthmus.wire.v1.rules import SHAPES, check

from .samples import GOLDEN

T = PayloadType
MAIN = ExchangeType.MAIN_MODE
AGGRESSIVE = ExchangeType.AGGRESSIVE_MODE
QUICK = ExchangeType.QUICK_MODE
INFO = ExchangeType.INFORMATIONAL
TRANSACTION = ExchangeType.TRANSACTION


def association(protocol: int, transforms: int = 1, proposals: int = 1) -> SecurityAssociation:
    """Proposals numbered from 1, each with so many transforms."""
    rows = tuple(TransformV1(number, 1) for number in range(1, transforms + 1))
    return SecurityAssociation(
        tuple(ProposalV1(number, protocol, b"", rows) for number in range(1, proposals + 1))
    )


OFFER = association(1, 3)
CHOSEN = association(1)
ESP_OFFER = association(3, 3, 2)
ESP_CHOSEN = association(3)
KE = KeyExchange(bytes(32))
NONCE = Nonce(bytes(16))
ID = Identification(1, 0, 0, b"\x0a\0\0\1")
HASH = Hash(bytes(20))
SIG = Signature(bytes(64))
CERT = Certificate(4, b"0\0")
CR = CertificateRequest(4, b"")
NAT_D = NatDetection(bytes(20))
NAT_D_DRAFT = NatDetection(bytes(20), True)
NAT_OA = NatOriginalAddress(1, b"\x0a\0\0\1")
NAT_OA_DRAFT = NatOriginalAddress(1, b"\x0a\0\0\1", True)
NOTIFY = Notify(24578)
DELETE = Delete(3, (b"abcd",))
ATTRIBUTES = Attributes(1, 1)
VENDOR = VendorId(b"v")
PRIVATE = Unknown(200, b"")

GOOD: dict[str, tuple[ExchangeType, tuple[Payload, ...]]] = {
    "main 1": (MAIN, (OFFER,)),
    "main 2": (MAIN, (CHOSEN,)),
    "main 3": (MAIN, (KE, NONCE)),
    "main 4": (MAIN, (KE, NONCE)),
    "main 5": (MAIN, (ID, HASH)),
    "main 6": (MAIN, (ID, SIG)),
    "aggressive 1": (AGGRESSIVE, (OFFER, KE, NONCE, ID)),
    "aggressive 2": (AGGRESSIVE, (CHOSEN, KE, NONCE, ID, HASH)),
    "aggressive 3": (AGGRESSIVE, (HASH,)),
    "quick 1": (QUICK, (HASH, ESP_OFFER, NONCE)),
    "quick 2": (QUICK, (HASH, ESP_CHOSEN, NONCE)),
    "quick 3": (QUICK, (HASH,)),
    "quick 4": (QUICK, (HASH, NOTIFY)),
    "informational": (INFO, (HASH, NOTIFY)),
    "informational clear": (INFO, (NOTIFY,)),
    "transaction": (TRANSACTION, (HASH, ATTRIBUTES)),
}
"""The least of each message."""

MORE: dict[str, tuple[Payload, ...]] = {
    "main 1": (CR,),
    "main 2": (CR,),
    "main 3": (NAT_D, NAT_D, NAT_D_DRAFT, CERT, CR),
    "main 4": (NAT_D, NAT_D, NAT_D_DRAFT, CERT, CR),
    "main 5": (CERT, CERT, CR),
    "main 6": (CERT, CERT, CR),
    "aggressive 1": (CR,),
    "aggressive 2": (NAT_D, NAT_D_DRAFT, CERT, CR),
    "aggressive 3": (NAT_D, NAT_D_DRAFT, CERT, CR),
    "quick 1": (KE, ID, ID, NAT_OA, NAT_OA, NAT_OA_DRAFT),
    "quick 2": (KE, ID, ID, NAT_OA, NAT_OA, NAT_OA_DRAFT),
    "informational": (DELETE, DELETE, NOTIFY),
    "informational clear": (DELETE, DELETE, NOTIFY),
}
"""What may stand behind that."""


def refused(place: str, *payloads: Payload, exchange: int | None = None) -> str:
    """Why a message is malformed."""
    with pytest.raises(Malformed) as caught:
        check(GOOD[place][0] if exchange is None else exchange, place, payloads)
    return str(caught.value)


def test_every_place_has_a_message_here() -> None:
    assert set(GOOD) == set(SHAPES)


@pytest.mark.parametrize("place", GOOD)
def test_the_least_and_the_most_of_a_message_are_taken(place: str) -> None:
    exchange, least = GOOD[place]
    check(exchange, place, least)
    check(exchange, place, (*least, *MORE.get(place, ()), NOTIFY, VENDOR, VENDOR, PRIVATE))


@pytest.mark.parametrize("place", GOOD)
def test_a_message_without_any_of_its_payloads_is_malformed(place: str) -> None:
    _, least = GOOD[place]
    for at in range(len(least)):
        refused(place, *least[:at], *least[at + 1 :])


@pytest.mark.parametrize("place", GOOD)
def test_a_payload_that_has_no_place_or_stands_twice_is_malformed(place: str) -> None:
    exchange, least = GOOD[place]
    allowed = {payload_type(payload) for payload in (*MORE.get(place, ()), NOTIFY, VENDOR, PRIVATE)}
    taken = 0
    for golden in GOLDEN:
        message = (*least, golden.value)
        if golden.kind in allowed - {T.ID, T.KE}:
            check(exchange, place, message)
            taken += 1
        elif golden.kind == T.KE and T.KE in allowed:
            check(exchange, place, message)
            refused(place, *message, golden.value)
        else:
            refused(place, *message)
    assert taken >= 4  # two kinds of notify, vendor ID, private


@pytest.mark.parametrize("place", GOOD)
def test_a_message_of_another_exchange_is_malformed(place: str) -> None:
    other = MAIN if GOOD[place][0] is not MAIN else QUICK
    assert "is due" in refused(place, *GOOD[place][1], exchange=other)
    assert "is due" in refused(place, *GOOD[place][1], exchange=99)


@pytest.mark.parametrize("place", [place for place, shape in SHAPES.items() if shape.first])
def test_what_is_to_be_first_stands_first(place: str) -> None:
    _, least = GOOD[place]
    for intruder in (VENDOR, NOTIFY, PRIVATE):
        assert "payload 1 is not" in refused(place, intruder, *least)
    if len(SHAPES[place].first) == 2:
        assert "payload 2 is not SA" in refused(place, least[0], VENDOR, *least[1:])
    assert "payload 1 is not" in refused(place)


def test_either_proof_and_not_both() -> None:
    check(MAIN, "main 5", (ID, SIG, CERT))
    check(AGGRESSIVE, "aggressive 2", (CHOSEN, KE, NONCE, ID, SIG))
    for proofs in ((HASH, SIG), (HASH, HASH), ()):
        assert "not exactly one of HASH and SIG" in refused("main 5", ID, *proofs)
        assert "not exactly one of HASH and SIG" in refused("aggressive 3", *proofs)


@pytest.mark.parametrize("count", [1, 3])
def test_quick_mode_has_two_identifications_or_none(count: int) -> None:
    message = (HASH, ESP_OFFER, NONCE, *(ID,) * count)
    assert f"ID payload stands {count} times, not twice" in refused("quick 1", *message)


def test_an_informational_message_tells_something() -> None:
    check(INFO, "informational", (HASH, DELETE))
    assert "none of NOTIFY, DELETE" in refused("informational", HASH, VENDOR)
    assert "HASH payload has no place" in refused("informational clear", HASH, NOTIFY)


@pytest.mark.parametrize(
    ("place", "wrong", "reason"),
    [
        ("main 1", association(3), "ESP proposal has no place"),
        ("main 1", association(1, 0), "a proposal without transforms"),
        ("main 2", OFFER, "3 transforms where one is to be chosen"),
        ("main 2", association(1, 1, 2), "proposals of several numbers"),
    ],
)
def test_proposals_of_phase_1_are_those_of_isakmp(
    place: str, wrong: SecurityAssociation, reason: str
) -> None:
    assert reason in refused(place, wrong)


@pytest.mark.parametrize(
    ("place", "wrong", "reason"),
    [
        ("quick 1", association(1), "ISAKMP proposal has no place"),
        ("quick 1", association(3, 0), "a proposal without transforms"),
        ("quick 2", ESP_OFFER, "3 transforms where one is to be chosen"),
        ("quick 2", association(3, 1, 2), "proposals of several numbers"),
    ],
)
def test_proposals_of_phase_2_are_not(place: str, wrong: SecurityAssociation, reason: str) -> None:
    assert reason in refused(place, HASH, wrong, NONCE)
