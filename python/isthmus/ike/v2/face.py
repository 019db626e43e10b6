"""IKEv2 as lifecycles see it: the `Dialect` interface over the functions of `dialect.py`."""

from isthmus.ike.core import pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.v2 import closing, dialect
from isthmus.ike.v2.exchanges import ike_sa_init
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.wishes import (
    WantChild,
    WantDeleteChild,
    WantDeleteIke,
    WantRekeyChild,
    WantRekeyIke,
)
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint


class IkeV2:
    """Carries out what lifecycles decide, for SAs of version 2."""

    def initiate(self, ctx: Context, connection: Connection, remote: Endpoint | None) -> IkeSa:
        """IKE_SA_INIT, then IKE_AUTH."""
        return ike_sa_init.start(ctx, connection, remote)

    def create_child(self, ctx: Context, sa: IkeSa, rule: str, trigger: str) -> None:
        """CREATE_CHILD_SA."""
        dialect.wish(ctx, _mine(sa), WantChild(rule, trigger))

    def rekey_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """CREATE_CHILD_SA with REKEY_SA."""
        dialect.wish(ctx, _mine(sa), WantRekeyChild(child.spi_in))

    def replace_ike(self, ctx: Context, sa: IkeSa) -> None:
        """CREATE_CHILD_SA for the IKE SA."""
        dialect.wish(ctx, _mine(sa), WantRekeyIke())

    def delete_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """INFORMATIONAL with a Delete of ESP."""
        dialect.wish(ctx, _mine(sa), WantDeleteChild(child.spi_in))

    def delete(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """INFORMATIONAL with a Delete of IKE."""
        dialect.wish(ctx, _mine(sa), WantDeleteIke(reason))

    def forget(self, ctx: Context, sa: IkeSa) -> None:
        """Drop an IKE SA without a word."""
        closing.forget(ctx, _mine(sa))

    def lost(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """An established IKE SA has ended by what the peer did."""
        closing.lost(ctx, _mine(sa), reason)

    def used(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """The peer sends on a new pair: so may we."""
        pairs.promote(ctx, child)

    def resume(self, ctx: Context, sa: IkeSa) -> None:
        """Send the next request if none is under way."""
        dialect.pump(ctx, _mine(sa))

    def timer(self, ctx: Context, sa: IkeSa, kind: TimerKind) -> None:
        """A timer of the IKE SA fired."""
        dialect.timer(ctx, _mine(sa), kind)

    def child_timer(self, ctx: Context, sa: IkeSa, child: ChildSa, kind: TimerKind) -> None:
        """A timer of a Child SA fired."""
        dialect.child_timer(ctx, _mine(sa), child, kind)


def _mine(sa: IkeSa) -> SaV2:
    assert isinstance(sa, SaV2), "an IKEv2 dialect is given IKEv2 SAs"
    return sa
