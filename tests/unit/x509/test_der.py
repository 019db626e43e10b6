"""DER: the shortest form and no other, at the edge of each bound (X.690 §8, §10)."""

import pytest

from isthmus.values.errors import Malformed
from isthmus.x509 import der
from isthmus.x509.der import Reader

HUNDRED = bytes(0x80)


@pytest.mark.parametrize("size", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF])
def test_what_is_written_is_in_its_shortest_form_and_read_again(size: int) -> None:
    body = bytes(size)
    length = bytes((size,)) if size < 0x80 else size.to_bytes(1 if size < 0x100 else 2)
    if size >= 0x80:
        length = bytes((0x80 | len(length),)) + length
    whole = b"\x04" + length + body
    assert der.encode(4, body) == whole
    assert Reader(whole).any() == (4, body, whole)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x04\x80" + HUNDRED,
        b"\x04\x81\x7f" + bytes(0x7F),
        b"\x04\x82\x00\x80" + HUNDRED,
        b"\x04\x83\x00\x80\x00" + bytes(0x8000),
    ],
)
def test_a_length_in_another_form_is_refused(octets: bytes) -> None:
    with pytest.raises(Malformed):
        Reader(octets).any()


def test_the_end_has_a_tag_that_no_element_has() -> None:
    assert Reader(b"").tag == -1


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("00", 0),
        ("7f", 0x7F),
        ("0080", 0x80),
        ("00ff", 0xFF),
        ("ff", -1),
        ("80", -0x80),
        ("ff7f", -0x81),
        ("0100", 0x100),
        ("fe00", -0x200),
    ],
)
def test_integers_in_their_shortest_form(body: str, value: int) -> None:
    assert der.integer(bytes.fromhex(body)) == value


@pytest.mark.parametrize("body", ["", "0000", "0001", "0040", "007f", "ffff", "ff80", "ffc0"])
def test_integers_in_another_form(body: str) -> None:
    with pytest.raises(Malformed):
        der.integer(bytes.fromhex(body))


def test_counts_end_where_the_bound_is() -> None:
    assert [der.small(bytes.fromhex(body)) for body in ("00", "7fffffff")] == [0, 2**31 - 1]
    for body in ("0080000000", "ff", "008000000000"):
        with pytest.raises(Malformed):
            der.small(bytes.fromhex(body))


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ("00", ()),
        ("0001", (7,)),
        ("0780", (0,)),
        ("0501a0", (7, 8, 10)),
        ("00ff", range(8)),
        ("000000000000000001", (63,)),
    ],
)
def test_bit_lists(body: str, numbers: tuple[int, ...]) -> None:
    assert der.bits(bytes.fromhex(body)) == frozenset(numbers)


@pytest.mark.parametrize(
    "body", ["", "01", "02", "07", "0800", "08", "0181", "0740", "00000000000000000001"]
)
def test_what_is_no_bit_list(body: str) -> None:
    with pytest.raises(Malformed):
        der.bits(bytes.fromhex(body))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("00", "0.0"),
        ("27", "0.39"),
        ("28", "1.0"),
        ("4f", "1.39"),
        ("50", "2.0"),
        ("78", "2.40"),
        ("8837", "2.999"),
        ("2a864886f70d", "1.2.840.113549"),
        ("2a" + "01" * 63, "1.2" + ".1" * 63),
    ],
)
def test_object_identifiers(body: str, text: str) -> None:
    assert der.oid(bytes.fromhex(body)) == text


@pytest.mark.parametrize("body", ["", "8001", "2a80", "2a8001", "2a" + "01" * 64])
def test_what_is_no_object_identifier(body: str) -> None:
    with pytest.raises(Malformed):
        der.oid(bytes.fromhex(body))


@pytest.mark.parametrize(
    ("tag", "body", "at"),
    [
        (der.UTC_TIME, b"500101000000Z", -631_152_000),
        (der.UTC_TIME, b"491231235959Z", 2_524_607_999),
        (der.UTC_TIME, b"700101000000Z", 0),
        (der.GENERALIZED_TIME, b"20500101000000Z", 2_524_608_000),
    ],
)
def test_times_of_two_digits_are_from_1950_to_2049(tag: int, body: bytes, at: int) -> None:
    assert der.time(tag, body) == at


@pytest.mark.parametrize(
    ("tag", "body"),
    [
        (der.GENERALIZED_TIME, b"270115080000Z"),
        (der.UTC_TIME, b"20270115080000Z"),
        (der.GENERALIZED_TIME, b"2027011508000xZ"),
        (der.GENERALIZED_TIME, b"20270115080000z"),
        (der.UTC_TIME, b"2701150800Z"),
    ],
)
def test_times_of_another_form(tag: int, body: bytes) -> None:
    with pytest.raises(Malformed, match="neither"):
        der.time(tag, body)
