"""Where labs keep their facts between two commands: one directory for each lab, private."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.lab.namespaces import Holder, LabError

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_RECORD: Final = "lab.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What has to be remembered of a running lab."""

    name: str
    peer: str
    mode: str
    holder: Holder
    rootless: bool


def base() -> Path:
    """The directory that holds one directory for each lab; made when missing.

    Raises LabError when somebody else owns it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        path = Path(runtime) / "isthmus-lab"
    elif os.geteuid() == 0:
        path = Path("/run/isthmus-lab")
    else:
        path = Path(f"/tmp/isthmus-lab-{os.getuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or path.is_symlink():
        raise LabError(
            f"{path} is not a directory of your own with mode 0700.",
            "A lab keeps a pre-shared key and exported keys there.",
            "Remove it, or set XDG_RUNTIME_DIR.",
        )
    return path


def directory(name: str) -> Path:
    """The directory of the lab of this name. Raises LabError for a name that is no name."""
    if _NAME.fullmatch(name) is None:
        raise LabError(
            f"{name!r} is no name for a lab.",
            fix="Use a small letter, then small letters, digits and hyphens; 32 at most.",
        )
    return base() / name


def names() -> tuple[str, ...]:
    """Names of the labs that were made and not taken down."""
    return tuple(sorted(path.parent.name for path in base().glob(f"*/{_RECORD}")))


def write(record: Record) -> None:
    """Remember a lab."""
    path = directory(record.name) / _RECORD
    path.write_text(
        json.dumps(
            {
                "v": _VERSION,
                "name": record.name,
                "peer": record.peer,
                "mode": record.mode,
                "rootless": record.rootless,
                "pid": record.holder.pid,
                "started_ticks": record.holder.started_ticks,
            }
        ),
        encoding="ascii",
    )


def read(name: str) -> Record:
    """The lab of this name. Raises LabError when there is none."""
    path = directory(name) / _RECORD
    try:
        found = json.loads(path.read_text(encoding="ascii"))
    except OSError:
        others = ", ".join(names()) or "none"
        raise LabError(
            f"No lab called {name} is up.", f"Up: {others}.", "Start it with `isthmus lab up`."
        ) from None
    return Record(
        found["name"],
        found["peer"],
        found["mode"],
        Holder(found["pid"], found["started_ticks"]),
        found["rootless"],
    )


def forget(name: str) -> None:
    """Remove a lab's directory and everything in it."""
    shutil.rmtree(directory(name), ignore_errors=True)
