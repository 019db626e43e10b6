"""Messages in pieces, in whichever form: sizes on the wire, and bounds of what waits for more."""

from isthmus.ike.core.agenda import Owner, TimerKind
from isthmus.ike.core.context import Context
from isthmus.values.address import Endpoint
from isthmus.values.time import Instant, Seconds

MESSAGE_MAX = 65_536
"""Octets of a message that is put together."""
LIFE_S: Seconds = 15.0
"""How long the first piece waits for the last one."""
HALF_OPEN_MAX = 16 << 20
"""Octets of pieces of all IKE SAs together from which on peers that are not authenticated get no
room for more: anybody can make keys with us and send pieces that never become a message."""

_UDP_AND_MARKER = 8 + 4
_IP_HEADERS = {4: 20, 6: 40}


class NotKept(Exception):
    """A piece that is of no use; the text is the counter's name."""


def datagram_size(octets: int, remote: Endpoint) -> int:
    """Octets of the IP datagram that carries so many octets of IKE; the marker of port 4500 counts
    always."""
    return octets + _UDP_AND_MARKER + _IP_HEADERS[remote.ip.version]


def room(size: int, remote: Endpoint) -> int:
    """Octets of IKE in an IP datagram of that size."""
    return size - datagram_size(0, remote)


def wait(ctx: Context, owner: Owner, begun_at: Instant | None) -> None:
    """Have the oldest pieces of an IKE SA forgotten in time; None: it has none."""
    if begun_at is None:
        ctx.agenda.disarm(owner, TimerKind.FRAGMENTS)
    else:
        ctx.agenda.arm(owner, TimerKind.FRAGMENTS, Instant(begun_at + LIFE_S))
