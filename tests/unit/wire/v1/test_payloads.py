"""Each IKEv1 payload by octets made by hand, and what is refused with which reason."""

import pytest

from isthmus.values.errors import LocalFault, Malformed
from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.describe import PAYLOAD_TEXT_MAX, describe, describe_payloads
from isthmus.wire.proposals import PROPOSALS_MAX
from isthmus.wire.v1 import (
    Attribute,
    Attributes,
    Delete,
    KeyExchange,
    Nonce,
    ProposalV1,
    SecurityAssociation,
    TransformV1,
    VendorId,
    payload_type,
)
from isthmus.wire.v1.attributes import ATTRIBUTES_MAX

from .building import read_alone
from .samples import GOLDEN, PHASE1, Golden

T = PayloadType


def refused(kind: int, octets: str | bytes) -> str:
    """Why a payload with this body is malformed."""
    body = bytes.fromhex(octets.replace(" ", "")) if isinstance(octets, str) else octets
    with pytest.raises(Malformed) as caught:
        read_alone(kind, body)
    return str(caught.value)


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_golden_octets_mean_the_value_and_back(golden: Golden) -> None:
    assert read_alone(golden.kind, golden.octets) == golden.value
    assert golden.value.encode() == golden.octets
    assert payload_type(golden.value) == golden.kind
    assert describe(golden.value) == golden.text


def test_every_payload_type_has_a_golden_sample() -> None:
    inside_an_sa = {T.PROPOSAL, T.TRANSFORM}
    assert {golden.kind for golden in GOLDEN} - {200} == set(T) - {T.NONE} - inside_an_sa


def test_payloads_of_a_kind_that_differ_in_class_alone_are_not_equal() -> None:
    assert VendorId(b"a") != KeyExchange(b"a")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("", "8 octets wanted, 0 left"),
        ("00000000 00000001 0000 0008 01 01 00 00", "DOI 0 is not supported"),
        ("00000001 00000002 0000 0008 01 01 00 00", "situation 2 is not supported (at octet 36)"),
        ("00000001 00000001", "4 octets wanted, 0 left"),
        ("00000001 00000001 0100 0008 01 01 00 00", "proposal marked 1"),
        ("00000001 00000001 0000 0007 01 01 00 00", "proposal of 7 octets"),
        ("00000001 00000001 0000 0008 01 01 00 01", "4 octets wanted, 0 left"),
        ("00000001 00000001 0000 0008 01 01 04 00", "4 octets wanted, 0 left"),
        ("00000001 00000001 0000 0010 01 01 00 01 0300 0008 01 01 0000", "marked 3, not 0"),
        ("00000001 00000001 0000 0010 01 01 00 01 0000 0007 01 01 0000", "transform of 7 octets"),
        (
            "00000001 00000001 0000 0012 01 01 00 01 0000 000a 01 01 0000 8001",
            "4 octets wanted, 2 left",
        ),
        (
            "00000001 00000001 0000 0014 01 01 00 01 0000 000c 01 01 0000 000c 0004",
            "4 octets wanted, 0 left",
        ),
        ("00000001 00000001 0000 0009 01 01 00 00 00", "1 octets too many"),
        ("00000001 00000001 0000 0008 01 01 00 00 00", "1 octets too many"),
    ],
)
def test_an_sa_payload_with_wrong_counts_or_marks_is_malformed(octets: str, reason: str) -> None:
    assert reason in refused(T.SA, octets)


def test_an_sa_payload_may_hold_so_many_proposals_transforms_and_attributes() -> None:
    row = ProposalV1(1, 1, b"", ())
    most = SecurityAssociation((row,) * PROPOSALS_MAX)
    assert read_alone(T.SA, most.encode()) == most
    more = SecurityAssociation((row,) * (PROPOSALS_MAX + 1))
    assert "more than 64 proposals" in refused(T.SA, more.encode())
    wide = PHASE1.proposals[0].transforms[0]
    full = SecurityAssociation((ProposalV1(1, 1, b"", (wide,) * 255),))
    assert read_alone(T.SA, full.encode()) == full
    with pytest.raises(LocalFault):
        SecurityAssociation((ProposalV1(1, 1, b"", (wide,) * 256),)).encode()
    many = TransformV1(1, 1, (Attribute(1, 1),) * (ATTRIBUTES_MAX + 1))
    long = SecurityAssociation((ProposalV1(1, 1, b"", (many,)),))
    assert "more than 64 attributes" in refused(T.SA, long.encode())


