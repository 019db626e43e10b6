"""Distinguished names: compared after RFC 5280 §7.1, printed safely.

Text compares without regard to case and to the amount of white space, whichever of the string types
holds it; every other value compares by type and octets. Order and grouping of the attributes count.
Control and invisible characters are kept, though RFC 4518 §2.2 would drop them: a name that looks
like another one is another one.
"""

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from isthmus.values.errors import Malformed
from isthmus.x509.der import OID, SEQUENCE, SET, Reader, oid

NAME_SIZE_MAX = 8192
"""Octets. The largest names seen have a few hundred."""
VALUE_SIZE_MAX = 1024
"""Octets of one attribute's value."""
EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

_CHARSETS = {
    0x0C: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
"""UTF8String, PrintableString, TeletexString, IA5String, UniversalString, BMPString."""

SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    EMAIL_ADDRESS: "E",
}
"""Attribute types and what they are called in text."""

Attribute = tuple[str, int, str | bytes]
"""Type, class of value (0 for text, else the tag), value in canonical form."""
Rdn = frozenset[Attribute]
Key = tuple[Rdn, ...]
"""A name in canonical form: equal keys are equal names."""


@dataclass(frozen=True, slots=True)
class Name:
    """A distinguished name. Equality is RFC 5280's, by `key`."""

    der: bytes = field(compare=False, repr=False)
    key: Key
    text: str = field(compare=False)
    """`C=CH, O=Example, CN=gw`, in the order of the certificate, safe for a log line."""
    emails: tuple[bytes, ...] = field(compare=False, repr=False)
    """The values of emailAddress attributes: name constraints speak of them too."""

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a Name. Raises Malformed."""
        if len(der) > NAME_SIZE_MAX:
            raise Malformed(f"a name of {len(der)} octets")
        outer = Reader(der)
        rdns = outer.inner(SEQUENCE)
        outer.finish()
        key: list[Rdn] = []
        parts: list[str] = []
        emails: list[bytes] = []
        while not rdns.empty:
            rdn, shown, found = _rdn(rdns.take(SET))
            key.append(rdn)
            parts.append(shown)
            emails.extend(found)
        return cls(der, tuple(key), ", ".join(parts), tuple(emails))

    def __str__(self) -> str:
        return self.text or "(empty name)"

    @property
    def empty(self) -> bool:
        """No attributes at all."""
        return not self.key

    def within(self, base: "Name") -> bool:
        """`base` is the beginning of this name: the subtree of RFC 5280 §4.2.1.10."""
        return self.key[: len(base.key)] == base.key


def relative(body: bytes) -> Rdn:
    """A RelativeDistinguishedName's content in canonical form. Raises Malformed."""
    return _rdn(body)[0]


def _rdn(body: bytes) -> tuple[Rdn, str, list[bytes]]:
    reader = Reader(body)
    attributes: list[Attribute] = []
    shown: list[str] = []
    emails: list[bytes] = []
    while not reader.empty:
        pair = reader.inner(SEQUENCE)
        kind = oid(pair.take(OID))
        value = pair.any()
        pair.finish()
        if len(value.body) > VALUE_SIZE_MAX:
            raise Malformed(f"an attribute value of {len(value.body)} octets")
        text = decoded(value.tag, value.body)
        if text is None:
            attributes.append((kind, value.tag, value.body))
        else:
            attributes.append((kind, 0, canonical(text)))
        if kind == EMAIL_ADDRESS:
            emails.append(value.body)
        shown.append(f"{SHORT.get(kind, kind)}={_shown(text, value.body)}")
    if not attributes:
        raise Malformed("a relative name without attributes")
    return frozenset(attributes), "+".join(shown), emails


def decoded(tag: int, body: bytes) -> str | None:
    """The text of a string type; None when it is none, or not what its type says."""
    charset = _CHARSETS.get(tag)
    if charset is None:
        return None
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """Case folded, composed, white space single and none at the ends (RFC 4518 §2, but see top)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(part for part in folded.split(" ") if part)


def _shown(text: str | None, body: bytes) -> str:
    if text is None:
        return f"#{body[:64].hex()}"
    return "".join(
        ("\\" + c if c in ',+=\\"' else c) if c.isprintable() else f"\\u{ord(c):04x}"
        for c in text[:256]
    )
