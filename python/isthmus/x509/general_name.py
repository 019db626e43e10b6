"""GeneralName: what alternative names, constraints and distribution points are made of.

RFC 5280 §4.2.1.6.
"""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from isthmus.values.errors import Malformed
from isthmus.values.identity import printable
from isthmus.x509.der import CONSTRUCTED, SEQUENCE, Element, Reader, encode
from isthmus.x509.name import Name

NAMES_MAX = 256
"""GeneralNames in one extension; a gateway has a handful."""


class NameKind(IntEnum):
    """The choices of GeneralName, by tag."""

    OTHER = 0
    EMAIL = 1
    DNS = 2
    X400 = 3
    DIRECTORY = 4
    EDI = 5
    URI = 6
    IP = 7
    REGISTERED = 8


_CONSTRUCTED_KINDS = frozenset({NameKind.OTHER, NameKind.X400, NameKind.DIRECTORY, NameKind.EDI})
_TEXTS = frozenset({NameKind.EMAIL, NameKind.DNS, NameKind.URI})
_SHOWN = {
    NameKind.EMAIL: "email",
    NameKind.DNS: "fqdn",
    NameKind.URI: "uri",
    NameKind.OTHER: "other",
    NameKind.X400: "x400",
    NameKind.EDI: "edi",
    NameKind.REGISTERED: "oid",
}


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One name. `octets` is its content; `directory` is set for a directoryName alone."""

    kind: NameKind
    octets: bytes
    directory: Name | None = None

    @property
    def text(self) -> str:
        """For texts (e-mail, DNS, URI): the name as ASCII."""
        return self.octets.decode("ascii")

    def __str__(self) -> str:
        if self.directory is not None:
            return f"dn:{self.directory}"
        if self.kind is NameKind.IP:
            return f"ip:{_address(self.octets)}"
        if self.kind in _TEXTS:
            return f"{_SHOWN[self.kind]}:{printable(self.octets)}"
        return f"{_SHOWN[self.kind]}:0x{self.octets[:64].hex()}"


def _address(octets: bytes) -> str:
    match len(octets):
        case 4:
            return str(IPv4Address(octets))
        case 16:
            return str(IPv6Address(octets))
        case 8:
            return f"{IPv4Address(octets[:4])}/{_prefix(octets[4:])}"
        case 32:
            return f"{IPv6Address(octets[:16])}/{_prefix(octets[16:])}"
        case _:
            return octets[:64].hex()


def _prefix(mask: bytes) -> int:
    return int.from_bytes(mask).bit_count()


def general_name(element: Element, *, address_sizes: tuple[int, ...] = (4, 16)) -> GeneralName:
    """Read one GeneralName. Raises Malformed for what is none.

    `address_sizes` are the octets that an iPAddress may have: constraints carry masks too.
    """
    number = element.tag & 0x1F
    if element.tag & 0xC0 != 0x80 or number > NameKind.REGISTERED:
        raise Malformed(f"a general name with tag {element.tag:#04x}")
    kind = NameKind(number)
    if bool(element.tag & CONSTRUCTED) is not (kind in _CONSTRUCTED_KINDS):
        raise Malformed(f"a general name with tag {element.tag:#04x}")
    if kind is NameKind.DIRECTORY:
        return GeneralName(kind, element.body, Name.parse(element.body))
    if kind in _TEXTS and not element.body.isascii():
        raise Malformed(f"a {_SHOWN[kind]} name that is not ASCII")
    if kind is NameKind.IP and len(element.body) not in address_sizes:
        raise Malformed(f"an address of {len(element.body)} octets")
    return GeneralName(kind, element.body)


def general_names(body: bytes) -> tuple[GeneralName, ...]:
    """The content of GeneralNames: one name at least. Raises Malformed."""
    reader = Reader(body)
    names: list[GeneralName] = []
    while not reader.empty:
        if len(names) == NAMES_MAX:
            raise Malformed(f"more than {NAMES_MAX} names in one extension")
        names.append(general_name(reader.any()))
    if not names:
        raise Malformed("an empty list of names")
    return tuple(names)


def subject_name(name: Name) -> GeneralName:
    """A subject as the directoryName that it is to name constraints."""
    return GeneralName(NameKind.DIRECTORY, encode(SEQUENCE, b""), name)
