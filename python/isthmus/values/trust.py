"""How strictly a peer's certificate is judged: words of the configuration that x509 acts on."""

from enum import StrEnum


class RevocationMode(StrEnum):
    """Whether a certificate's issuer is asked if it was revoked (RFC 5280 §6.3, RFC 6960)."""

    SOFT = "soft"
    """A revoked certificate is refused; where nobody can say, it is accepted."""
    STRICT = "strict"
    """Only a certificate that its issuer says is good, lately, is accepted."""
    OFF = "off"
    """Nobody is asked and no list is looked at."""


class EkuRule(StrEnum):
    """Which extended key usages a peer's certificate may have (RFC 4945 §5.1.3.12)."""

    IKE = "ike"
    """None at all, any usage, one for IPsec, or one for TLS servers or clients: what gateways and
    clients of other makers have in their certificates."""
    SERVER = "server"
    """serverAuth or any usage must be there: what Windows and Apple ask of a gateway."""
    CLIENT = "client"
    """clientAuth or any usage must be there."""
    ANY = "any"
    """Not looked at."""
