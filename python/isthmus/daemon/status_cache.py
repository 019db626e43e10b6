"""Fetched lists and OCSP answers on disk, so that a restart does not ask for all of them again.

What is read back is believed no more than what a server sends: its signature and dates are checked
again. Files are written whole or not at all, and are for our user alone.
"""

import contextlib
import os
import tempfile
from pathlib import Path

from isthmus.credentials.load import Unavailable, read_file

FILES_MAX = 256
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class StatusCache:
    """A folder of files by the hash of what was asked. Where it cannot be used, nothing is kept:
    the daemon works without."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str, octets_max: int) -> bytes | None:
        """What was kept; None when there is nothing, or it was touched by others."""
        try:
            content = read_file(str(self._directory / name), octets_max)
        except Unavailable:
            return None
        return content.octets if content.is_private else None

    def put(self, name: str, octets: bytes) -> None:
        """Keep it, in the place of what was there."""
        # A full or read-only disk is told by others; revocation goes on without it.
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            self._make_room()
            descriptor, path = tempfile.mkstemp(prefix=".new-", dir=self._directory)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, FILE_MODE)
                    file.write(octets)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(path, self._directory / name)
            except OSError:
                os.unlink(path)
                raise

    def _make_room(self) -> None:
        files = sorted(self._directory.iterdir(), key=lambda file: file.stat().st_mtime)
        for file in files[: max(0, len(files) - FILES_MAX + 1)]:
            file.unlink(missing_ok=True)
