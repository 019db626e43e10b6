"""Name constraints, one violation each, for every kind of name (RFC 5280 §4.2.1.10)."""

from collections.abc import Sequence

from . import forge
from .cases import Case, Maker, refused
from .forge import dn, dns, email, ip, uri
from .scenes import INTER, LEAF, Scene, inter, leaf, root

P = "permitted"
X = "excluded"

TABLE: dict[str, tuple[str, bytes, bytes]] = {
    # what is wrong: (which list, its subtree, the name in the leaf)
    "DNS elsewhere": (P, dns("example.net"), dns("gw.example.org")),
    "DNS above": (P, dns("vpn.example.net"), dns("example.net")),
    "DNS beside": (P, dns("vpn.example.net"), dns("gw.example.net")),
    "DNS that ends alike": (P, dns("example.net"), dns("badexample.net")),
    "DNS that begins alike": (P, dns("example.net"), dns("example.net.evil.org")),
    "DNS itself under a leading dot": (P, dns(".example.net"), dns("example.net")),
    "DNS elsewhere, longer than a leading dot": (
        P,
        dns(".example.net"),
        dns("gw.example.org.evil"),
    ),
    "DNS that begins with a dot": (P, dns(".example.net"), dns(".example.net")),
    "DNS excluded": (X, dns("example.net"), dns("example.net")),
    "DNS excluded above": (X, dns("example.net"), dns("gw.vpn.example.net")),
    "DNS excluded in other case": (X, dns("EXAMPLE.net"), dns("gw.Example.NET")),
    "DNS all excluded": (X, dns(""), dns("gw.example.net")),
    "email host elsewhere": (P, email("example.net"), email("a@example.org")),
    "email host below": (P, email("example.net"), email("a@mail.example.net")),
    "email host itself under a leading dot": (P, email(".example.net"), email("a@example.net")),
    "email host that ends alike": (P, email(".example.net"), email("a@badexample.net")),
    "email of another person": (P, email("a@example.net"), email("b@example.net")),
    "email of another person by case": (P, email("a@example.net"), email("A@example.net")),
    "email host elsewhere, longer than a dot": (
        P,
        email(".example.net"),
        email("a@mail.example.org.evil"),
    ),
    "email host that begins with a dot": (P, email(".example.net"), email("a@.example.net")),
    "email excluded by host": (X, email("example.net"), email("a@EXAMPLE.net")),
    "email excluded by domain": (X, email(".example.net"), email("a@mail.example.net")),
    "email excluded by person": (X, email("a@example.net"), email("a@example.net")),
    "email without a host": (X, email("example.org"), email("nobody")),
    "email permitted without a host": (P, email("example.net"), email("example.net")),
    "URI host elsewhere": (P, uri("example.net"), uri("http://example.org/")),
    "URI host below": (P, uri("example.net"), uri("http://a.example.net/")),
    "URI host itself under a leading dot": (P, uri(".example.net"), uri("http://example.net/")),
    "URI excluded": (X, uri("example.net"), uri("https://example.net:8443/x")),
    "URI excluded by domain": (X, uri(".example.net"), uri("ldap://a.example.net")),
    "URI excluded behind a user": (X, uri("example.net"), uri("http://ok.org@example.net/")),
    "URI with a user that looks permitted": (
        P,
        uri("example.net"),
        uri("http://example.net@evil.org/"),
    ),
    "URI with a query that looks permitted": (
        P,
        uri(".example.net"),
        uri("http://evil.org?a.example.net"),
    ),
    "URI without a host": (P, uri("example.net"), uri("urn:example:net")),
    "URI without a scheme": (P, uri("example.net"), uri("://example.net/")),
    "URI with an empty host": (X, uri("example.org"), uri("http:///example.net")),
    "URI with an address, all others excluded": (X, uri("example.org"), uri("http://192.0.2.1/")),
    "URI with an address": (P, uri("example.net"), uri("http://192.0.2.1/")),
    "URI with an IPv6 address": (X, uri("example.org"), uri("http://[2001:db8::1]/")),
    "IPv4 elsewhere": (P, ip("192.0.2.0/24"), ip("198.51.100.1")),
    "IPv4 just above": (P, ip("192.0.2.0/25"), ip("192.0.2.128")),
    "IPv4 excluded": (X, ip("192.0.2.0/24"), ip("192.0.2.255")),
    "IPv4 all excluded": (X, ip("0.0.0.0/0"), ip("192.0.2.1")),
    "IPv6 elsewhere": (P, ip("2001:db8::/32"), ip("2001:db9::1")),
    "IPv6 excluded": (X, ip("2001:db8::/32"), ip("2001:db8::1")),
    "IPv6 where IPv4 is permitted": (P, ip("192.0.2.0/24"), ip("2001:db8::1")),
    "IPv4 where IPv6 is permitted": (P, ip("::/0"), ip("192.0.2.1")),
    "DN elsewhere": (
        P,
        forge.directory(dn("C=CH, O=Example")),
        forge.directory(dn("C=CH, O=Other, CN=x")),
    ),
    "DN above": (P, forge.directory(dn("C=CH, O=Example, CN=x")), forge.directory(dn("C=CH"))),
    "DN excluded": (
        X,
        forge.directory(dn("C=CH, O=Bad")),
        forge.directory(dn("C=CH, O=Bad, CN=x")),
    ),
    "DN excluded in other case and type": (
        X,
        forge.directory(dn("C=CH, O=Bad  Company", 0x13)),
        forge.directory(dn("C=CH, O=bad company, CN=x")),
    ),
    "DN excluded as a BMPString": (
        X,
        forge.directory(dn("C=CH, O=Bad", 0x1E)),
        forge.directory(dn("C=CH, O=BAD, CN=x")),
    ),
    "otherName where one is excluded": (X, forge.other_name(), forge.other_name("1.2.3.4")),
    "otherName where one is permitted": (P, forge.other_name(), forge.other_name()),
    "registeredID where one is excluded": (
        X,
        forge.tagged(8, b"\x2a\x03", constructed=False),
        forge.tagged(8, b"\x2a\x04", constructed=False),
    ),
}


