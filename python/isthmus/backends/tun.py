"""Persistent TUN devices: made here by who may, used by the data plane."""

import fcntl
import os
import re
import socket
import struct

from isthmus.values.errors import LocalFault

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
IFF_VNET_HDR = 0x4000
"""Numbers of linux/if_tun.h."""

RTM_GETLINK, NLM_F_REQUEST = 18, 1
"""Numbers of linux/rtnetlink.h and linux/netlink.h."""
ANSWER_OCTETS_MAX = 65_536

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
        # The flags of whoever opened the device last are the device's: these must be the plane's.
        flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
    except OSError as error:
        raise LocalFault(f"the interface {name} cannot be made: {error.strerror}") from None
    finally:
        os.close(descriptor)


def announce_carrier(name: str) -> None:
    """Have the kernel act on a changed carrier now.

    It tells routes and routing daemons of changes once a second for the whole machine, unless
    somebody asks about that very device: then what waits is done first. Anybody may ask. Raises
    LocalFault when there is no such device.
    """
    try:
        index = socket.if_nametoindex(name)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
            link = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
            size = struct.calcsize("=IHHII") + len(link)
            head = struct.pack("=IHHII", size, RTM_GETLINK, NLM_F_REQUEST, 1, 0)
            netlink.settimeout(1.0)
            netlink.send(head + link)
            netlink.recv(ANSWER_OCTETS_MAX)
    except OSError as error:
        raise LocalFault(f"the kernel does not answer for {name}: {error.strerror}") from None
