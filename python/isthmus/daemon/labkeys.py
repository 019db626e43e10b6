"""For a lab only: writes the keys of installed SAs to a file, so that captures can be decrypted.

Nothing but the environment variable `ISTHMUS_LAB_KEYS` switches it on, and only for a directory
that nobody else can read. Keys leave the daemon in no other way.
"""

import json
import os
import stat
from pathlib import Path
from typing import TextIO

from isthmus.backends.specs import SaSpec
from isthmus.values.errors import LocalFault

VARIABLE = "ISTHMUS_LAB_KEYS"
FILE_NAME = "esp-keys.jsonl"


class LabKeys:
    """An open key file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def open(cls, directory: str) -> "LabKeys":
        """Append to the file in `directory`. Raises LocalFault unless the directory is ours with
        mode 0700."""
        try:
            found = os.lstat(directory)
            if not stat.S_ISDIR(found.st_mode):
                raise LocalFault(f"{VARIABLE}: {directory} is not a directory")
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise LocalFault(f"{VARIABLE}: {directory} must be ours with mode 0700")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(Path(directory) / FILE_NAME, flags, 0o600)
        except OSError as error:
            raise LocalFault(f"{VARIABLE}: {directory}: {error.strerror}") from None
        os.fchmod(descriptor, 0o600)
        return cls(os.fdopen(descriptor, "a", encoding="ascii"))

    def write(self, sa: SaSpec) -> None:
        """One line for one direction of a Child SA."""
        line = {
            "spi": sa.spi,
            "encr": sa.encr,
            "key_bits": sa.key_bits,
            "encr_key": sa.encr_key.hex(),
            "integ": sa.integ,
            "integ_key": sa.integ_key.hex(),
            "esn": sa.esn,
            "src": (sa.remote if sa.direction == "in" else sa.local).address,
            "dst": (sa.local if sa.direction == "in" else sa.remote).address,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
