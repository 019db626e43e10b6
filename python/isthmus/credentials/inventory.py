"""Certificates that tunnels rest on, and what of them would fail later: pure, the date is given.

What never changes by itself (a name that is not in the certificate) is for whoever loads them to
refuse; what time brings about is a warning, since a configuration that held yesterday is not
refused today.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from isthmus.credentials.store import Own, Trust
from isthmus.values.signature import KeyKind
from isthmus.values.trust import EkuRule
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.path import validate
from isthmus.x509.rules import PathRules
from isthmus.x509.walk import date

DAY_S = 86_400
WARNING_DAYS = (30, 7, 1)
"""So long before its end a certificate is spoken of."""


class Role(StrEnum):
    """What a tunnel has a certificate for."""

    OWN = "own"
    ISSUER = "issuer"
    """Of our own, and sent with it."""
    ANCHOR = "anchor"
    """A root that the peer's may go back to."""
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate of one tunnel."""

    tunnel: str
    role: Role
    certificate: Certificate

    def days_left(self, at: int) -> int:
        """Whole days until it ends; negative once it has. `at` is Unix time in seconds."""
        return (self.certificate.not_after - at) // DAY_S

    @property
    def what(self) -> str:
        """`our certificate C=DE, CN=gw`."""
        return f"{_CALLED[self.role]} {self.certificate.subject_text}"

    @property
    def ends_on(self) -> str:
        """The date of its end."""
        return date(self.certificate.not_after)


def held(tunnel: str, own: Own | None, trust: Trust | None) -> Iterator[Held]:
    """The certificates that one tunnel was configured with."""
    for index, certificate in enumerate(own.chain if own is not None else ()):
        yield Held(tunnel, Role.ISSUER if index else Role.OWN, certificate)
    for certificate in trust.anchors if trust is not None else ():
        yield Held(tunnel, Role.ANCHOR, certificate)


_CALLED: Mapping[Role, str] = {
    Role.OWN: "our certificate",
    Role.ISSUER: "the certificate of our issuer",
    Role.ANCHOR: "the root certificate",
    Role.PEER: "the peer's certificate",
}


def timing(one: Held, at: int) -> str | None:
    """What is to be said about its dates at the Unix time `at`, with the finding; None: nothing."""
    certificate = one.certificate
    what, days = one.what, one.days_left(at)
    if at > certificate.not_after:
        return f"{what} expired on {one.ends_on} ({Defect.EXPIRED})"
    if at < certificate.not_before:
        since = date(certificate.not_before)
        return f"{what} is not valid before {since} ({Defect.NOT_YET_VALID})"
    if certificate.not_after - at <= WARNING_DAYS[0] * DAY_S:
        return f"{what} ends in {days_text(days)}, on {one.ends_on}: have it renewed"
    return None


def weakness(one: Held) -> str | None:
    """Why no path that holds it is ever accepted, whoever it belongs to; None: it may be."""
    key = one.certificate.public_key
    if key.kind is KeyKind.RSA and key.bits < PathRules().rsa_bits_min:
        return f"{one.what} has a key of {key.bits} bits, and is refused for it ({Defect.KEY})"
    return None


def days_text(days: int) -> str:
    """`1 day`, `30 days`."""
    return f"{days} day" if days == 1 else f"{days} days"


def doubts(own: Own, trust: Trust | None, at: int) -> Iterator[str]:
    """What a peer would hold against our chain, as far as can be known here, at the Unix time
    `at`. Dates are left out: `timing` tells those."""
    if not own.chain:
        return
    top = own.chain[-1]
    anchors = trust.anchors if trust is not None else ()
    if top.self_issued or own.chain[0] in anchors:
        known: tuple[Certificate, ...] = (top, *anchors)
    else:
        known = tuple(a for a in anchors if a.subject == top.issuer)
    if not known:
        yield (
            f"the chain of {own.chain[0].subject_text} ends with what {top.issuer} issued, and its"
            " certificate is not here: if that is no root of the peer's, the peer will refuse us"
            f" ({Defect.MISSING_ISSUER}); put it into `cert` or `intermediates`"
        )
        return
    moment = at
    if not all(c.not_before <= at <= c.not_after for c in (*own.chain, *known)):
        moment = max(c.not_before for c in own.chain)
        # An instant that is outside one of the others would only tell of dates again.
        if any(not c.not_before <= moment <= c.not_after for c in (*own.chain, *known)):
            return
    rules = PathRules(eku=EkuRule.IKE)
    try:
        validate(own.chain[0], own.chain[1:], known, at=moment, rules=rules)
    except Untrusted as refusal:
        yield f"peers will refuse our certificate: {refusal.reason} ({refusal.code})" + (
            f"; {refusal.hint}" if refusal.hint else ""
        )