@pytest.mark.parametrize(
    ("kind", "octets", "reason"),
    [
        (T.ID, "01 00 00", "4 octets wanted, 3 left"),
        (T.ID, "01 00 0000 0a0000", "identification 1 of 3 octets"),
        (T.ID, "04 00 0000 0a000000", "identification 4 of 4 octets"),
        (T.ID, "06 00 0000" + "00" * 31, "identification 6 of 31 octets"),
        (T.CERT, "", "1 octets wanted"),
        (T.CR, "", "1 octets wanted"),
        (T.NONCE, "00" * 7, "nonce of 7 octets"),
        (T.NONCE, "00" * 257, "nonce of 257 octets"),
        (T.NOTIFY, "00000001 01 00 00", "8 octets wanted"),
        (T.NOTIFY, "00000001 01 04 0001 112233", "4 octets wanted, 3 left"),
        (T.DELETE, "00000001 01 08 0001" + "11" * 8, "8-octet SPI for protocol 1"),
        (T.DELETE, "00000001 05 04 0001 11223344", "4-octet SPI for protocol 5"),
        (T.DELETE, "00000001 03 04 0002 11223344", "2 SPIs in 4 octets"),
        (T.DELETE, "00000001 03 04 0000", "0 SPIs in 0 octets"),
        (T.ATTRIBUTES, "01 00 12", "4 octets wanted"),
        (T.ATTRIBUTES, "01 00 1234 0001 0001", "1 octets wanted, 0 left"),
        (T.NAT_OA, "01 000000 0a0000", "NAT-OA of type 1 and 3 octets"),
        (T.NAT_OA_DRAFT, "04 000000" + "00" * 8, "NAT-OA of type 4 and 8 octets"),
        (T.FRAGMENT, "0001 00 00 ff", "fragment 0 of 1 octets"),
        (T.FRAGMENT, "0001 01 01", "fragment 1 of 0 octets"),
        (T.PROPOSAL, "", "no payload is of type 2"),
        (T.TRANSFORM, "", "no payload is of type 3"),
        (15, "", "no payload is of type 15"),
        (127, "", "no payload is of type 127"),
    ],
)
def test_a_payload_that_is_cut_off_or_contradicts_itself_is_malformed(
    kind: int, octets: str, reason: str
) -> None:
    assert reason in refused(kind, octets)


@pytest.mark.parametrize(
    ("attribute", "number"),
    [
        (Attribute(12, 28800), 28800),
        (Attribute(12, b"\x70\x80"), 28800),
        (Attribute(12, b"\0\0\0\0\0\1\x51\x80"), 86400),
        (Attribute(12, b"\7"), 7),
    ],
)
def test_an_attribute_is_a_number_in_either_form(attribute: Attribute, number: int) -> None:
    assert attribute.number == number


@pytest.mark.parametrize("octets", [b"", bytes(9)])
def test_an_attribute_of_no_octets_or_too_many_is_no_number(octets: bytes) -> None:
    with pytest.raises(Malformed, match=f"a number of {len(octets)} octets"):
        _ = Attribute(12, octets).number


def test_an_attribute_has_octets_in_either_form() -> None:
    assert Attribute(1, 258).octets == b"\1\2"
    assert Attribute(1, b"abc").octets == b"abc"


def test_neither_repr_nor_text_of_a_password_shows_it() -> None:
    asked = Attributes(2, 1, (Attribute(16522, b"hunter2"),))
    assert "hunter2" not in repr(asked)
    assert "hunter2" not in repr(asked.attributes[0])
    assert describe(asked) == "ATTR(REPLY 1 XAUTH_USER_PASSWORD)"


@pytest.mark.parametrize(
    "wrong",
    [Delete(3, ()), Delete(3, (b"abc",)), Delete(1, (b"abcd",)), Delete(3, (b"abcd", b"abcde"))],
)
def test_a_delete_that_cannot_be_said_is_our_fault(wrong: Delete) -> None:
    with pytest.raises(LocalFault):
        wrong.encode()


@pytest.mark.parametrize("attribute", [Attribute(1, 65536), Attribute(1, bytes(65536))])
def test_an_attribute_that_does_not_fit_is_our_fault(attribute: Attribute) -> None:
    with pytest.raises(LocalFault):
        Attributes(1, 1, (attribute,)).encode()


def test_a_row_of_payloads_is_one_line_of_bounded_words() -> None:
    assert describe_payloads((Nonce(bytes(8)), VendorId(b"Isthmus"))) == "NONCE V(Isthmus)"
    row = ProposalV1(1, 3, b"abcd", (TransformV1(1, 12, (Attribute(5, 999),) * 60),) * 60)
    text = describe(SecurityAssociation((row,) * 3))
    assert len(text) <= PAYLOAD_TEXT_MAX
    assert "AuthAlgorithm(999)" in text


def test_octets_of_a_stranger_stay_printable() -> None:
    name = read_alone(T.ID, b"\2\0\0\0\x1b[2J\n\xff")
    assert describe(name).isprintable()
