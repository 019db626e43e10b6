"""Identities: typed, compared strictly, printed with their type (RFC 7296 §3.5)."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from isthmus.values import distinguished_name
from isthmus.values.distinguished_name import Key
from isthmus.values.errors import Malformed
from isthmus.values.registry.ikev2 import IdType, known

PREFIXES = {
    "ip": None,
    "fqdn": IdType.FQDN,
    "email": IdType.RFC822_ADDR,
    "keyid": IdType.KEY_ID,
    "dn": IdType.DER_ASN1_DN,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """An ID payload's content: a type and its octets.

    Equality is of type and octets; `matches` compares as the type demands.
    """

    kind: IdType | int
    octets: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the product's spelling (`ip:`, `fqdn:`, `email:`, `dn:`, `keyid:`) or a bare word.

        A bare word that is an address is an `ip:`, one with an @ an `email:`, else an `fqdn:`.
        Raises ValueError with a sentence a user can act on.
        """
        prefix, colon, rest = text.partition(":")
        if colon and prefix in PREFIXES:
            return cls._typed(prefix, rest)
        try:
            ip_address(text)
        except ValueError:
            return cls._typed("email" if "@" in text else "fqdn", text)
        return cls._typed("ip", text)

    @classmethod
    def _typed(cls, prefix: str, rest: str) -> Self:
        if not rest:
            raise ValueError(f"the identity {prefix}: is empty")
        if prefix == "ip":
            try:
                return cls.of_address(ip_address(rest))
            except ValueError:
                raise ValueError(f"ip:{rest} is not an IP address") from None
        if prefix == "dn":
            return cls(IdType.DER_ASN1_DN, distinguished_name.encode(rest))
        if prefix == "keyid":
            if rest.startswith("0x"):
                try:
                    return cls(IdType.KEY_ID, bytes.fromhex(rest[2:]))
                except ValueError:
                    raise ValueError(f"keyid:{rest} is not hexadecimal") from None
            return cls(IdType.KEY_ID, rest.encode())
        kind = PREFIXES[prefix]
        assert kind is not None
        if prefix == "fqdn" and _is_address(rest):
            raise ValueError(f"fqdn:{rest} is an address; write ip:{rest}")
        if prefix == "email" and "@" not in rest:
            raise ValueError(f"email:{rest} has no @")
        if not rest.isascii() or any(c.isspace() for c in rest):
            raise ValueError(f"{prefix}:{rest} may hold only ASCII without blanks")
        return cls(kind, rest.encode("ascii"))

    @classmethod
    def of_address(cls, address: IPv4Address | IPv6Address) -> Self:
        """The identity of an IP address."""
        kind = IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR
        return cls(kind, address.packed)

    @property
    def key(self) -> tuple[int, object]:
        """Equal for identities that match: of one type, with one content; domain names without
        regard to case, distinguished names without regard to case, blanks and string types (RFC
        5280 §7.1)."""
        if self.kind in (IdType.FQDN, IdType.RFC822_ADDR):
            return int(self.kind), self.octets.lower()
        if self.kind == IdType.DER_ASN1_DN:
            return int(self.kind), distinguished_name.comparable(self.octets)
        return int(self.kind), self.octets

    def matches(self, other: "Identity") -> bool:
        """Is it the same one? See `key`."""
        return self.key == other.key

    def __str__(self) -> str:
        match self.kind:
            case IdType.IPV4_ADDR if len(self.octets) == 4:
                return f"ip:{IPv4Address(self.octets)}"
            case IdType.IPV6_ADDR if len(self.octets) == 16:
                return f"ip:{IPv6Address(self.octets)}"
            case IdType.FQDN:
                return f"fqdn:{printable(self.octets)}"
            case IdType.RFC822_ADDR:
                return f"email:{printable(self.octets)}"
            case IdType.KEY_ID:
                return f"keyid:0x{self.octets.hex()}"
            case IdType.DER_ASN1_DN:
                return _dn_text(self.octets)
            case _:
                named = known(IdType, int(self.kind))
                name = named.name.lower() if isinstance(named, IdType) else f"type{named}"
                return f"{name}:0x{self.octets.hex()}"


@dataclass(frozen=True, slots=True)
class IdentityPattern:
    """Which identities a peer may prove to have: of one type, with `*` in one place of it.

    It stands in the configuration only and never goes over the wire.
    """

    kind: IdType
    text: str
    """`fqdn:*.example.net` (one label), `email:*@example.net`, `dn:O=Example, CN=*` (any value)."""
    suffix: bytes = b""
    """What follows the `*`, in lower case."""
    name: Key = ()
    """Of a distinguished name: its pattern."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with a sentence a user can act on."""
        prefix, colon, rest = text.partition(":")
        if not colon or prefix not in ("fqdn", "email", "dn"):
            raise ValueError("a pattern starts with fqdn:, email: or dn:")
        if prefix == "dn":
            name = distinguished_name.pattern_of(rest)
            if not any(v == distinguished_name.ANY for part in name for _, v in part):
                raise ValueError(f"{text} has no value that is *")
            return cls(IdType.DER_ASN1_DN, text, name=name)
        first, kind = ("*.", IdType.FQDN) if prefix == "fqdn" else ("*@", IdType.RFC822_ADDR)
        suffix = rest.removeprefix("*")
        if not rest.startswith(first) or len(suffix) < 2 or "*" in suffix:
            raise ValueError(f"{text} is no {prefix}:{first}example.net")
        if not rest.isascii() or any(c.isspace() for c in rest):
            raise ValueError(f"{text} may hold only ASCII without blanks")
        return cls(kind, text, suffix.lower().encode("ascii"))

    def matches(self, other: Identity) -> bool:
        """Is it of this type, and does the `*` stand for exactly one label, mailbox or value?"""
        if self.kind != other.kind:
            return False
        if self.kind is IdType.DER_ASN1_DN:
            return distinguished_name.fits(self.name, other.octets)
        first = other.octets.lower().removesuffix(self.suffix)
        separator = b"." if self.kind is IdType.FQDN else b"@"
        return b"" != first != other.octets.lower() and separator not in first

    def __str__(self) -> str:
        return self.text


def _dn_text(octets: bytes) -> str:
    try:
        return f"dn:{distinguished_name.to_text(octets)}"
    except Malformed:
        return f"dn:0x{octets[:256].hex()}"


def printable(octets: bytes) -> str:
    """Text from a stranger, safe for a log line: what is not plain ASCII is escaped."""
    text = octets[:256].decode("ascii", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
