"""The one process that holds a lab's namespaces open.

Run as a program: `python -I holder.py DIRECTORY [attached] [rootless]`. It makes mount, network
and process namespaces (`rootless`: in a user namespace), gives them a private `/run` for
`ip netns`, says `ready PID` on standard output, and sleeps. Everything started inside dies with it,
because it is process 1 in there; the namespaces and interfaces vanish with the last process that
uses them.

`attached` holders end when their standard input closes, that is, when the process that asked for
them ends in any way. Others live until somebody kills the process they named.

Standard library only, and no import of the package: it must start in a few milliseconds.
"""

import contextlib
import ctypes
import errno
import os
import signal
import sys

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    """Call a libc function that answers 0; raise OSError otherwise."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _unshare(rootless: bool) -> None:
    """Enter new namespaces; inside a user namespace we are its root."""
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNS | _CLONE_NEWNET | _CLONE_NEWPID
    _call("unshare", flags | (_CLONE_NEWUSER if rootless else 0))
    if rootless:
        # The kernel lets an unprivileged process map only itself, and only without setgroups.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")


def _furnish(directory: str) -> None:
    """Private mounts: `/run` of our own, with the lab's directory still visible in it."""
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    real = os.path.realpath(directory)
    os.chdir(real)
    _mount("tmpfs", "/run", "tmpfs", 0, "size=64m,mode=755")
    if real.startswith("/run/"):
        # "." still names the directory that the new /run covers.
        os.makedirs(real, mode=0o700)
        _mount(".", real, None, _MS_BIND)
    os.chdir("/")
    # A container may forbid a fresh /proc. The old one then shows pids of outside, which nothing
    # in the lab relies on.
    with contextlib.suppress(OSError):
        _mount("proc", "/proc", "proc", 0)


def _sleep_forever() -> None:
    # Ignoring SIGCHLD lets the kernel reap the orphans that process 1 inherits.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        signal.pause()


def main(directory: str, attached: bool, rootless: bool) -> int:
    """Make the namespaces and hold them; returns an exit status for the outer process."""
    try:
        _unshare(rootless)
    except OSError as error:
        print(f"refused {error.errno or errno.EPERM} {error.strerror}", flush=True)
        return 1
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        if attached:
            _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            _furnish(directory)
        except OSError as error:
            os.write(ready_write, f"refused {error.errno} {error.strerror}".encode())
            os._exit(1)
        os.write(ready_write, b"ready")
        os.close(ready_write)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        _sleep_forever()
    os.close(ready_write)
    answer = os.read(ready_read, 4096).decode()
    if answer != "ready":
        print(answer or "refused 0 the holder died", flush=True)
        return 1
    print(f"ready {pid}", flush=True)
    if attached:
        while os.read(0, 4096):
            pass
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "attached" in sys.argv[2:], "rootless" in sys.argv[2:]))
