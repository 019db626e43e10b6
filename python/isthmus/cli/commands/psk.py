"""`isthmus psk`: make a pre-shared key that every vendor takes, or find what is wrong with one."""

import os
import secrets
import stat
import string
import sys
from pathlib import Path

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import as_json, print_lines
from isthmus.management.api import SCHEMA

LENGTH = 32
ALPHABET = string.ascii_letters + string.digits + "._"
"""What AWS takes, which is the narrowest set of the vendors."""
VENDOR_LENGTHS = (8, 64)
WEAK_BELOW = 20
"""Characters; shorter keys can be guessed from one recorded negotiation (RFC 7296 §2.15)."""
DISTINCT_MIN = 8
FILE_MAX = 4096
CURLY = "‘’‚‛“”„‟«»"


@click.group()
@common
def psk() -> None:
    """Make and check pre-shared keys.

    \b
    isthmus psk new > office.psk
    isthmus psk check office.psk
    """


@psk.command("new")
@click.option(
    "-o", "--output", metavar="FILE", help="Write a new file that only its owner can read."
)
@common
def new(output: str | None) -> int:
    """Print a new key: 32 characters that every vendor takes, 190 bits.

    \b
    isthmus psk new -o /etc/isthmus/secrets/office.psk
    """
    key = generate()
    if output is None:
        print_lines([as_json({"schema": SCHEMA, "psk": key}) if settings().json else key])
        return Exit.OK
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CliError(
            f"{output} could not be written.",
            f"{error.strerror}; an existing file is never overwritten.",
            "Name a file that does not exist yet.",
            Exit.FAILED,
        ) from None
    with os.fdopen(handle, "w") as file:
        file.write(key)
    if not settings().quiet:
        print_lines([f"Wrote a new key to {output} (mode 0600)."])
    return Exit.OK


def generate() -> str:
    """A new key. AWS refuses a leading 0."""
    first = secrets.choice(ALPHABET.replace("0", ""))
    return first + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH - 1))


@psk.command("check")
@click.argument("file", required=False, metavar="[FILE]")
@common
def check(file: str | None) -> int:
    """Look for what makes keys fail; reads standard input without FILE. Never prints the key.

    \b
    isthmus psk check /etc/isthmus/secrets/office.psk
    """
    octets = _read(file)
    found = problems(octets)
    if file is not None and stat.S_IMODE(os.stat(file).st_mode) & 0o077:
        found.append(("bad", f"others than its owner may read or write {file}: chmod 600 {file}"))
    bad = [text for grade, text in found if grade == "bad"]
    if settings().json:
        print_lines(
            [
                as_json(
                    {
                        "schema": SCHEMA,
                        "ok": not bad,
                        "findings": [{"grade": grade, "text": text} for grade, text in found],
                    }
                )
            ]
        )
    elif not settings().quiet:
        print_lines([f"{grade:<5} {text}" for grade, text in found] or ["ok    nothing found"])
    return Exit.FAILED if bad else Exit.OK


def _read(file: str | None) -> bytes:
    if file is None:
        return sys.stdin.buffer.read(FILE_MAX + 1)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(FILE_MAX + 1)
    except OSError as error:
        raise CliError(
            f"{file} could not be read.", f"{error.strerror}.", "Name a file.", Exit.FAILED
        ) from None


def problems(octets: bytes) -> list[tuple[str, str]]:
    """What is wrong ("bad") or doubtful ("note") with a key, without showing any of it."""
    if len(octets) > FILE_MAX:
        return [("bad", f"it is longer than {FILE_MAX} octets")]
    found: list[tuple[str, str]] = []
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return [("note", "it is not text; other products may need it in hexadecimal")]
    if text.endswith("\n"):
        text = text.removesuffix("\n").removesuffix("\r")
        found.append(("note", "a line end follows it, which Isthmus leaves out; others may not"))
    if not text:
        return [*found, ("bad", "it is empty")]
    if text != text.strip():
        found.append(("bad", "it begins or ends with blanks"))
    if "\n" in text or "\r" in text:
        found.append(("bad", "it has several lines"))
    if any(c in CURLY for c in text):
        found.append(("bad", "it has curly quotes, as text editors put in for straight ones"))
    if text[0] == text[-1] and text[0] in "'\"" and len(text) > 1:
        found.append(("bad", "it stands in quotes, which would belong to the key"))
    if len(text) < WEAK_BELOW or len(set(text)) < DISTINCT_MIN:
        found.append(
            ("bad", "it is short or repeats itself, so it can be guessed: isthmus psk new")
        )
    least, most = VENDOR_LENGTHS
    if any(c not in ALPHABET for c in text) or text[0] == "0" or not least <= len(text) <= most:
        found.append(("note", f"AWS takes {least}-{most} of A-Z a-z 0-9 . _ without a leading 0"))
    return found
