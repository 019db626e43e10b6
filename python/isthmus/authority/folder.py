"""Where an authority's files lie, and how they are written: whole, or not at all.

```
ca.pem        the root certificate: goes to every gateway
ca.key        its private key: stays here (mode 0600)
ca.crl        the revocation list: goes to every gateway, or to a web server
index.json    what was issued
issued/       certificates and keys by serial number
```
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from isthmus.authority.errors import AuthorityError

FILE_SIZE_MAX = 16 << 20
"""Octets of the largest file that is read."""
PUBLIC, PRIVATE = 0o644, 0o600


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one authority."""

    path: Path

    @property
    def certificate(self) -> Path:
        """The root certificate, PEM."""
        return self.path / "ca.pem"

    @property
    def key(self) -> Path:
        """The root's private key, PEM."""
        return self.path / "ca.key"

    @property
    def crl(self) -> Path:
        """The revocation list, DER as RFC 5280 §4.2.1.13 wants it behind a URL."""
        return self.path / "ca.crl"

    @property
    def index(self) -> Path:
        """The list of what was issued."""
        return self.path / "index.json"

    def issued(self, serial: str, suffix: str) -> Path:
        """A certificate (`.pem`) or its key (`.key`)."""
        return self.path / "issued" / f"{serial}{suffix}"

    @property
    def exists(self) -> bool:
        """Is there an authority?"""
        return self.index.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the folder: two commands at once would forget one certificate."""
        with _told(self.path):
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def make_directory(path: Path) -> None:
    """A directory and those above it, unless they are there; new ones are for their owner only.

    Raises AuthorityError.
    """
    with _told(path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(20, "it is no directory")


def read(path: Path) -> bytes:
    """A file. Raises AuthorityError when it is not there or too large."""
    with _told(path), path.open("rb") as file:
        octets = file.read(FILE_SIZE_MAX + 1)
    if len(octets) > FILE_SIZE_MAX:
        raise AuthorityError(f"{path} is too large.", "It is no such file.", "Restore it.")
    return octets


def write(path: Path, octets: bytes, *, private: bool = False, replace: bool = True) -> None:
    """Put a file there, whole: whoever reads it, a crash too, sees the old one or the new one.

    Without `replace` a file that is there already is an error; who says so is alone with the
    folder. Raises AuthorityError.
    """
    with _told(path):
        if not replace and path.exists():
            raise FileExistsError(17, "it exists already, and is never overwritten")
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        handle = os.open(draft, flags, PRIVATE if private else PUBLIC)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AuthorityError(
            f"{path} could not be used.",
            f"{error.strerror}.",
            "Name another folder, or have its owner run this.",
        ) from None
