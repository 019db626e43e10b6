"""Initiator: where the peer is. A name may have several addresses, which are tried in turn."""

from collections.abc import Callable

from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Resolve
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.core.states import Preparing
from isthmus.values.address import IKE_PORT, NAT_T_PORT, Endpoint

UNKNOWN = Endpoint("0.0.0.0", IKE_PORT)
"""Our own, until the peer's is known."""
TRIES_OF_ADDRESS = 4
"""Messages to one of several addresses of a name before the next one is tried, about 4 s."""


def look_up(
    ctx: Context, sa: IkeSa, go_on: Callable[[], None], failed: Callable[[Failed], None]
) -> None:
    """Begin with a new IKE SA whose `remote` is as configured: `go_on` sends the first message."""
    target = sa.remote
    ctx.registry.add(sa)
    ctx.record(
        "phase1.negotiating",
        f"phase 1 starts with {target}",
        connection=sa.connection,
        facts=(("remote", str(target)),),
    )

    def resolved(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Preparing):
            return
        if done.result is None:
            failed(Failed("E101", done.failure, "check the peer's name and routes"))
            return
        texts = [part.decode() for part in done.result if isinstance(part, bytes)]
        sa.other_ways = tuple(zip(texts[::2], texts[1::2], strict=True))
        _take_next(sa)
        go_on()

    ctx.compute(Resolve(target.address, sa.connection.local_address), resolved, sa)


def is_time_for_next(sa: IkeSa, tries: int) -> bool:
    """The first message stays without an answer, after so many tries: is there another address?"""
    return bool(sa.other_ways) and tries >= TRIES_OF_ADDRESS


def go_to_next(ctx: Context, sa: IkeSa) -> None:
    """Begin anew with the next address of the peer's name."""
    before = sa.remote
    _take_next(sa)
    ctx.record(
        "phase1.next_address",
        f"{before} does not answer: {sa.remote} is tried, another address of {sa.connection.peer}",
        connection=sa.connection,
        facts=(("from", str(before)), ("to", str(sa.remote))),
    )


def _take_next(sa: IkeSa) -> None:
    port = sa.remote.port
    (local, remote), *others = sa.other_ways
    sa.other_ways = tuple(others)
    sa.local = Endpoint(local, IKE_PORT if port == IKE_PORT else NAT_T_PORT)
    sa.remote = Endpoint(remote, port)
