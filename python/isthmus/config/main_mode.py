"""The limit of IKEv1's Main Mode with pre-shared keys (RFC 2409 §5.4), told before it bites.

The identity of whoever calls is encrypted under a key that the secret is part of. So the secret
has to be chosen by the address that the call comes from, before it is known who calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address

from isthmus.config.errors import Report
from isthmus.config.syntax import Position
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import Connection, IkeVersion
from isthmus.values.secret import Secret

_WHY = (
    "in Main Mode the identity comes encrypted under a key that the secret is part of, so that the"
    " secret is chosen by the caller's address before it is known who calls"
)


def check_main_mode(
    connections: Sequence[Connection],
    secrets: Mapping[str, Secret],
    places: Mapping[str, Position],
    report: Report,
) -> None:
    """Refuse tunnels between which Main Mode cannot choose; warn of one that takes any caller.

    `secrets` and where they were named, `places`, go by the name of `RemoteAuth`.
    """
    groups: dict[str, list[Connection]] = {}
    for connection in connections:
        if _is_concerned(connection) and connection.remote_auth.name in secrets:
            groups.setdefault(_address(connection), []).append(connection)
    for address, group in groups.items():
        told: set[str] = set()
        for known, connection in _clashes(group, secrets):
            told.add(connection.name)
            _tell(known, connection, address, places, report)
        for connection in group if not address else ():
            if connection.peer is None and connection.name not in told:
                report.warn(
                    places[connection.remote_auth.name],
                    f"[tunnel.{connection.name}]: its secret is the one for every IKEv1 caller"
                    f" whose address no other tunnel names; {_WHY}",
                )


def _is_concerned(connection: Connection) -> bool:
    return (
        connection.speaks_v1
        and not connection.v1.aggressive
        and connection.remote_auth.kind is AuthKind.PSK
    )


def _address(connection: Connection) -> str:
    """The peer's, empty if it is not known: a name has whatever address it has by then."""
    with suppress(ValueError):
        return str(ip_address(connection.peer or ""))
    return ""


def _clashes(
    group: Sequence[Connection], secrets: Mapping[str, Secret]
) -> Iterator[tuple[Connection, Connection]]:
    """Each tunnel whose secret is another than that of an earlier one for the same callers."""
    kinds: list[Connection] = []
    for connection in group:
        for known in kinds:
            if not _hear_alike(known, connection):
                continue
            if secrets[known.remote_auth.name] != secrets[connection.remote_auth.name]:
                yield known, connection
            break
        else:
            kinds.append(connection)


def _hear_alike(one: Connection, other: Connection) -> bool:
    ours = (one.local_address, other.local_address)
    return None in ours or ours[0] == ours[1]


def _tell(
    known: Connection,
    connection: Connection,
    address: str,
    places: Mapping[str, Position],
    report: Report,
) -> None:
    at, first = places[connection.remote_auth.name], places[known.remote_auth.name]
    callers = f"callers from {address}" if address else "callers of unknown address"
    is_sure = all(
        one.ike is IkeVersion.V1 and (address or one.peer is None) for one in (known, connection)
    )
    if not is_sure:
        report.warn(
            at,
            f"[tunnel.{connection.name}] has another secret than [tunnel.{known.name}] at {first},"
            f" and both are for {callers}: a peer that starts IKEv1's Main Mode is taken for the"
            f" first; {_WHY}",
        )
        return
    report.error(
        at,
        f"[tunnel.{connection.name}] has another secret than [tunnel.{known.name}] at {first},"
        f" and both are for {callers}",
        _WHY,
        "give both the same secret, or each its peer's address or a local_address of its own; or"
        " use certificates, or ike = 2",
    )
