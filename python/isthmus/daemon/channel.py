"""What the IKE process and the supervisor say to each other: JSON frames over a socket pair.

One frame is one packet of SOCK_SEQPACKET. The supervisor believes nothing that it has not checked.
"""

import socket
from collections.abc import Iterator

import msgspec

from isthmus.backends.wishes import WISHES_MAX, NetworkWish
from isthmus.values.errors import LocalFault

FRAME_MAX = 196_608
"""Octets of one frame."""
PART_WISHES = 256
"""Interfaces, routes or rules in one frame: each is some hundred octets."""


class Message(msgspec.Struct, frozen=True, tag_field="verb"):
    """Root of all frames."""


class Apply(Message, frozen=True, tag="apply"):
    """IKE: bring the network to this state. Answered by `Applied`.

    `more`: further parts of the same state follow; nothing is done before the last has come.
    """

    wish: NetworkWish
    more: bool = False


class Ready(Message, frozen=True, tag="ready"):
    """IKE: ports are open and policies are armed."""


class Status(Message, frozen=True, tag="status"):
    """IKE: one line about how the tunnels are."""

    text: str


class Pulse(Message, frozen=True, tag="pulse"):
    """IKE: the event loop turns."""


class PlaneSilent(Message, frozen=True, tag="plane_silent"):
    """IKE: the plane runs and does not answer; another one is wanted in its place."""


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


FromIke = Apply | Ready | Status | Pulse | PlaneSilent | Reloaded | Fatal
FromSupervisor = Applied | Reload | ShutDown

from_ike: msgspec.json.Decoder[FromIke] = msgspec.json.Decoder(FromIke)
from_supervisor: msgspec.json.Decoder[FromSupervisor] = msgspec.json.Decoder(FromSupervisor)


def parts(wish: NetworkWish) -> Iterator[Apply]:
    """A desired state of any size, in frames."""
    pieces = [
        NetworkWish(interfaces=wish.interfaces[i : i + PART_WISHES])
        for i in range(0, len(wish.interfaces), PART_WISHES)
    ]
    pieces += [
        NetworkWish(routes=wish.routes[i : i + PART_WISHES])
        for i in range(0, len(wish.routes), PART_WISHES)
    ]
    pieces += [
        NetworkWish(rules=wish.rules[i : i + PART_WISHES])
        for i in range(0, len(wish.rules), PART_WISHES)
    ]
    for piece in pieces[:-1]:
        yield Apply(piece, more=True)
    last = pieces[-1] if pieces else wish
    yield Apply(msgspec.structs.replace(last, stays_closed=wish.stays_closed))


def joined(earlier: NetworkWish, part: NetworkWish) -> NetworkWish:
    """What has come so far. Raises LocalFault when it is more than any machine is asked for."""
    wish = NetworkWish(
        (*earlier.interfaces, *part.interfaces),
        (*earlier.routes, *part.routes),
        (*earlier.rules, *part.rules),
        part.stays_closed,
    )
    if max(len(wish.interfaces), len(wish.routes), len(wish.rules)) > WISHES_MAX:
        raise LocalFault(f"more than {WISHES_MAX} interfaces, routes or rules")
    return wish


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
