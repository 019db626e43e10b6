"""Readers of how the two sides prove who they are: kinds, files of certificates, signatures."""

from dataclasses import dataclass

from isthmus.config.fields import (
    Cell,
    Read,
    choice,
    each,
    kind_of,
    members,
    nearest,
    shown,
    text,
)
from isthmus.config.network_fields import identity
from isthmus.config.syntax import Node, Position
from isthmus.policy.authentication import AuthKind
from isthmus.values.identity import Identity, IdentityPattern
from isthmus.values.signature import Scheme

SIDES = ("local", "remote")
_MATCH = "match"
_KIND_WORDS = {
    "secret": AuthKind.PSK,
    "certificate": AuthKind.CERT,
    "x509": AuthKind.CERT,
    "rsa": AuthKind.CERT,
    "ecdsa": AuthKind.CERT,
    "rsasig": AuthKind.CERT,
    "raw": AuthKind.PUBKEY,
    "rawkey": AuthKind.PUBKEY,
}
_WEAK = frozenset({Scheme.RSA_PKCS1_SHA1, Scheme.ECDSA_SHA1})


@dataclass(frozen=True, slots=True)
class Sides:
    """What each side proves itself with."""

    local: AuthKind
    remote: AuthKind


@dataclass(frozen=True, slots=True)
class Placed:
    """A path and where it stands in the configuration."""

    path: str
    at: Position


@dataclass(frozen=True, slots=True)
class PlacedScheme:
    """A signature scheme and where it stands."""

    scheme: Scheme
    at: Position

    @property
    def is_weak(self) -> bool:
        """Made with SHA-1."""
        return self.scheme in _WEAK


_kind: Read[AuthKind] = choice(AuthKind, _KIND_WORDS)


def sides(cell: Cell) -> Sides:
    """One word for both sides, or `{ local = ..., remote = ... }`."""
    value = cell.node.value
    if not isinstance(value, dict):
        if not isinstance(value, str):
            raise cell.wrong_type("a word", '"cert", or { local = "cert", remote = "psk" }')
        found = _word(cell)
        return Sides(found, found)
    for name, node in value.items():
        if name not in SIDES:
            meant = nearest(name.lower(), list(SIDES))
            raise cell.beside(Node(node.value, node.key_at, node.key_at)).refuse(
                f"has the unknown side {shown(name)}",
                "a tunnel has two sides, local and remote",
                f"did you mean {meant}?" if meant else _BOTH,
            )
    if len(value) != len(SIDES):
        raise cell.refuse("names one side only", "each side proves who it is", _BOTH)
    local, remote = (Cell(value[s], f"auth.{s}", cell.section, cell.report) for s in SIDES)
    return Sides(*each((local, remote), _word))


_BOTH = 'write auth = { local = "cert", remote = "psk" }'


def _word(cell: Cell) -> AuthKind:
    if cell.node.value == "eap":
        raise cell.not_yet("EAP", 'write "psk" or "cert"')
    return _kind(cell)


def path(example: str) -> Read[Placed]:
    """The name of a file."""
    read = text(f'"{example}"')
    return lambda cell: Placed(read(cell), cell.node.at)


def paths(example: str) -> Read[tuple[Placed, ...]]:
    """Names of files and folders."""
    one = path(example)
    return lambda cell: each(members(cell, "a path", f'"{example}"'), one)


def schemes(cell: Cell) -> tuple[PlacedScheme, ...]:
    """Signatures, best first."""
    one = choice(Scheme, {"rsa": Scheme.RSA_PSS_SHA256, "ecdsa": Scheme.ECDSA_SHA256})
    found = each(
        members(cell, "a signature", '"ecdsa-sha384"'),
        lambda member: PlacedScheme(one(member), member.node.at),
    )
    names = [placed.scheme for placed in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise cell.refuse(
            f"names {twice} twice", "the first place decides", "take one of the two out"
        )
    return found


def own_identity(cell: Cell) -> Identity:
    """One identity; an asterisk is none."""
    found = identity(cell)
    assert isinstance(cell.node.value, str)
    if "*" in cell.node.value:
        raise cell.refuse(
            f"is {shown(cell.node.value)}, and nobody is called so",
            "an asterisk is part of no name",
            "write one identity out in full",
        )
    return found


def remote_identity(cell: Cell) -> Identity | IdentityPattern:
    """One identity, or `{ match = PATTERN }`."""
    value = cell.node.value
    if isinstance(value, str):
        if "*" in value:
            raise cell.refuse(
                f"is {shown(value)}, and nobody is called so",
                "an asterisk stands for anything only where that is said",
                f"write {cell.key} = {{ match = {_quoted(value)} }}",
            )
        return identity(cell)
    if not isinstance(value, dict):
        raise cell.wrong_type("an identity", '"fqdn:gw.example.net"')
    if tuple(value) != (_MATCH,):
        raise cell.refuse(
            "is a table without match, or with more than that",
            "it says which of many identities the peer may have",
            f'write {cell.key} = {{ match = "fqdn:*.example.net" }}',
        )
    node = value[_MATCH]
    inner = Cell(node, f"{cell.key}.{_MATCH}", cell.section, cell.report)
    if not isinstance(node.value, str):
        raise inner.wrong_type(f"a pattern, not {kind_of(node)}", '"fqdn:*.example.net"')
    try:
        return IdentityPattern.parse(node.value)
    except ValueError as error:
        raise inner.refuse(
            f"is {shown(node.value)}, which is no pattern",
            str(error) if str(error).isprintable() else "it cannot be printed",
            'write "fqdn:*.example.net", "email:*@example.net" or "dn:O=Example, CN=*"',
        ) from None


def _quoted(value: str) -> str:
    return shown(value if ":" in value else f"fqdn:{value}")
