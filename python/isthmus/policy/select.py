"""Which tunnel fits a peer: first by addresses, later by identities.

There may be thousands of tunnels behind one address. What a message costs must not grow with them:
a stranger sends it.
"""

from collections.abc import Iterable
from functools import cached_property
from ipaddress import ip_address

from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint, IpAddress
from isthmus.values.identity import Identity, IdentityPattern


class Candidates(tuple[Connection, ...]):
    """Tunnels that a first message may belong to, closest fit first, and what of them is looked
    for again and again. It lives as long as the configuration, and all its messages share it."""

    @cached_property
    def of_each_offer(self) -> tuple[Connection, ...]:
        """The first tunnel of each phase 1 that differs in its proposals."""
        first: dict[object, Connection] = {}
        for connection in self:
            first.setdefault(connection.phase1_proposals, connection)
        return tuple(first.values())

    def claimed(self, peer_id: Identity) -> tuple[Connection, ...]:
        """Those whose peer may have this identity: by its name, or because only looking tells."""
        named = self._by_identity.get(peer_id.key, ())
        if not self._others or not named:
            return tuple(connection for _, connection in named or self._others)
        return tuple(connection for _, connection in sorted((*named, *self._others), key=_place))

    @cached_property
    def _others(self) -> tuple["_Placed", ...]:
        """Of whose peer the address or a pattern decides."""
        return tuple(
            (place, c) for place, c in enumerate(self) if not isinstance(c.remote_id, Identity)
        )

    @cached_property
    def _by_identity(self) -> dict[object, list["_Placed"]]:
        found: dict[object, list[_Placed]] = {}
        for place, connection in enumerate(self):
            if isinstance(connection.remote_id, Identity):
                found.setdefault(connection.remote_id.key, []).append((place, connection))
        return found

    @cached_property
    def remembered(self) -> dict[object, object]:
        """What others have worked out about all of them, each under a key of its own."""
        return {}


_Placed = tuple[int, Connection]


def _place(placed: _Placed) -> int:
    return placed[0]


class PeerIndex:
    """Tunnels by their peer's address, made anew with each configuration."""

    __slots__ = ("_any", "_by_address", "_fitting", "_local_addresses", "_named")

    def __init__(self, connections: Iterable[Connection] = ()) -> None:
        self._by_address: dict[IpAddress, list[Connection]] = {}
        self._named: list[Connection] = []
        self._any: list[Connection] = []
        self._fitting: dict[tuple[IpAddress | None, IpAddress | None], Candidates] = {}
        """By our address and the peer's, where it makes a difference: bounded by what is
        configured."""
        self._local_addresses: set[IpAddress] = set()
        for connection in connections:
            if connection.local_address is not None:
                self._local_addresses.add(ip_address(connection.local_address))
            if connection.peer is None:
                self._any.append(connection)
            elif _is_address(connection.peer):
                self._by_address.setdefault(ip_address(connection.peer), []).append(connection)
            else:
                self._named.append(connection)

    @property
    def has_any(self) -> bool:
        """Is there a tunnel at all?"""
        return bool(self._by_address or self._named or self._any)

    def fitting(self, local: Endpoint, remote: Endpoint) -> Candidates:
        """Tunnels that a first message between these addresses may belong to, closest fit first.

        A tunnel whose peer is a name fits any address: the identity decides later.
        """
        here, there = local.ip, remote.ip
        own = self._by_address.get(there, ())
        key = here if here in self._local_addresses else None, there if own else None
        known = self._fitting.get(key)
        if known is None:
            found = (*own, *self._named, *self._any)
            known = Candidates(c for c in found if _local_fits(c, local))
            self._fitting[key] = known
        return known


def by_identity(
    connections: Iterable[Connection],
    local: Endpoint,
    remote: Endpoint,
    peer_id: Identity,
    wanted_id: Identity | None,
) -> tuple[Connection, ...]:
    """Of the tunnels that fit by address, those whose identities fit what the peer says.

    `wanted_id` is the identity that the peer asks us to be (IDr of an initiator), if it does.
    """
    claimed = connections.claimed(peer_id) if isinstance(connections, Candidates) else connections
    return tuple(
        c
        for c in claimed
        if expected_remote_id(c, remote).matches(peer_id)
        and (wanted_id is None or own_id(c, local).matches(wanted_id))
    )


def own_id(connection: Connection, local: Endpoint) -> Identity:
    """The identity that we claim: the configured one, else our address."""
    return connection.local_id or Identity.of_address(local.ip)


def expected_remote_id(connection: Connection, remote: Endpoint) -> Identity | IdentityPattern:
    """The identity that the peer must prove: as configured, else its address."""
    if connection.remote_id is not None:
        return connection.remote_id
    if connection.peer is not None and _is_address(connection.peer):
        return Identity.of_address(ip_address(connection.peer))
    return Identity.of_address(remote.ip)


def _local_fits(connection: Connection, local: Endpoint) -> bool:
    if connection.local_address is None:
        return True
    return ip_address(connection.local_address) == local.ip


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
