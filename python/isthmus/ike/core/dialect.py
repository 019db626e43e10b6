"""What a protocol version must be able to do for an SA it owns.

Lifecycles decide when and why; a dialect knows how. `replace_ike` is CREATE_CHILD_SA in IKEv2 and
a fresh phase 1 in IKEv1, and the lifecycle does not know which.
"""

from typing import Protocol

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint


class Dialect(Protocol):
    """One IKE version. Wishes are carried out when their turn comes."""

    def initiate(self, ctx: Context, connection: Connection, remote: Endpoint | None) -> IkeSa:
        """Begin a new IKE SA; `remote` overrides the configured peer."""

    def create_child(self, ctx: Context, sa: IkeSa, rule: str, trigger: str) -> None:
        """Make a Child SA for a rule."""

    def rekey_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Put a new Child SA in the place of this one."""

    def replace_ike(self, ctx: Context, sa: IkeSa) -> None:
        """Put a new IKE SA in the place of this one."""

    def delete_child(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """Tell the peer that a Child SA ends."""

    def delete(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """Tell the peer that the IKE SA ends, and with it every Child SA."""

    def forget(self, ctx: Context, sa: IkeSa) -> None:
        """Drop an IKE SA without a word to anybody."""

    def lost(self, ctx: Context, sa: IkeSa, reason: str) -> None:
        """An established IKE SA has ended by what the peer did."""

    def used(self, ctx: Context, sa: IkeSa, child: ChildSa) -> None:
        """The first packet of the peer has come by a Child SA: the peer uses it."""

    def resume(self, ctx: Context, sa: IkeSa) -> None:
        """Carry out what waits, if its turn has come."""

    def timer(self, ctx: Context, sa: IkeSa, kind: TimerKind) -> None:
        """A timer of the IKE SA fired."""

    def child_timer(self, ctx: Context, sa: IkeSa, child: ChildSa, kind: TimerKind) -> None:
        """A timer of a Child SA fired."""
