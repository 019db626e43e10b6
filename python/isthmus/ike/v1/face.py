"""IKEv1 as lifecycles see it: the `Dialect` interface over the functions of `dialect.py`."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.v1 import children, closing, dialect
from isthmus.ike.v1.exchanges import quick_mode
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint


class IkeV1:
    """Carries out what lifecycles decide, for SAs of version 1."""

    def initiate(self, ctx: Context, connection: Connection, remote: Endpoint | None) -> IkeSa:
        """Main Mode, or Aggressive Mode where the tunnel asks for it."""
        return dialect.begin(ctx, connection, remote)

    def create_child(self, ctx: Context, sa: IkeSa, rule: str, trigger: str) -> None:
        """Quick Mode."""
        policy = sa.connection.rule(rule)
        if policy is not None and sa.is_open:
            quick_mode.start(ctx, _mine(sa), policy)

    def rekey_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Another Quick Mode."""
        dialect.rekey_child(ctx, _mine(sa), child)

    def replace_ike(self, ctx: Context, sa: IkeSa) -> None:
        """A fresh phase 1 that inherits."""
        dialect.replace(ctx, _mine(sa))

    def delete_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Informational with a Delete of ESP."""
        children.close(ctx, _mine(sa), child)

    def delete(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """Informational with a Delete of phase 1."""
        closing.delete(ctx, _mine(sa), reason)

    def forget(self, ctx: Context, sa: IkeSa) -> None:
        """Drop a phase 1 without a word."""
        closing.forget(ctx, _mine(sa))

    def lost(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """The peer has started anew: it knows neither this phase 1 nor its pairs."""
        closing.lost(ctx, _mine(sa), reason, peer_forgot=True)

    def used(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """The peer has the keys of a pair, and listens."""
        children.go_live(ctx, _mine(sa), child)

    def resume(self, ctx: Context, sa: IkeSa) -> None:
        """Exchanges of IKEv1 go side by side; a message of the peer may wait."""
        dialect.resume(ctx, _mine(sa))

    def timer(self, ctx: Context, sa: IkeSa, kind: TimerKind) -> None:
        """A timer of the phase 1 fired."""
        dialect.timer(ctx, _mine(sa), kind)

    def child_timer(self, ctx: Context, sa: IkeSa, child: ChildSa, kind: TimerKind) -> None:
        """A timer of a pair fired."""
        dialect.child_timer(ctx, _mine(sa), child, kind)


def _mine(sa: IkeSa) -> SaV1:
    assert isinstance(sa, SaV1), "an IKEv1 dialect is given IKEv1 SAs"
    return sa
