"""`isthmus psk`: make a pre-shared key that every vendor takes, or find what is wrong with one.

The judgement is the daemon's own (`credentials.psk`), so both always say the same.
"""

import os
import stat
import sys
from pathlib import Path

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import as_json, finding_lines, print_lines
from isthmus.cli.text import Paint
from isthmus.credentials.psk import OCTETS_MAX, RefusedPsk, aws_warnings, examine, generate
from isthmus.crypto.entropy import SystemEntropy
from isthmus.management.api import SCHEMA


@click.group()
@common
def psk() -> None:
    """Make and check pre-shared keys.

    \b
    isthmus psk new -o office.psk
    isthmus psk check office.psk
    """


@psk.command("new")
@click.option(
    "-o", "--output", metavar="FILE", help="Write a new file that only its owner can read."
)
@common
def new(output: str | None) -> int:
    """Print a new key: 32 characters that every vendor takes, 192 bits.

    \b
    isthmus psk new -o /etc/isthmus/secrets/office.psk
    """
    key = new_key()
    if output is None:
        # The one place where a secret is printed: it is what was asked for.
        print_lines([as_json({"schema": SCHEMA, "psk": key}) if settings().json else key])
        return Exit.OK
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key)
    except OSError as error:
        raise CliError(
            f"{output} could not be written.",
            f"{error.strerror}; an existing file is never overwritten.",
            "Name a file that does not exist yet, in a directory that does.",
            Exit.FAILED,
        ) from None
    if not settings().quiet:
        print_lines([f"Wrote a new key to {output} (mode 0600)."])
    return Exit.OK


@psk.command("check")
@click.argument("file", required=False, metavar="[FILE]")
@common
def check(file: str | None) -> int:
    """Look for what makes keys fail; reads standard input without FILE. Never prints the key.

    \b
    isthmus psk check /etc/isthmus/secrets/office.psk
    Exit code 1 if the daemon would refuse it.
    """
    octets, mode = _read(file)
    found = findings(octets)
    if mode & 0o077:
        found.append(("bad", f"others may use the file (mode {mode:04o}): chmod 600 {file}"))
    given = settings()
    ok = all(grade != "bad" for grade, _ in found)
    if given.json:
        listed = [{"grade": grade, "text": text} for grade, text in found]
        print_lines([as_json({"schema": SCHEMA, "ok": ok, "findings": listed})])
    elif not given.quiet:
        print_lines(finding_lines(found, Paint(given.colour)))
    return Exit.OK if ok else Exit.FAILED


def new_key() -> str:
    """A random key in which the daemon finds nothing. By chance one in some hundreds reads like a
    word, and a warning about a key that we made ourselves would help nobody."""
    entropy = SystemEntropy()
    while True:
        key = generate(entropy).reveal()
        if not findings(key):
            return key.decode("ascii")


def findings(octets: bytes) -> list[tuple[str, str]]:
    """What is wrong ("bad"), doubtful ("warn") or worth knowing ("note"); nothing of the key."""
    try:
        examined = examine(octets)
    except RefusedPsk as refused:
        return [("bad", f"{refused.message}: {refused.why}; {refused.hint}")]
    found = [("warn", warning) for warning in examined.warnings]
    found += [("note", warning) for warning in aws_warnings(examined.secret)]
    if octets.endswith(b"\n"):
        found.append(("note", "a line end follows the key; Isthmus leaves it out, others may not"))
    return found


def _read(file: str | None) -> tuple[bytes, int]:
    """The octets, and the mode of the file (0 for standard input)."""
    if file is None:
        return sys.stdin.buffer.read(OCTETS_MAX + 3), 0
    try:
        with Path(file).open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            return opened.read(OCTETS_MAX + 3), mode
    except OSError as error:
        raise CliError(
            f"{file} could not be read.",
            f"{error.strerror}.",
            "Name a file that holds a pre-shared key and nothing else.",
            Exit.FAILED,
        ) from None