def constrained(which: str, base: bytes) -> forge.Extension:
    """NameConstraints with one subtree."""
    return forge.subtrees([base], ()) if which == P else forge.subtrees((), [base])


def alternative(*names: bytes) -> forge.Spec:
    """A leaf with these alternative names."""
    return leaf().having(names=forge.names(*names))


def _subjects() -> dict[str, Maker]:
    def subject(base: str, *, permitted: bool) -> Scene:
        lists: tuple[Sequence[bytes], Sequence[bytes]] = ([forge.directory(dn(base))], ())
        return Scene(inter=inter().having(c=forge.subtrees(*(lists if permitted else lists[::-1]))))

    mail = dn("C=CH, O=Example, CN=gw, E=gw@example.org")
    return {
        "subject elsewhere": lambda: subject("C=CH, O=Other", permitted=True),
        "subject excluded": lambda: subject("C=CH, O=Example", permitted=False),
        "subject equal to what is excluded": lambda: subject(
            "C=CH, O=Example, CN=gw.example.net", permitted=False
        ),
        "email in the subject elsewhere": lambda: Scene(
            leaf(subject=mail).having(names=None),
            inter().having(c=forge.subtrees([email("example.net")])),
        ),
        "email in the subject beside a name elsewhere": lambda: Scene(
            leaf(subject=mail), inter().having(c=forge.subtrees((), [email("example.org")]))
        ),
        "second name elsewhere": lambda: Scene(
            alternative(dns("gw.example.net"), dns("gw.example.org")),
            inter().having(c=forge.subtrees([dns("example.net")])),
        ),
        "root's constraint": lambda: Scene(
            alternative(dns("gw.example.org")),
            root=root().having(c=forge.subtrees([dns("example.net")])),
        ),
        "root's constraint that a lower one would widen": lambda: Scene(
            alternative(dns("gw.example.org")),
            inter().having(c=forge.subtrees([dns("example.net"), dns("example.org")])),
            root().having(c=forge.subtrees([dns("example.net")])),
        ),
        "two constraints without anything in common": lambda: Scene(
            alternative(dns("gw.example.net")),
            inter().having(c=forge.subtrees([dns("example.net")])),
            root().having(c=forge.subtrees([dns("example.org")])),
        ),
        "intermediate authority's own name alone": lambda: Scene(
            root=root().having(
                c=forge.subtrees((), [forge.directory(INTER)]),
            ),
        ),
        "self-issued leaf": lambda: Scene(
            leaf(subject=INTER).having(names=forge.names(dns("gw.example.org"))),
            inter().having(c=forge.subtrees([dns("example.net")])),
        ),
        "intermediate authority's own name": lambda: Scene(
            leaf(subject=LEAF),
            root=root().having(c=forge.subtrees((), [forge.directory(dn("C=CH, O=Example"))])),
        ),
    }


def cases() -> list[Case]:
    """All of them."""
    table: dict[str, Maker] = {
        f"{what} ({which})": lambda which=which, base=base, name=name: Scene(
            alternative(name), inter().having(c=constrained(which, base))
        )
        for what, (which, base, name) in TABLE.items()
    }
    return refused("E153", table | _subjects())
