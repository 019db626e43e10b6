"""Persistent TUN devices: made here by who may, used by the data plane."""

import fcntl
import os
import re
import struct

from isthmus.values.errors import LocalFault

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
"""Numbers of linux/if_tun.h."""

NAME_OCTETS_MAX = 15
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_name(name: str) -> None:
    """Raises LocalFault for what is no sensible interface name."""
    if len(name) > NAME_OCTETS_MAX or not _NAME.fullmatch(name):
        raise LocalFault(f"{name!r} cannot be the name of an interface (1 to 15 letters or digits)")


def create(name: str) -> None:
    """Make the device if it is absent; it stays when nobody holds it open.

    A multi-queue device lets the plane open one queue for each worker thread and lets several
    processes hold it. Raises LocalFault with a sentence a user can act on.
    """
    check_name(name)
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise LocalFault(
            f"/dev/net/tun cannot be opened ({error.strerror}); load the tun module, or give the "
            "container this device"
        ) from None
    try:
        flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
    except OSError as error:
        raise LocalFault(f"the interface {name} cannot be made: {error.strerror}") from None
    finally:
        os.close(descriptor)
