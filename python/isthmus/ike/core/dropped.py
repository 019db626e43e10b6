"""A datagram that is not believed."""

from isthmus.ike.core.context import Context
from isthmus.values.address import Endpoint


class Dropped(Exception):
    """A datagram that changes nothing; the text is the counter's name."""


def tell_dropped(ctx: Context, remote: Endpoint, dropped: Dropped) -> None:
    """Count it, and say why and from where."""
    ctx.record(
        "datagram.dropped",
        f"{remote}: {dropped}",
        facts=(("reason", str(dropped)), ("remote", str(remote))),
    )
