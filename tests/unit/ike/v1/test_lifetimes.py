"""Lifetimes as attributes, in an offer and in a RESPONDER-LIFETIME notify."""

import pytest

from isthmus.ike.v1.lifetimes import (
    Lifetime,
    Phase,
    life_attributes,
    read_life,
    read_responder_lifetime,
    responder_lifetime,
)
from isthmus.values.errors import Malformed
from isthmus.wire.v1 import Attribute


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    "life",
    [Lifetime(), Lifetime(1), Lifetime(65535, 65536), Lifetime(None, 2**32 - 1), Lifetime(86400)],
)
def test_a_lifetime_goes_and_comes(phase: Phase, life: Lifetime) -> None:
    assert read_life(phase, life_attributes(phase, life)) == life
    assert read_responder_lifetime(phase, responder_lifetime(phase, life)) == life


def test_the_example_of_rfc_2407() -> None:
    """§4.5.2: either a day or 100 MB."""
    octets = bytes.fromhex("80010001 00020004 00015180 80010002 00020004 000186a0")
    life = Lifetime(86400, 100000)
    assert read_responder_lifetime(Phase.TWO, octets) == life
    assert responder_lifetime(Phase.TWO, life) == octets
    assert life.octets == 102_400_000
    assert Lifetime(86400).octets is None


def test_attributes_about_other_things_are_passed_over() -> None:
    said = (Attribute(4, 1), Attribute(1, 1), Attribute(2, 600), Attribute(5, b""))
    assert read_life(Phase.TWO, said) == Lifetime(600)
    assert read_life(Phase.ONE, said) == Lifetime()


@pytest.mark.parametrize(
    "octets",
    ["80020258", "80010003 80020258", "80010001 80020000", "80010001 00020000", "800100",
     "80010001 80020001 80020002", "80010001 80020001 80010001 80020002"],
)  # fmt: skip
def test_a_lifetime_that_says_nothing_or_two_things_is_malformed(octets: str) -> None:
    with pytest.raises(Malformed):
        read_responder_lifetime(Phase.TWO, bytes.fromhex(octets))


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("octets", ["0000000100000000", "0100000000", "ffffffffffffffff"])
def test_a_lifetime_beyond_four_octets_is_the_longest_of_four(phase: Phase, octets: str) -> None:
    """So that octets fit what the plane counts with, and our own answer the four octets."""
    kind, duration = phase.value
    said = tuple(
        each
        for unit in (1, 2)
        for each in (Attribute(kind, unit), Attribute(duration, bytes.fromhex(octets)))
    )
    life = read_life(phase, said)
    assert life == Lifetime(2**32 - 1, 2**32 - 1)
    assert life.octets is not None and life.octets < 2**63
    assert read_responder_lifetime(phase, responder_lifetime(phase, life)) == life
