"""Read configuration files and secrets: the only file of floors 0-3 that touches the disk.

Everything is bounded in size and time, and opened with the rights of the caller.
"""

import os
import selectors
import signal
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import assert_never

from isthmus.credentials.psk import OCTETS_MAX
from isthmus.credentials.reference import (
    Reference,
    SecretCommand,
    SecretCredential,
    SecretEnv,
    SecretFile,
    SecretLiteral,
)
from isthmus.credentials.xauth import USERS_OCTETS_MAX
from isthmus.values.errors import LocalFault
from isthmus.values.time import Seconds

COMMAND_TIMEOUT_S: Seconds = 10.0
SECRET_OCTETS_MAX = OCTETS_MAX + 2
"""A secret and its newline."""
KEY_OCTETS_MAX = 262_144
"""A PKCS#12 file holds the chain too."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a secret is wanted for, and so how long it may be; the words are for errors."""

    name: str
    key: str
    """Of the configuration."""
    octets_max: int = SECRET_OCTETS_MAX


PSK = Purpose("the pre-shared key", "psk")
PRIVATE_KEY = Purpose("the private key", "key", KEY_OCTETS_MAX)
PASSPHRASE = Purpose("the passphrase", "passphrase")
PASSWORD = Purpose("the password", "password")
USERS = Purpose("the file of users", "users", USERS_OCTETS_MAX)


