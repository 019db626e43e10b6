"""Attributes: a type and a value, in the short or the long form (RFC 2408 §3.3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from isthmus.values.errors import Malformed
from isthmus.wire.cursor import Reader, Writer
from isthmus.wire.proposals import FIXED_FORM

ATTRIBUTES_MAX = 64
"""Attributes of one transform or of one Attributes payload."""
NUMBER_SIZE_MAX = 8
"""Octets of a number in the long form: lifetimes have four, and some peers pad."""
_LAYOUT = Struct(">HH")
_REFERENCE_MEMORY = 24
_ATTRIBUTE_MEMORY = 320

Kept = dict[tuple[int, int | bytes], "Attribute"]
"""Attributes that one payload has had: the transforms of an offer repeat them over and over."""


@dataclass(frozen=True, slots=True, repr=False)
class Attribute:
    """`kind` has 15 bits. The value is a number in the short form, octets in the long one."""

    kind: int
    value: int | bytes

    @property
    def number(self) -> int:
        """The value as a number, in whichever form it came (RFC 2409 appendix A).

        Raises Malformed for no octets, and for more than `NUMBER_SIZE_MAX`.
        """
        if isinstance(self.value, int):
            return self.value
        if not 0 < len(self.value) <= NUMBER_SIZE_MAX:
            raise Malformed(f"attribute {self.kind} is a number of {len(self.value)} octets")
        return int.from_bytes(self.value, "big")

    @property
    def octets(self) -> bytes:
        """The value as octets: the two of the short form."""
        return self.value.to_bytes(2, "big") if isinstance(self.value, int) else self.value

    def __repr__(self) -> str:
        # The octets may be a password (XAUTH).
        what = self.value if isinstance(self.value, int) else f"<{len(self.value)} octets>"
        return f"Attribute({self.kind}, {what})"


def decode_attributes(body: Reader, kept: Kept) -> tuple[Attribute, ...]:
    """All attributes up to the end of the body. Raises Malformed for too many and cut off ones."""
    found: list[Attribute] = []
    while body.remaining:
        if len(found) == ATTRIBUTES_MAX:
            raise Malformed(f"more than {ATTRIBUTES_MAX} attributes", at=body.offset)
        mark, number = body.unpack(_LAYOUT)
        kind = mark & ~FIXED_FORM
        value = number if mark & FIXED_FORM else body.take(number)
        body.charge(_REFERENCE_MEMORY)
        attribute = kept.get((kind, value))
        if attribute is None:
            body.charge(_ATTRIBUTE_MEMORY)
            attribute = kept[kind, value] = Attribute(kind, value)
        found.append(attribute)
    return tuple(found)


def encode_attributes(attributes: Iterable[Attribute]) -> bytes:
    """Behind one another. Raises LocalFault for what does not fit."""
    writer = Writer()
    for attribute in attributes:
        if isinstance(attribute.value, int):
            writer.u16(FIXED_FORM | attribute.kind).u16(attribute.value)
        else:
            writer.u16(attribute.kind).u16(len(attribute.value)).put(attribute.value)
    return writer.octets()
