"""`isthmus xauth user NAME`: the line of a user for `users` of `[tunnel.NAME.xauth]`.

The password comes from the terminal or from standard input, never from the command line, which
everybody on the machine can read.
"""

import sys
from getpass import getpass

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import as_json, print_lines
from isthmus.credentials.xauth import (
    PASSWORD_OCTETS_MAX,
    RefusedLogin,
    hashed,
    is_user,
    read_password,
)
from isthmus.crypto.entropy import SystemEntropy
from isthmus.management.api import SCHEMA


@click.group()
@common
def xauth() -> None:
    """Make users for the password after phase 1 of IKEv1 (XAUTH).

    \b
    isthmus xauth user ann >> /etc/isthmus/secrets/workers.users
    """


@xauth.command("user")
@click.argument("name", metavar="NAME")
@common
def user(name: str) -> int:
    """Print the line of a user: the name and a hash of the password (scrypt).

    \b
    isthmus xauth user ann >> /etc/isthmus/secrets/workers.users
    The password is asked for, or read from standard input.
    """
    if not is_user(name) or name != name.strip() or name.startswith("#"):
        raise CliError(
            "That is no name of a user.",
            "Names have 1 to 128 characters that can be printed, no colon, no # at their start and"
            " no blanks around them.",
            "Name the user as the peer will say it.",
            Exit.USAGE,
        )
    try:
        password = read_password(_entered())
    except RefusedLogin as refused:
        raise CliError(
            f"{refused.message}.".capitalize(), f"{refused.why}.", "Try again.", Exit.FAILED
        ) from None
    line = f"{name}:{hashed(password, SystemEntropy()).text}"
    print_lines([as_json({"schema": SCHEMA, "line": line}) if settings().json else line])
    return Exit.OK


def _entered() -> bytes:
    """The password, asked for twice on a terminal; the questions go to the terminal itself."""
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read(PASSWORD_OCTETS_MAX + 3)
    first, second = getpass("Password: "), getpass("Again: ")
    if first != second:
        raise CliError(
            "The two are not the same.",
            "One of them was mistyped.",
            "Try again.",
            Exit.FAILED,
        )
    return first.encode("utf-8")
