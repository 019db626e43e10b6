"""Readers of secret references: `{ file = ... }`, `{ env = ... }` and so on. They show no value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.config.fields import Cell, Read, kind_of, nearest, shown
from isthmus.config.syntax import Node
from isthmus.credentials.reference import (
    KeyProcess,
    KeyReference,
    Reference,
    SecretCommand,
    SecretCredential,
    SecretEnv,
    SecretFile,
    SecretLiteral,
)
from isthmus.values.secret import Secret

KINDS = ("file", "env", "credential", "command")
KEY_KINDS = (*KINDS, "process")
PASSPHRASE = "passphrase"
WORDS_MAX = 32
_EXAMPLE = '{ file = "/etc/isthmus/secrets/NAME.psk" }'
_KEY_EXAMPLE = '{ file = "/etc/isthmus/secrets/NAME.key" }'
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PskReference:
    """Where a pre-shared key is to be taken from."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class PlacedReference:
    """Where a password, or a file of users, is to be taken from."""

    reference: Reference


def psk_reference(cell: Cell) -> PskReference:
    """One reference, or the secret itself."""
    value = cell.node.value
    if isinstance(value, str):
        return PskReference(SecretLiteral(Secret(value.encode("utf-8"))))
    if not isinstance(value, dict):
        raise cell.wrong_type("a reference to a secret", _EXAMPLE)
    return PskReference(_source(cell, value, _EXAMPLE))


def login_reference(suffix: str) -> Read[PlacedReference]:
    """One reference; never the secret itself. `suffix` is for files in examples."""
    example = f'{{ file = "/etc/isthmus/secrets/NAME{suffix}" }}'

    def read(cell: Cell) -> PlacedReference:
        value = cell.node.value
        if isinstance(value, str):
            raise cell.refuse(
                "is text, and such a secret is named by where it is",
                "in the configuration it would be read by whoever reads that",
                f"write {cell.key} = {example}",
            )
        if not isinstance(value, dict):
            raise cell.wrong_type("a reference to a secret", example)
        return PlacedReference(_source(cell, value, example))

    return read


def key_reference(cell: Cell) -> KeyReference:
    """A private key: one source, and for an encrypted one its passphrase."""
    value = cell.node.value
    if isinstance(value, str):
        raise cell.refuse(
            "is text, and a private key is named by where it is",
            "a key in the configuration would be read by whoever reads that",
            f"write {cell.key} = {_KEY_EXAMPLE}",
        )
    if not isinstance(value, dict):
        raise cell.wrong_type("where the private key is", _KEY_EXAMPLE)
    rest = {kind: node for kind, node in value.items() if kind != PASSPHRASE}
    passphrase = None
    node = value.get(PASSPHRASE)
    if node is not None:
        inner = Cell(node, f"{cell.key}.{PASSPHRASE}", cell.section, cell.report)
        if not isinstance(node.value, dict):
            raise inner.refuse(
                "is not a reference to a secret",
                "a passphrase beside its key protects nothing",
                f'write {PASSPHRASE} = {{ credential = "NAME" }}',
            )
        passphrase = _source(inner, node.value, '{ credential = "NAME" }')
    if tuple(rest) == ("process",):
        if passphrase is not None:
            raise cell.refuse(
                f"has both process and {PASSPHRASE}",
                "whoever holds the key opens it",
                f"take {PASSPHRASE} out",
            )
        inner = Cell(rest["process"], f"{cell.key}.process", cell.section, cell.report)
        return KeyReference(KeyProcess(_argv(inner)))
    return KeyReference(_source(cell, rest, _KEY_EXAMPLE, KEY_KINDS), passphrase)


def _source(
    cell: Cell, table: Mapping[str, Node], example: str, kinds: tuple[str, ...] = KINDS
) -> Reference:
    """The one source of a table; `kinds` are those that an error names."""
    if len(table) != 1:
        raise cell.refuse(
            f"has {'no' if not table else 'more than one'} source",
            f"a secret comes from one of {', '.join(kinds)}",
            f"write {cell.key} = {example}",
        )
    (kind, node), *_ = table.items()
    source = Cell(node, f"{cell.key}.{kind}", cell.section, cell.report)
    match kind:
        case "file":
            return SecretFile(_word(source, f'"/etc/isthmus/secrets/NAME{_suffix(example)}"'))
        case "env":
            return SecretEnv(_name(source, "ISTHMUS_SECRET"))
        case "credential":
            return SecretCredential(_name(source, "office-secret"))
        case "command":
            return SecretCommand(_argv(source))
        case _:
            meant = nearest(kind.lower(), list(kinds))
            raise cell.beside(Node(node.value, node.key_at, node.key_at)).refuse(
                f"has the unknown source {shown(kind)}",
                f"a secret comes from one of {', '.join(kinds)}",
                f"did you mean {meant}?" if meant else f"write {cell.key} = {example}",
            )


def _suffix(example: str) -> str:
    return next((s for s in (".key", ".password", ".users") if f"NAME{s}" in example), ".psk")


def _word(cell: Cell, example: str) -> str:
    value = cell.node.value
    if not isinstance(value, str):
        raise cell.wrong_type("text", example)
    if not value or not value.isprintable():
        raise cell.refuse(
            "is empty or cannot be printed", "it names nothing", f"write {cell.key} = {example}"
        )
    return value


def _name(cell: Cell, example: str) -> str:
    value = _word(cell, f'"{example}"')
    if not _NAME.fullmatch(value):
        raise cell.refuse(
            "is no name",
            "it may hold letters, digits, full stop, underscore and hyphen only",
            f'write {cell.key} = "{example}", say',
        )
    return value


def _argv(cell: Cell) -> tuple[str, ...]:
    """The words of a command line."""
    value = cell.node.value
    example = '["/usr/bin/pass", "show", "vpn/office"]'
    if not isinstance(value, tuple):
        why = "a list of words" if isinstance(value, str) else f"a list, not {kind_of(cell.node)}"
        raise cell.refuse(
            f"should be {why}",
            "the program is started without a shell, so nobody splits a line into words",
            f"write {cell.key} = {example}",
        )
    if not 1 <= len(value) <= WORDS_MAX:
        raise cell.refuse(
            "has no word" if not value else f"has more than {WORDS_MAX} words",
            "the first word is the program",
            f"write {cell.key} = {example}",
        )
    return tuple(_word(cell.beside(node), example) for node in value)
