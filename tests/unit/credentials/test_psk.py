"""What makes a good pre-shared key."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.credentials.psk import (
    ALPHABET,
    ExaminedPsk,
    RefusedPsk,
    aws_warnings,
    examine,
    generate,
    strength_bits,
)
from isthmus.crypto.entropy import SeededEntropy
from isthmus.values.secret import Secret

STRONG = b"mT3.kQz81vWx_Rb5Ny7cJd2GhLp9sFaE"


@dataclass
class Scripted:
    """Entropy that gives these octets, then 1, 2, 3..."""

    first: bytes
    _rest: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._rest = iter([*self.first, *range(1, 200)])

    def octets(self, count: int) -> bytes:
        return bytes(next(self._rest) for _ in range(count))


@given(st.integers(0, 1 << 64))
def test_a_made_secret_is_one_that_every_vendor_takes(seed: int) -> None:
    made = generate(SeededEntropy(seed))
    text = made.reveal().decode("ascii")
    assert len(text) == 32 and set(text) <= set(ALPHABET) and not text.startswith("0")
    examined = examine(made.reveal() + b"\n")
    assert examined.secret == made and not aws_warnings(made)


def test_a_leading_zero_is_drawn_again() -> None:
    assert generate(Scripted(b"\x00\x40\x80\xc0\x0a\x00")).reveal().startswith(b"A012")


def test_the_alphabet_has_each_of_its_64_characters_once() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 64


@pytest.mark.parametrize("seed", range(50))
def test_made_secrets_are_called_strong(seed: int) -> None:
    assert strength_bits(generate(SeededEntropy(seed)).reveal()) > 140


@pytest.mark.parametrize(
    "weak",
    [
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"abcdefghijklmnopqrstuvwxyz012345",
        b"correct horse battery staple again",
        b"passwordpasswordpasswordpassword",
        b"0123456789012345678901234567890123456789",
        b"Isthmus-Office-Secret-2026!",
        b"Tr0ub4dor&3Tr0ub4dor&3",
    ],
)
def test_secrets_that_people_think_of_are_called_weak(weak: bytes) -> None:
    examined = examine(weak)
    assert strength_bits(weak) < 128
    assert any("is weak" in warning for warning in examined.warnings)


@given(st.binary(max_size=40), st.binary(max_size=8))
def test_more_characters_never_make_it_much_weaker(octets: bytes, more: bytes) -> None:
    """An estimate is finite and never negative, whatever the octets."""
    assert 0 <= strength_bits(octets) <= 8 * max(1, len(octets))


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_one_newline_at_the_end_is_no_part_of_a_secret(end: bytes) -> None:
    assert examine(STRONG + end) == ExaminedPsk(Secret(STRONG), ())


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b" \t \n", "empty"),
        (b"fifteen-letters", "15 characters"),
        ("ääääääääääääääa".encode(), "15 characters"),
        (STRONG + b"\n\n", "more than one line"),
        (b"\n" + STRONG, "more than one line"),
        (STRONG + b"\r" + STRONG, "more than one line"),
        (b"x" * 4097, "more than 4096 octets"),
    ],
)
def test_a_secret_is_refused(octets: bytes, message: str) -> None:
    with pytest.raises(RefusedPsk) as raised:
        examine(octets)
    assert message in raised.value.message and raised.value.why and raised.value.hint


def test_a_short_secret_passes_where_weak_things_are_allowed() -> None:
    examined = examine(b"tiger", allow_weak=True)
    assert examined.secret == Secret(b"tiger") and "is weak" in examined.warnings[0]


def test_an_empty_secret_never_passes() -> None:
    with pytest.raises(RefusedPsk):
        examine(b"\n", allow_weak=True)


@pytest.mark.parametrize(
    ("octets", "warning"),
    [
        (b" " + STRONG, "blanks at its start or end"),
        (STRONG + b" \n", "blanks at its start or end"),
        ("“".encode() + STRONG + "”".encode(), "curly quotes"),
        (b'"' + STRONG + b'"', "stands in quotes"),
        (b"'" + STRONG + b"'", "stands in quotes"),
        (b"0x" + STRONG, "strongSwan would decode it"),
        (b"0s" + STRONG, "strongSwan would decode it"),
        (b"\xef\xbb\xbf" + STRONG, "byte order mark"),
        (STRONG + b"\x00x", "cannot be printed"),
    ],
)
def test_a_trap_is_named_and_the_secret_is_used_as_it_is(octets: bytes, warning: str) -> None:
    examined = examine(octets)
    assert examined.secret == Secret(octets.removesuffix(b"\n"))
    (only,) = examined.warnings
    assert warning in only


@given(st.binary(max_size=60))
def test_no_sentence_holds_the_secret(octets: bytes) -> None:
    try:
        examined = examine(octets)
    except RefusedPsk as refused:
        said = f"{refused!r} {refused.message} {refused.why} {refused.hint}"
    else:
        said = f"{examined!r} {' '.join(examined.warnings)}"
    text = octets.decode("latin-1").strip()
    assert len(text) < 8 or text not in said


@pytest.mark.parametrize(
    ("text", "count"),
    [("abcdefg", 1), ("a" * 65, 1), ("0abcdefgh", 1), ("abc-defgh", 1), ("0-" + "a" * 70, 3)],
)
def test_what_aws_refuses_is_named(text: str, count: int) -> None:
    assert len(aws_warnings(Secret(text.encode()))) == count
