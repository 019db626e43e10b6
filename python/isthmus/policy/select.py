"""Which tunnel fits a peer: first by addresses, later by identities."""

from collections.abc import Iterable
from ipaddress import ip_address

from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint, IpAddress
from isthmus.values.identity import Identity, IdentityPattern


class PeerIndex:
    """Tunnels by their peer's address, made anew with each configuration."""

    __slots__ = ("_any", "_by_address", "_named")

    def __init__(self, connections: Iterable[Connection] = ()) -> None:
        self._by_address: dict[IpAddress, list[Connection]] = {}
        self._named: list[Connection] = []
        self._any: list[Connection] = []
        for connection in connections:
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

    def fitting(self, local: Endpoint, remote: Endpoint) -> tuple[Connection, ...]:
        """Tunnels that a first message between these addresses may belong to, closest fit first.

        A tunnel whose peer is a name fits any address: the identity decides later.
        """
        found = (*self._by_address.get(remote.ip, ()), *self._named, *self._any)
        return tuple(c for c in found if _local_fits(c, local))


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
    return tuple(
        c
        for c in connections
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
