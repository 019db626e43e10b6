"""Distinguished names of certificates: read strictly, compared after RFC 5280 §7.1.

Text compares without regard to case and to the amount of white space, whichever of the string types
holds it (`values.distinguished_name`, which identities are compared by too); every other value
compares by type and octets. Order and grouping of the attributes count.
"""

from dataclasses import dataclass, field
from typing import Self

from isthmus.values.distinguished_name import decoded, folded, to_text
from isthmus.values.errors import Malformed
from isthmus.x509.der import OID, SEQUENCE, SET, Reader, oid

NAME_SIZE_MAX = 8192
"""Octets. The largest names seen have a few hundred."""
VALUE_SIZE_MAX = 1024
"""Octets of one attribute's value."""
EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

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
        emails: list[bytes] = []
        while not rdns.empty:
            rdn, found = _rdn(rdns.take(SET))
            key.append(rdn)
            emails.extend(found)
        return cls(der, tuple(key), tuple(emails))

    def __str__(self) -> str:
        """`C=CH, O=Example, CN=gw`, in the order of the certificate, safe for a log line."""
        return to_text(self.der) or "(empty name)"

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


def _rdn(body: bytes) -> tuple[Rdn, list[bytes]]:
    reader = Reader(body)
    attributes: list[Attribute] = []
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
            attributes.append((kind, 0, folded(text)))
        if kind == EMAIL_ADDRESS:
            emails.append(value.body)
    if not attributes:
        raise Malformed("a relative name without attributes")
    return frozenset(attributes), emails
