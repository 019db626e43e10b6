"""What the IKE process and the supervisor say to each other: JSON frames over a socket pair.

One frame is one packet of SOCK_SEQPACKET. The supervisor believes nothing that it has not checked.
"""

import socket

import msgspec

from isthmus.backends.wishes import NetworkWish

FRAME_MAX = 196_608
"""Octets of one frame."""


class Message(msgspec.Struct, frozen=True, tag_field="verb"):
    """Root of all frames."""


class Apply(Message, frozen=True, tag="apply"):
    """IKE: bring the network to this state. Answered by `Applied`."""

    wish: NetworkWish


class Ready(Message, frozen=True, tag="ready"):
    """IKE: ports are open and policies are armed."""


class Status(Message, frozen=True, tag="status"):
    """IKE: one line about how the tunnels are."""

    text: str


class Pulse(Message, frozen=True, tag="pulse"):
    """IKE: the event loop turns."""


class Fatal(Message, frozen=True, tag="fatal"):
    """IKE: it makes no sense to go on; the reason is for the user."""

    reason: str


class Reloaded(Message, frozen=True, tag="reloaded"):
    """IKE: the answer to `Reload`, whether it changed anything or was refused."""


class Applied(Message, frozen=True, tag="applied"):
    """Supervisor: the answer to `Apply`; `error` is empty when it was done."""

    error: str = ""
    warnings: tuple[str, ...] = ()


class ShutDown(Message, frozen=True, tag="shut_down"):
    """Supervisor: take leave of the peers and end."""


class Reload(Message, frozen=True, tag="reload"):
    """Supervisor: read the configuration again (somebody sent SIGHUP)."""


FromIke = Apply | Ready | Status | Pulse | Reloaded | Fatal
FromSupervisor = Applied | Reload | ShutDown

from_ike: msgspec.json.Decoder[FromIke] = msgspec.json.Decoder(FromIke)
from_supervisor: msgspec.json.Decoder[FromSupervisor] = msgspec.json.Decoder(FromSupervisor)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends: the supervisor's and the child's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * FRAME_MAX)
        end.setblocking(False)
    return ours, theirs


def send(end: socket.socket, message: Message) -> bool:
    """Send without waiting; False when the other side is gone, does not keep up, or the frame is
    too large."""
    octets = msgspec.json.encode(message)
    if len(octets) > FRAME_MAX:
        return False
    try:
        end.send(octets)
    except OSError:
        return False
    return True


def receive(end: socket.socket) -> bytes | None:
    """One frame; None when there is none now. Empty octets: the other side is gone."""
    try:
        return end.recv(FRAME_MAX + 1)
    except BlockingIOError:
        return None
    except OSError:
        return b""
