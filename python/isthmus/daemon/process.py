"""What a child process does to itself first, by system calls that Python does not offer.

Numbers are those of linux/prctl.h and linux/capability.h.
"""

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x2008_0522
CAP_NET_BIND_SERVICE = 10
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _prctl(option: int, *arguments: int) -> None:
    numbers = (ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4])
    if _libc.prctl(option, *numbers) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends, whatever way it ends. Exits if it has ended already."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the supervisor is gone")


def keep_memory_private() -> None:
    """No core files, and no reading of our memory by processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_DUMPABLE, 0)


def drop_privileges(keep: Sequence[int] = ()) -> None:
    """Give up every capability but those in `keep` (CAP_* numbers) for good, for this process and
    all that it may start.

    Raises OSError when the kernel refuses: then the caller must not go on.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        if capability in keep:
            continue
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last capability that this kernel has
                break
            if error.errno != errno.EPERM:
                raise
            break  # no CAP_SETPCAP, and with no_new_privs the bounding set gives nothing anyway
    mask = sum(1 << capability for capability in keep) & _permitted()
    header = _Header(CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)(
        _Sets(mask & 0xFFFF_FFFF, mask & 0xFFFF_FFFF, 0),
        _Sets(mask >> 32, mask >> 32, 0),
    )
    if _libc.capset(ctypes.byref(header), ctypes.byref(sets)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")


def _permitted() -> int:
    """The capabilities that this process may have, as a bit mask."""
    header = _Header(CAPABILITY_VERSION_3, 0)
    sets = (_Sets * 2)()
    if _libc.capget(ctypes.byref(header), ctypes.byref(sets)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capget: {os.strerror(code)}")
    return int(sets[0].permitted) | int(sets[1].permitted) << 32
