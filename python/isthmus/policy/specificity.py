"""Which of two rules is the more specific one: the order in which packets are matched.

One order for the data plane's list, for `isthmus which` and for the answer to a peer. A rule that
lies wholly within another one always stands before it.
"""

from collections.abc import Iterable

from isthmus.values.selector import ANY_PROTOCOL, Selectors

PROTOCOLS = 256
Width = tuple[int, ...]
"""Compared from its first number on; the least is the most specific."""


def width(local: Selectors, remote: Selectors) -> Width:
    """How much traffic lies between two sides: addresses of the remote side, of the local side,
    protocols, ports, and where all these are equal, the sum over the selectors.

    Addresses and ports that two selectors of one side share count once.
    """
    return (
        _addresses(remote),
        _addresses(local),
        min(_protocols(remote), _protocols(local)),
        _ports(remote) + _ports(local),
        sum(
            (int(s.end) - int(s.start) + 1)
            * (PROTOCOLS if s.protocol == ANY_PROTOCOL else 1)
            * max(1, s.port_end - s.port_start + 1)
            for s in (*remote, *local)
        ),
    )


def _addresses(side: Selectors) -> int:
    return sum(
        _count((int(s.start), int(s.end)) for s in side if s.version == version)
        for version in (4, 6)
    )


def _protocols(side: Selectors) -> int:
    named = {s.protocol for s in side}
    return PROTOCOLS if ANY_PROTOCOL in named else len(named)


def _ports(side: Selectors) -> int:
    # OPAQUE is one thing that a packet can show, as a port is.
    return _count((s.port_start, s.port_start if s.is_opaque else s.port_end) for s in side)


def _count(ranges: Iterable[tuple[int, int]]) -> int:
    """Numbers in the union of ranges."""
    total, reached = 0, -1
    for start, end in sorted(ranges):
        total += max(0, end - max(start - 1, reached))
        reached = max(reached, end)
    return total
