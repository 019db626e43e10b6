"""Reading DER: definite lengths in their shortest form, low tags, no value past its end (X.690).

What `cryptography` does not hand out is read with this: the octets of names, algorithm identifiers
and extensions as they stand in the certificate. Every step takes at least two octets, and nesting
is as deep as the caller's grammar, so that work is linear in the octets given.
"""

from calendar import timegm
from datetime import datetime
from typing import NamedTuple

from isthmus.values.errors import Malformed

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
ENUMERATED = 0x0A
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31
CONSTRUCTED = 0x20

_OID_SIZE_MAX = 64


def context(number: int, *, constructed: bool = False) -> int:
    """The tag [number] of a context."""
    return 0x80 | number | (CONSTRUCTED if constructed else 0)


class Element(NamedTuple):
    """One TLV: its tag, its content, and all of it."""

    tag: int
    body: bytes
    whole: bytes


class Reader:
    """Takes elements one after the other. Raises Malformed, and nothing else."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def empty(self) -> bool:
        """Nothing is left."""
        return self._at >= len(self._octets)

    @property
    def tag(self) -> int:
        """The next element's tag; -1 at the end."""
        return -1 if self.empty else self._octets[self._at]

    def any(self) -> Element:
        """The next element, whatever it is."""
        octets, start = self._octets, self._at
        if len(octets) - start < 2:
            raise Malformed("an element is cut short", at=start)
        tag, length, body = octets[start], octets[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise Malformed("a tag of several octets", at=start)
        if length >= 0x80:
            size = length & 0x7F
            length = int.from_bytes(octets[body : body + size])
            # Indefinite lengths (no octets) and those that are cut short are too small as well.
            if length < 0x80 or length >> (8 * (size - 1)) == 0:
                raise Malformed("a length that is not in its shortest form", at=start)
            body += size
        end = body + length
        if end > len(octets):
            raise Malformed("an element reaches past its container", at=start)
        self._at = end
        return Element(tag, octets[body:end], octets[start:end])

    def take(self, tag: int) -> bytes:
        """The content of the next element, which must have this tag."""
        if self.tag != tag:
            raise Malformed(f"tag {self.tag:#04x} instead of {tag:#04x}", at=self._at)
        return self.any().body

    def optional(self, tag: int) -> bytes | None:
        """The content of the next element if it has this tag."""
        return self.any().body if self.tag == tag else None

    def inner(self, tag: int = SEQUENCE) -> "Reader":
        """A reader of the next element's content."""
        return Reader(self.take(tag))

    def finish(self) -> None:
        """Raises Malformed when something is left."""
        if not self.empty:
            raise Malformed("octets after the last element", at=self._at)

    def integer(self, tag: int = INTEGER) -> int:
        """An INTEGER in its shortest form."""
        return integer(self.take(tag))

    def boolean(self) -> bool:
        """A BOOLEAN: 00 or FF."""
        return boolean(self.take(BOOLEAN))

    def oid(self) -> str:
        """An OBJECT IDENTIFIER in dotted form."""
        return oid(self.take(OID))

    def bits(self, tag: int = BIT_STRING) -> frozenset[int]:
        """The numbers of the bits that are set in a named bit list."""
        return bits(self.take(tag))


def integer(body: bytes) -> int:
    """The content of an INTEGER. Raises Malformed."""
    if not body or (len(body) > 1 and body[0] in (0x00, 0xFF) and body[0] >> 7 == body[1] >> 7):
        raise Malformed("an integer that is empty or not in its shortest form")
    return int.from_bytes(body, signed=True)


def small(body: bytes) -> int:
    """An INTEGER of 0 to 2^31-1, as counts are. Raises Malformed."""
    value = integer(body)
    if not 0 <= value < 2**31:
        raise Malformed("a count that is negative or too large")
    return value


def boolean(body: bytes) -> bool:
    """The content of a BOOLEAN. Raises Malformed."""
    if body not in (b"\x00", b"\xff"):
        raise Malformed("a boolean that is neither 00 nor FF")
    return body == b"\xff"


def bits(body: bytes) -> frozenset[int]:
    """The content of a BIT STRING as the numbers of its set bits. Raises Malformed."""
    if not body or body[0] > 7 or len(body) > 9:
        raise Malformed("a bit list that is empty or too long")
    # Of a list without octets this looks at the number of unused bits itself, which must be 0.
    if body[-1] & ((1 << body[0]) - 1):
        raise Malformed("unused bits of a bit list that are set")
    digits = "".join(f"{octet:08b}" for octet in body[1:])
    return frozenset(number for number, bit in enumerate(digits) if bit == "1")


def oid(body: bytes) -> str:
    """The content of an OBJECT IDENTIFIER in dotted form. Raises Malformed."""
    if not body or len(body) > _OID_SIZE_MAX or body[-1] & 0x80:
        raise Malformed("an object identifier that is empty, too long or cut short")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in body:
        if fresh and octet == 0x80:
            raise Malformed("an arc that is not in its shortest form")
        value, fresh = value << 7 | octet & 0x7F, not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def time(tag: int, body: bytes) -> int:
    """A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants them, in Unix seconds.

    YYMMDDHHMMSSZ from 1950 to 2049, or YYYYMMDDHHMMSSZ. Raises Malformed.
    """
    if tag == UTC_TIME and len(body) == 13:
        body = (b"19" if body >= b"5" else b"20") + body
    elif tag != GENERALIZED_TIME:
        raise Malformed("a time that is neither YYMMDDHHMMSSZ nor YYYYMMDDHHMMSSZ")
    if len(body) != 15 or not body[:14].isdigit() or body[14] != 0x5A:
        raise Malformed("a time that is neither YYMMDDHHMMSSZ nor YYYYMMDDHHMMSSZ")
    try:
        return timegm(datetime.strptime(body.decode("ascii"), "%Y%m%d%H%M%SZ").timetuple())
    except ValueError:
        raise Malformed("a time that does not exist") from None


def encode(tag: int, body: bytes) -> bytes:
    """One element."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body
