"""Identities: typed, compared strictly, printed with their type (RFC 7296 §3.5)."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

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

    Equality is of type and octets; FQDN and e-mail domains compare without regard to case
    through `matches`.
    """

    kind: IdType | int
    octets: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the product's spelling (`ip:`, `fqdn:`, `email:`, `keyid:`) or a bare word.

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
            raise ValueError("dn: identities need certificates, which this version cannot use yet")
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

    def matches(self, other: "Identity") -> bool:
        """Same type and same content; domain names without regard to case."""
        if self.kind != other.kind:
            return False
        if self.kind in (IdType.FQDN, IdType.RFC822_ADDR):
            return self.octets.lower() == other.octets.lower()
        return self.octets == other.octets

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
                return f"dn:0x{self.octets.hex()}"
            case _:
                named = known(IdType, int(self.kind))
                name = named.name.lower() if isinstance(named, IdType) else f"type{named}"
                return f"{name}:0x{self.octets.hex()}"


def printable(octets: bytes) -> str:
    """Text from a stranger, safe for a log line: what is not plain ASCII is escaped."""
    text = octets[:256].decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
