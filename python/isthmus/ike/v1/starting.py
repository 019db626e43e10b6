"""Initiator: where the peer is, before the first message of either mode goes out."""

from collections.abc import Callable

from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Resolve
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.states import Preparing
from isthmus.ike.v1 import closing
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import Connection
from isthmus.values.address import IKE_PORT, NAT_T_PORT, Endpoint
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.spi import NO_IKE_SPI, IkeSpi

TRIES_OF_ADDRESS = 4
"""Messages to one of several addresses of a name before the next one is tried, about 4 s."""


def start(
    ctx: Context,
    connection: Connection,
    remote: Endpoint | None,
    replaces: SaV1 | None,
    go_on: Callable[[SaV1], None],
) -> SaV1:
    """A new phase 1; `go_on` sends its first message. `remote` overrides the configured peer."""
    target = remote or connection.remote_endpoint
    assert target is not None, "only a tunnel with a known peer is initiated"
    sa = SaV1(
        connection=connection,
        initiator=True,
        spi_i=IkeSpi(ctx.registry.fresh_ike_spi()),
        spi_r=NO_IKE_SPI,
        local=Endpoint("0.0.0.0", IKE_PORT),
        remote=target,
        created_at=ctx.now,
        heard_at=ctx.now,
        replaces=replaces,
    )
    aggressive = connection.v1.aggressive
    sa.phase1.kind = ExchangeType.AGGRESSIVE_MODE if aggressive else ExchangeType.MAIN_MODE
    ctx.registry.add(sa)
    ctx.record(
        "phase1.negotiating",
        f"phase 1 starts with {target}",
        connection=connection,
        facts=(("remote", str(target)),),
    )

    def resolved(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Preparing):
            return
        if done.result is None:
            hint = "check the peer's name and routes"
            closing.give_up(ctx, sa, Failed("E101", done.failure, hint))
            return
        texts = [part.decode() for part in done.result if isinstance(part, bytes)]
        sa.other_ways = tuple(zip(texts[::2], texts[1::2], strict=True))
        go_next_way(sa, target.port)
        go_on(sa)

    ctx.compute(Resolve(target.address, connection.local_address), resolved, sa)
    return sa


def go_next_way(sa: SaV1, port: int) -> None:
    """Try the next address of the peer's name."""
    (local, remote), *others = sa.other_ways
    sa.other_ways = tuple(others)
    sa.local = Endpoint(local, IKE_PORT if port == IKE_PORT else NAT_T_PORT)
    sa.remote = Endpoint(remote, port)


def next_address(ctx: Context, sa: SaV1, go_on: Callable[[SaV1], None]) -> bool:
    """The first message stays without an answer: begin anew with the next address. False: there is
    none, or it is too early."""
    sent = sa.phase1.sent
    if not sa.other_ways or sent is None or sent.tries < TRIES_OF_ADDRESS or sa.phase1.heard:
        return False
    before = sa.remote
    go_next_way(sa, before.port)
    ctx.record(
        "phase1.next_address",
        f"{before} does not answer: {sa.remote} is tried, another address of {sa.connection.peer}",
        connection=sa.connection,
        facts=(("from", str(before)), ("to", str(sa.remote))),
    )
    go_on(sa)
    return True
