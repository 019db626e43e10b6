"""Reader of secret references: `{ file = ... }`, `{ env = ... }` and so on. Shows no value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.config.fields import Cell, kind_of, nearest, shown
from isthmus.config.syntax import Node
from isthmus.credentials.reference import (
    Reference,
    SecretCommand,
    SecretCredential,
    SecretEnv,
    SecretFile,
    SecretLiteral,
)
from isthmus.values.secret import Secret

KINDS = ("file", "env", "credential", "command")
WORDS_MAX = 32
_EXAMPLE = '{ file = "/etc/isthmus/secrets/NAME.psk" }'
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PskReference:
    """Where a pre-shared key is to be taken from."""

    reference: Reference


def psk_reference(cell: Cell) -> PskReference:
    """One reference, or the secret itself."""
    value = cell.node.value
    if isinstance(value, str):
        return PskReference(SecretLiteral(Secret(value.encode("utf-8"))))
    if not isinstance(value, Mapping):
        raise cell.wrong_type("a reference to a secret", _EXAMPLE)
    if len(value) != 1:
        raise cell.refuse(
            f"has {'no' if not value else 'more than one'} source",
            f"a secret comes from one of {', '.join(KINDS)}",
            f"write {cell.key} = {_EXAMPLE}",
        )
    (kind, node), *_ = value.items()
    source = Cell(node, f"{cell.key}.{kind}", cell.section, cell.report)
    match kind:
        case "file":
            return PskReference(SecretFile(_word(source, '"/etc/isthmus/secrets/NAME.psk"')))
        case "env":
            return PskReference(SecretEnv(_name(source, "ISTHMUS_PSK")))
        case "credential":
            return PskReference(SecretCredential(_name(source, "office-psk")))
        case "command":
            return PskReference(SecretCommand(_argv(source)))
        case _:
            raise _unknown(cell, kind, node)


def _unknown(cell: Cell, kind: str, node: Node) -> Exception:
    meant = nearest(kind.lower(), list(KINDS))
    return cell.beside(Node(node.value, node.key_at, node.key_at)).refuse(
        f"has the unknown source {shown(kind)}",
        f"a secret comes from one of {', '.join(KINDS)}",
        f"did you mean {meant}?" if meant else f"write {cell.key} = {_EXAMPLE}",
    )


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
