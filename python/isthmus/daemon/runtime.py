"""The places of one daemon: its lock, and a private directory for internal sockets."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from isthmus.values.errors import LocalFault

SOCKET_PATH_MAX = 107
"""Octets of a Unix socket's path that Linux takes, without the final zero."""
PLANE_SOCKET = "plane.sock"


class Runtime:
    """Made once, by the supervisor; `close` removes what is ours."""

    def __init__(self, control: Path) -> None:
        """Raises LocalFault when another daemon has this control socket, or nothing can be made."""
        if len(os.fsencode(control)) > SOCKET_PATH_MAX:
            raise LocalFault(
                f"the socket path {control} is longer than {SOCKET_PATH_MAX} octets; choose a "
                "shorter one with --socket"
            )
        try:
            control.parent.mkdir(parents=True, exist_ok=True)
            lock = control.with_name(control.name + ".lock")
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalFault(f"{error.filename}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise LocalFault(
                f"E103: another isthmusd (pid {holder or 'unknown'}) already runs on {control}. "
                "Stop it first, or choose another --socket."
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self._directory = self._private_directory(control)

    @property
    def plane_socket(self) -> Path:
        """Where the plane listens."""
        return self._directory / PLANE_SOCKET

    def close(self) -> None:
        """Remove the directory and give the lock back. The lock's file stays: who removes it may
        remove one that somebody else has locked meanwhile."""
        shutil.rmtree(self._directory, ignore_errors=True)
        os.close(self._lock)

    def _private_directory(self, control: Path) -> Path:
        """Beside the control socket if its path is short enough, else a temporary one."""
        beside = control.with_name(control.name + ".d")
        try:
            if len(os.fsencode(beside / PLANE_SOCKET)) <= SOCKET_PATH_MAX:
                # What an earlier run left behind there is of no use any more.
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(mode=0o700)
                return beside
            for base in (os.environ.get("XDG_RUNTIME_DIR"), "/run", "/tmp"):
                if base and os.access(base, os.W_OK) and len(base) < 60:
                    return Path(tempfile.mkdtemp(prefix="isthmus-", dir=base))
        except OSError as error:
            raise LocalFault(f"{error.filename}: {error.strerror}") from None
        raise LocalFault("neither /run nor /tmp can hold our internal sockets")
