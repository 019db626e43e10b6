"""Initiator: where the peer is, before the first message of either mode goes out."""

from collections.abc import Callable

from isthmus.ike.core import addresses
from isthmus.ike.core.context import Context
from isthmus.ike.v1 import closing
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.spi import NO_IKE_SPI, IkeSpi


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
        local=addresses.UNKNOWN,
        remote=target,
        created_at=ctx.now,
        heard_at=ctx.now,
        replaces=replaces,
    )
    aggressive = connection.v1.aggressive
    sa.phase1.kind = ExchangeType.AGGRESSIVE_MODE if aggressive else ExchangeType.MAIN_MODE
    addresses.look_up(ctx, sa, lambda: go_on(sa), lambda failed: closing.give_up(ctx, sa, failed))
    return sa


def next_address(ctx: Context, sa: SaV1, go_on: Callable[[SaV1], None]) -> bool:
    """The first message stays without an answer: begin anew with the next address. False: there is
    none, or it is too early."""
    sent = sa.phase1.sent
    if sent is None or sa.phase1.heard or not addresses.is_time_for_next(sa, sent.tries):
        return False
    addresses.go_to_next(ctx, sa)
    go_on(sa)
    return True
