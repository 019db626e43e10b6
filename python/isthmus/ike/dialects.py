"""Both versions of IKE behind the one interface that lifecycles know."""

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context
from isthmus.ike.core.dialect import Dialect
from isthmus.ike.core.sa import IkeSa
from isthmus.ike.v1.face import IkeV1
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v2.face import IkeV2
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint


class Dialects:
    """Hands each wish to the version that the IKE SA is of; a new one is of the tunnel's."""

    def __init__(self) -> None:
        self._v1 = IkeV1()
        self._v2 = IkeV2()

    def _of(self, sa: IkeSa) -> Dialect:
        return self._v1 if isinstance(sa, SaV1) else self._v2

    def initiate(self, ctx: Context, connection: Connection, remote: Endpoint | None) -> IkeSa:
        """Begin a new IKE SA."""
        version: Dialect = self._v1 if connection.initiates_v1 else self._v2
        return version.initiate(ctx, connection, remote)

    def create_child(self, ctx: Context, sa: IkeSa, rule: str, trigger: str) -> None:
        """Make a Child SA for a rule."""
        self._of(sa).create_child(ctx, sa, rule, trigger)

    def rekey_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Put a new Child SA in the place of this one."""
        self._of(sa).rekey_child(ctx, sa, child)

    def replace_ike(self, ctx: Context, sa: IkeSa) -> None:
        """Put a new IKE SA in the place of this one."""
        self._of(sa).replace_ike(ctx, sa)

    def delete_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Tell the peer that a Child SA ends."""
        self._of(sa).delete_child(ctx, sa, child)

    def delete(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """Tell the peer that the IKE SA ends."""
        self._of(sa).delete(ctx, sa, reason)

    def forget(self, ctx: Context, sa: IkeSa) -> None:
        """Drop an IKE SA without a word."""
        self._of(sa).forget(ctx, sa)

    def lost(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """An established IKE SA has ended by what the peer did."""
        self._of(sa).lost(ctx, sa, reason)

    def used(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """The first packet of the peer has come by a Child SA."""
        self._of(sa).used(ctx, sa, child)

    def resume(self, ctx: Context, sa: IkeSa) -> None:
        """Carry out what waits."""
        self._of(sa).resume(ctx, sa)

    def timer(self, ctx: Context, sa: IkeSa, kind: TimerKind) -> None:
        """A timer of the IKE SA fired."""
        self._of(sa).timer(ctx, sa, kind)

    def child_timer(self, ctx: Context, sa: IkeSa, child: ChildSa, kind: TimerKind) -> None:
        """A timer of a Child SA fired."""
        self._of(sa).child_timer(ctx, sa, child, kind)