class Unavailable(LocalFault):
    """Something could not be read. The three sentences are for the user and hold no secret."""

    def __init__(self, message: str, why: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file holds, and who may read and write it; taken from the same open file."""

    octets: bytes
    mode: int
    """Permission bits."""
    owner: int
    """User id."""

    def __repr__(self) -> str:
        return f"FileContent(<{len(self.octets)} octets>, {self.mode:04o}, owner {self.owner})"

    @property
    def is_trusted(self) -> bool:
        """Nobody but its owner may change it, and the owner is root or this user."""
        return not self.mode & 0o022 and self.owner in (0, os.geteuid())

    @property
    def is_private(self) -> bool:
        """Nobody but its owner may read or change it, and the owner is root or this user."""
        return not self.mode & 0o077 and self.owner in (0, os.geteuid())


def read_file(path: str, octets_max: int) -> FileContent:
    """A regular file of at most `octets_max` octets. Raises Unavailable."""
    try:
        # A pipe must not keep us waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unopened(path, error) from None
    except ValueError:
        raise Unavailable(
            "the file's name holds a NUL character", "no file has such a name", "correct the name"
        ) from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise Unavailable(
                f"{path} is not a regular file",
                "directories, pipes and devices are not read",
                "name a regular file",
            )
        octets = b""
        while len(octets) <= octets_max and (piece := os.read(descriptor, octets_max + 1)):
            octets += piece
    except OSError as error:
        raise _unopened(path, error) from None
    finally:
        os.close(descriptor)
    if len(octets) > octets_max:
        raise Unavailable(
            f"{path} has more than {octets_max} octets",
            "files are read up to a bound",
            "name the right file, or make it smaller",
        )
    return FileContent(octets, stat.S_IMODE(facts.st_mode), facts.st_uid)


def files_in(directory: str, *suffixes: str) -> tuple[str, ...]:
    """Paths of the files of a directory by their suffixes, sorted; hidden ones are left out.

    A directory that does not exist has none. Raises Unavailable when it cannot be listed.
    """
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise _unopened(directory, error) from None
    chosen = sorted(n for n in names if n.endswith(suffixes) and not n.startswith("."))
    return tuple(str(Path(directory, name)) for name in chosen)


def beside(file: str, path: str) -> str:
    """A path that is relative to where a file is; an absolute one stays."""
    return str(Path(file).parent / path)


def is_directory(path: str) -> bool:
    """A directory that can be looked at; what is amiss with others is told when they are read."""
    return os.path.isdir(path)


def fetch(reference: Reference, environ: Mapping[str, str], purpose: Purpose = PSK) -> bytes:
    """The octets that a reference leads to, newline and all. Raises Unavailable."""
    match reference:
        case SecretFile(path):
            return _private_file(path, purpose)
        case SecretEnv(variable):
            return _variable(variable, environ, purpose)
        case SecretCredential(name):
            return _credential(name, environ, purpose)
        case SecretCommand(argv):
            return _output(argv, environ, purpose)
        case SecretLiteral(secret):
            return secret.reveal()
        case _:
            assert_never(reference)


def _private_file(path: str, purpose: Purpose) -> bytes:
    content = read_file(path, purpose.octets_max)
    if content.mode & 0o077:
        who = "everyone" if content.mode & 0o007 else "its group"
        raise Unavailable(
            f"the secret file {path} is open to {who} (mode {content.mode:04o})",
            "whoever reads it can pose as this gateway",
            f"run: chmod 600 {path}",
        )
    if content.owner not in (0, os.geteuid()):
        raise Unavailable(
            f"the secret file {path} belongs to user {content.owner}",
            "its owner can read and replace the secret",
            f"run: chown {os.geteuid()} {path}",
        )
    return content.octets


def _variable(variable: str, environ: Mapping[str, str], purpose: Purpose) -> bytes:
    value = environ.get(variable)
    if value is None:
        raise Unavailable(
            f"the environment variable {variable} is not set",
            f"{purpose.name} was to be taken from it",
            f"set {variable} for the daemon, or use {purpose.key} = {{ file = ... }}",
        )
    return value.encode("utf-8", "surrogateescape")


def _credential(name: str, environ: Mapping[str, str], purpose: Purpose) -> bytes:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise Unavailable(
            f"there is no systemd credential {name}: CREDENTIALS_DIRECTORY is not set",
            "credentials are handed out by systemd to the services it starts",
            f"add LoadCredential={name}:FILE to isthmusd.service, or use"
            f" {purpose.key} = {{ file = ... }}",
        )
    content = read_file(str(Path(directory, name)), purpose.octets_max)
    # systemd may give the service's user access by a group entry of an ACL; only "everyone" is bad.
    if content.mode & 0o007:
        raise Unavailable(
            f"the systemd credential {name} is open to everyone (mode {content.mode:04o})",
            "whoever reads it can pose as this gateway",
            "let systemd hand it out: LoadCredential= in isthmusd.service",
        )
    return content.octets


def _output(argv: tuple[str, ...], environ: Mapping[str, str], purpose: Purpose) -> bytes:
    """What a program prints, within `COMMAND_TIMEOUT_S`; its errors are not shown."""
    program = argv[0]
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise Unavailable(
            f"the command {program} cannot be started: {reason or 'its words hold a NUL'}",
            f"{purpose.name} was to be taken from its output",
            "give the program's full path, and check that it may be executed",
        ) from None
    with process:
        output = _read_until(process, monotonic() + COMMAND_TIMEOUT_S, purpose.octets_max)
    if output is None:
        raise Unavailable(
            f"the command {program} did not end within {COMMAND_TIMEOUT_S:.0f} s",
            "the daemon does not wait for ever for a secret; a command must not ask questions",
            "run it by hand to see what it waits for",
        )
    if len(output) > purpose.octets_max:
        raise Unavailable(
            f"the command {program} printed more than {purpose.octets_max} octets",
            f"that cannot be {purpose.name}",
            "let it print the secret and nothing else",
        )
    if process.returncode:
        raise Unavailable(
            f"the command {program} failed with exit code {process.returncode}",
            f"{purpose.name} was to be taken from its output",
            "run it by hand, as the daemon's user, to see its error",
        )
    return output


def _read_until(process: subprocess.Popen[bytes], deadline: float, octets_max: int) -> bytes | None:
    """Output up to a bound, or None when the deadline came first; the program has ended after."""
    assert process.stdout is not None
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) <= octets_max:
            if not selector.select(max(0.0, deadline - monotonic())):
                _stop(process)
                return None
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            output += piece
        else:
            _stop(process)
            return output
    try:
        process.wait(max(0.0, deadline - monotonic()))
    except subprocess.TimeoutExpired:
        _stop(process)
        return None
    return output


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started. It was not waited for yet, so its group is its own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _unopened(path: str, error: OSError) -> Unavailable:
    if isinstance(error, FileNotFoundError):
        return Unavailable(
            f"{path} does not exist",
            "it is named in the configuration or on the command line",
            "create it, or correct the path",
        )
    if isinstance(error, PermissionError):
        return Unavailable(
            f"{path} may not be read by this user",
            "files are opened with the rights of whoever runs the command",
            "run it as root or as the daemon's user",
        )
    return Unavailable(
        f"{path} cannot be read: {error.strerror or type(error).__name__}",
        "the system refused",
        "look at the file system and at the path",
    )
