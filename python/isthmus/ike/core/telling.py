"""What is told of messages, whichever version of IKE they are of."""

from collections.abc import Callable

from isthmus.ike.core.context import Context
from isthmus.ike.core.records import Happening
from isthmus.ike.core.sa import IkeSa, NatSeen
from isthmus.values.address import Endpoint
from isthmus.values.proposal import Suite


def tell_message(
    ctx: Context,
    sa: IkeSa,
    event: str,
    *,
    exchange: str,
    message_id: int,
    is_response: bool,
    describe: Callable[[], str],
    octets: int,
    pieces: int,
    remote: Endpoint,
) -> None:
    """`event` is exchange.sent or exchange.received; `describe` says what the payloads are."""
    tunnel, spi_i, spi_r = sa.connection.name, sa.spi_i, sa.spi_r

    def make() -> Happening:
        direction = "response" if is_response else "request"
        inside = describe()
        return Happening(
            event,
            tunnel,
            message=f"{exchange} {direction}: {inside}",
            detail=(
                ("exchange", exchange),
                ("message_id", message_id),
                ("direction", direction),
                ("payloads", inside),
                ("octets", octets),
                ("pieces", pieces),
                ("remote", str(remote)),
                ("spi_i", spi_i.hex()),
                ("spi_r", spi_r.hex()),
            ),
        )

    ctx.record_later(event, make)


def tell_chosen(ctx: Context, tunnel: str, rule: str, phase: int, suite: Suite, why: str) -> None:
    """What was chosen of the peer's proposals; `rule` is empty in phase 1."""

    def make() -> Happening:
        where = f"phase 2 of rule {rule}" if rule else f"phase {phase}"
        return Happening(
            "proposal.chosen",
            tunnel,
            rule,
            f"{where}: {suite}: {why}",
            detail=(("phase", phase), ("suite", str(suite)), ("why", why)),
        )

    ctx.record_later("proposal.chosen", make)


def tell_nat(ctx: Context, tunnel: str, nat: NatSeen) -> None:
    """Addresses are translated on the way."""

    def make() -> Happening:
        return Happening(
            "nat.detected",
            tunnel,
            message=f"address translation: {nat}; ESP goes inside UDP",
            detail=(("nat", str(nat)),),
        )

    ctx.record_later("nat.detected", make)


def tell_abandoned(ctx: Context, sa: IkeSa) -> None:
    """A peer began phase 1, and its time to authenticate is over."""
    ctx.record(
        "phase1.abandoned",
        f"{sa.remote} began phase 1 and never authenticated",
        connection=sa.connection,
        facts=(("remote", str(sa.remote)),),
    )


def tell_repeated(
    ctx: Context,
    sa: IkeSa,
    *,
    exchange: str,
    message_id: int,
    tries: int,
    pieces: int,
    cut_anew: bool = False,
) -> None:
    """A request of ours is unanswered and has been sent again."""
    ctx.record(
        "exchange.repeated",
        f"{exchange} unanswered, sent again (try {tries})"
        + (f" in {pieces} pieces" if cut_anew else ""),
        connection=sa.connection,
        facts=(
            ("exchange", exchange),
            ("message_id", message_id),
            ("tries", tries),
            ("pieces", pieces),
            ("remote", str(sa.remote)),
        ),
    )
