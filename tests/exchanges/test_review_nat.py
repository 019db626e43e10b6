"""What a hostile review asked of address translation (RFC 7296 §2.23)."""

from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.policy.connection import Nat
from isthmus.values.address import Endpoint

from .pair import LEFT, RIGHT, Pair, Side, connection, rule
from .scenes import far_side, ike_sas

OUTSIDE = "203.0.113.9"


class BehindNat(Pair):
    """The left is behind a translator that keeps ports."""

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """Translate on the way."""
        self.wire.append(datagram)
        if side is self.left:
            source = Endpoint(OUTSIDE, datagram.local.port)
            self.right.feed(DatagramReceived(datagram.remote, source, datagram.octets))
        else:
            to = Endpoint(LEFT, datagram.remote.port)
            self.left.feed(DatagramReceived(to, datagram.local, datagram.octets))


def test_keepalives_go_on_after_phase_1_is_renewed() -> None:
    pair = BehindNat(right=far_side(peer=None, remote_id=f"ip:{LEFT}"))
    pair.establish()
    assert pair.left.keepalives[-1].every_s > 0
    pair.rekey(pair.left, 1)
    pair.settle()
    assert ike_sas(pair) == (1, 1)
    assert pair.left.keepalives[-1].every_s > 0, "the SA that lives has keepalives"


def test_nat_off_against_force_agrees_on_encapsulation() -> None:
    pair = Pair(connection("b", RIGHT, (rule(),), nat=Nat.OFF), far_side(nat=Nat.FORCE))
    pair.establish()
    ours = {sa.encap for sa in pair.left.sas.values()}
    theirs = {sa.encap for sa in pair.right.sas.values()}
    assert ours == theirs
