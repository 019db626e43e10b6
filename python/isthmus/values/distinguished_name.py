"""Distinguished names as identities (RFC 7296 §3.5, ID_DER_ASN1_DN): from text, to text, compared.

Text is in the order of the certificate, the widest first, as `openssl x509 -subject` prints it:
`C=DE, O=Example, CN=gw.example.net`. A comma, a plus and a backslash within a value are written
with a backslash before them; `+` joins the attributes of one relative name.
"""

import unicodedata
from functools import lru_cache

from isthmus.values.errors import Malformed

OCTETS_MAX = 8192
ANY = "*"
"""A value of a pattern that stands for any one value."""

_OBJECT_ID, _SEQUENCE, _SET = 0x06, 0x30, 0x31
_UTF8, _PRINTABLE, _IA5 = 0x0C, 0x13, 0x16
_CHARSETS = {
    _UTF8: "utf-8",
    _PRINTABLE: "ascii",
    0x14: "latin-1",
    _IA5: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_TYPES = {
    "CN": (bytes.fromhex("550403"), _UTF8),
    "SN": (bytes.fromhex("550404"), _UTF8),
    "SERIALNUMBER": (bytes.fromhex("550405"), _PRINTABLE),
    "C": (bytes.fromhex("550406"), _PRINTABLE),
    "L": (bytes.fromhex("550407"), _UTF8),
    "ST": (bytes.fromhex("550408"), _UTF8),
    "STREET": (bytes.fromhex("550409"), _UTF8),
    "O": (bytes.fromhex("55040a"), _UTF8),
    "OU": (bytes.fromhex("55040b"), _UTF8),
    "T": (bytes.fromhex("55040c"), _UTF8),
    "GN": (bytes.fromhex("55042a"), _UTF8),
    "DNQUALIFIER": (bytes.fromhex("55042e"), _PRINTABLE),
    "UID": (bytes.fromhex("0992268993f22c640101"), _UTF8),
    "DC": (bytes.fromhex("0992268993f22c640119"), _IA5),
    "E": (bytes.fromhex("2a864886f70d010901"), _IA5),
}
_ALIASES = {"EMAILADDRESS": "E", "EMAIL": "E", "S": "ST", "SURNAME": "SN", "GIVENNAME": "GN"}
_NAMES = {octets: name for name, (octets, _) in _TYPES.items()}

Attribute = tuple[bytes, str | bytes]
"""The type's OID octets; the canonical text, or the whole value where it is no text."""
Key = tuple[frozenset[Attribute], ...]
"""Equal keys are equal names (RFC 5280 §7.1)."""


def encode(text: str) -> bytes:
    """A Name in DER. Raises ValueError with a sentence a user can act on."""
    relative_names = []
    for pairs in _split(text):
        attributes = []
        for name, value in pairs:
            octets, tag = _TYPES[name]
            attributes.append(_tlv(_SEQUENCE, _tlv(_OBJECT_ID, octets) + _text(tag, value)))
        # DER sorts the members of a SET OF by their octets (X.690 §11.6).
        relative_names.append(_tlv(_SET, b"".join(sorted(attributes))))
    return _tlv(_SEQUENCE, b"".join(relative_names))


@lru_cache(maxsize=1024)
def key_of(der: bytes) -> Key:
    """What the name is compared by. Raises Malformed."""
    return tuple(
        frozenset((kind, _canonical(tag, body)) for kind, tag, body in relative)
        for relative in _relative_names(der)
    )


def pattern_of(text: str) -> Key:
    """The key of a name whose values may be `*`. Raises ValueError."""
    return tuple(
        frozenset((_TYPES[name][0], folded(value)) for name, value in pairs)
        for pairs in _split(text)
    )


def fits(pattern: Key, der: bytes) -> bool:
    """Does the name have the pattern's attributes, in its order, and no others? An octet string
    that is no name fits nothing."""
    try:
        key = key_of(der)
    except Malformed:
        return False
    return len(key) == len(pattern) and all(map(_relative_fits, pattern, key))


def comparable(der: bytes) -> Key | bytes:
    """Equal for two writings of one name; octets that are no name stand for themselves."""
    try:
        return key_of(der)
    except Malformed:
        return der


def to_text(der: bytes) -> str:
    """As `encode` reads it; safe for a log line. Raises Malformed."""
    return ", ".join(
        "+".join(f"{_NAMES.get(kind, _dotted(kind))}={_shown(tag, body)}" for kind, tag, body in r)
        for r in _relative_names(der)
    )


def _relative_fits(pattern: frozenset[Attribute], name: frozenset[Attribute]) -> bool:
    kinds = {kind for kind, _ in pattern}
    if len(pattern) != len(name) or kinds != {kind for kind, _ in name}:
        return False
    return all(value == ANY or (kind, value) in name for kind, value in pattern)


def _split(text: str) -> list[list[tuple[str, str]]]:
    """Relative names of attributes with their values, escapes resolved. Raises ValueError."""
    if text.startswith("/"):
        raise ValueError("a distinguished name is written as C=DE, O=Example, CN=gw")
    found: list[list[tuple[str, str]]] = [[]]
    piece, escaped = "", False
    for character in (*text, None):
        if escaped and character is not None:
            piece, escaped = piece + character, False
        elif character == "\\":
            escaped = True
        elif character in (",", "+", None):
            found[-1].append(_attribute(piece))
            piece = ""
            if character == ",":
                found.append([])
        else:
            assert character is not None
            piece += character
    if escaped:
        raise ValueError("the distinguished name ends with a backslash")
    return found


def _attribute(piece: str) -> tuple[str, str]:
    name, equals, value = piece.partition("=")
    name, value = name.strip().upper(), value.strip()
    name = _ALIASES.get(name, name)
    if not equals or not value:
        raise ValueError("a distinguished name is written as C=DE, O=Example, CN=gw")
    if name not in _TYPES:
        known = ", ".join(_TYPES)
        raise ValueError(f"{name[:40]} is no attribute of a name that is known here: {known}")
    if not value.isprintable() or len(value) > 256:
        raise ValueError(f"the value of {name} cannot be printed or is too long")
    return name, value


def _text(tag: int, value: str) -> bytes:
    if tag != _UTF8 and not value.isascii():
        raise ValueError("C, DC, E, serialNumber and dnQualifier hold ASCII only")
    return _tlv(tag, value.encode(_CHARSETS[tag]))


def _tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def _relative_names(der: bytes) -> list[list[tuple[bytes, int, bytes]]]:
    """Type, tag and octets of each attribute's value. Raises Malformed."""
    if len(der) > OCTETS_MAX:
        raise Malformed(f"a name of {len(der)} octets")
    ((tag, body),) = _elements(der, 1)
    if tag != _SEQUENCE:
        raise Malformed("a name that is no sequence")
    found = []
    for tag, relative in _elements(body):
        if tag != _SET:
            raise Malformed("a relative name that is no set")
        attributes = []
        for _, pair in _elements(relative):
            (kind_tag, kind), (value_tag, value) = _elements(pair, 2)
            if kind_tag != _OBJECT_ID:
                raise Malformed("an attribute without a type")
            attributes.append((kind, value_tag, value))
        found.append(attributes)
    return found


def _elements(octets: bytes, count: int | None = None) -> list[tuple[int, bytes]]:
    """Tags and contents of what stands one after the other; exactly `count` if it is given."""
    found = []
    at = 0
    while at < len(octets):
        if len(octets) - at < 2:
            raise Malformed("an element is cut short", at=at)
        tag, size, start = octets[at], octets[at + 1], at + 2
        if size >= 0x80:
            width = size & 0x7F
            if not 1 <= width <= 3:
                raise Malformed("a length that no name has", at=at)
            size, start = int.from_bytes(octets[start : start + width]), start + width
        at = start + size
        if at > len(octets):
            raise Malformed("an element reaches past its container", at=start)
        found.append((tag, octets[start:at]))
    if count is not None and len(found) != count:
        raise Malformed("a name of another shape")
    return found


def decoded(tag: int, body: bytes) -> str | None:
    """The text of a string type; None when it is none, or not what its type says."""
    charset = _CHARSETS.get(tag)
    if charset is None:
        return None
    try:
        return body.decode(charset)
    except UnicodeDecodeError:
        return None


def _canonical(tag: int, body: bytes) -> str | bytes:
    text = decoded(tag, body)
    return bytes((tag,)) + body if text is None else folded(text)


def folded(text: str) -> str:
    """Case folded, composed, white space single and none at the ends (RFC 4518 §2).

    Control and invisible characters are kept, which RFC 4518 §2.2 would drop: a name that only
    looks like another one is another one.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(part for part in folded.split(" ") if part)


def _shown(tag: int, body: bytes) -> str:
    text = decoded(tag, body)
    if text is None:
        return f"#{body[:64].hex()}"
    return "".join(
        (f"\\{c}" if c in ",+\\" else c) if c.isprintable() else f"\\u{ord(c):04x}"
        for c in text[:256]
    )


def _dotted(kind: bytes) -> str:
    return f"oid.{kind[:32].hex()}"
