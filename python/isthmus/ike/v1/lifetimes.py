"""Lifetimes as attributes say them: in offers, and in a RESPONDER-LIFETIME notify.

RFC 2409 appendix A for phase 1, RFC 2407 §4.5 for phase 2: a type, seconds or kilobytes, and then
a duration of that type.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev1 import LifeType, Phase1Attribute, Phase2Attribute
from isthmus.wire.cursor import Reader
from isthmus.wire.v1.attributes import Attribute, decode_attributes, encode_attributes

KILOBYTE = 1024
"""Octets."""
_SHORT_MAX = 0xFFFF
_LONGEST = 0xFFFF_FFFF
"""Of either unit; a duration may come in more than four octets, and means no more by it."""


class Phase(Enum):
    """The attribute classes of life type and life duration."""

    ONE = (Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION)
    TWO = (Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What was said of an SA's life; None where nothing was."""

    seconds: int | None = None
    kilobytes: int | None = None

    @property
    def octets(self) -> int | None:
        """The kilobytes as octets."""
        return None if self.kilobytes is None else self.kilobytes * KILOBYTE


def life_attributes(phase: Phase, life: Lifetime) -> tuple[Attribute, ...]:
    """In the short form where a duration fits it."""
    kind, duration = phase.value
    said = ((LifeType.SECONDS, life.seconds), (LifeType.KILOBYTES, life.kilobytes))
    return tuple(
        attribute
        for life_type, amount in said
        if amount is not None
        for attribute in (Attribute(kind, int(life_type)), _duration(duration, amount))
    )


def _duration(kind: int, amount: int) -> Attribute:
    return Attribute(kind, amount if amount <= _SHORT_MAX else amount.to_bytes(4, "big"))


def read_life(phase: Phase, attributes: Iterable[Attribute]) -> Lifetime:
    """Of the attributes that are about it; others are passed over.

    Raises Malformed for a duration without a type, of no length or of no type that we know, and
    for two that contradict each other (RFC 2407 §4.5.2). A duration beyond four octets counts as
    the longest of four: 136 years, or four terabytes.
    """
    kind, duration = phase.value
    said: dict[int, int] = {}
    unit: int | None = None
    for attribute in attributes:
        if attribute.kind == kind:
            unit = attribute.number
            if unit not in (LifeType.SECONDS, LifeType.KILOBYTES):
                raise Malformed(f"a lifetime of type {unit}")
        elif attribute.kind == duration:
            if unit is None:
                raise Malformed("a lifetime without its type")
            amount = min(attribute.number, _LONGEST)
            if not amount or said.setdefault(unit, amount) != amount:
                raise Malformed(f"a lifetime of {amount}, or two that differ")
            unit = None
    return Lifetime(said.get(LifeType.SECONDS), said.get(LifeType.KILOBYTES))


def responder_lifetime(phase: Phase, life: Lifetime) -> bytes:
    """The data of a RESPONDER-LIFETIME notify (RFC 2407 §4.6.3.1)."""
    return encode_attributes(life_attributes(phase, life))


def read_responder_lifetime(phase: Phase, data: bytes) -> Lifetime:
    """What a RESPONDER-LIFETIME notify says. Raises Malformed as `read_life` does."""
    return read_life(phase, decode_attributes(Reader(data), {}))
