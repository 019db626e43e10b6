"""The lab's own programs that run inside it, from outside: traffic.py, flow.py, sniff.py.

Each is run by this interpreter alone, says `ready` when it serves, goes on until its standard input
is closed, and gives its account as a last line of JSON.
"""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from isthmus.lab.namespaces import CommandFailed, LabError, end

READY_S = 60.0
"""A program that has not said that it serves by then does not."""


def program(name: str) -> list[str]:
    """The command line of one of the programs, without its arguments."""
    return [sys.executable, "-I", str(Path(__file__).with_name(name))]


def await_ready(process: "subprocess.Popen[str]", what: str) -> None:
    """Wait until a program serves; one that does not is ended. Raises LabError, naming `what`."""
    assert process.stdout is not None
    # Nothing was read yet, so nothing can wait in Python's buffer while the pipe is empty.
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    if line.strip() == "ready":
        return
    end(process)
    rest = process.stdout.read() if readable else f"nothing was said for {READY_S:g} s"
    raise LabError(f"{what} did not start: {line}{rest}")


def final_account(process: "subprocess.Popen[str]", what: str, timeout_s: float) -> dict[str, Any]:
    """Close a program's standard input, and wait for its end: the account.

    Raises LabError, naming `what`, when it does not end in time (it is ended then), and
    CommandFailed when it ends badly.
    """
    try:
        output, _ = process.communicate("", timeout=timeout_s)
    except subprocess.TimeoutExpired:
        end(process)
        raise LabError(f"{what} did not end") from None
    if process.returncode != 0:
        raise CommandFailed([what], process.returncode, output)
    return account(output)


def account(output: str) -> dict[str, Any]:
    """The account at the end of what a program printed."""
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found
