"""What a hostile review asked of address translation (RFC 7296 §2.23)."""

from dataclasses import replace

import pytest

from isthmus.ike.core.commands import Configure
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.policy.connection import Configuration, Nat
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


def test_keepalives_go_as_often_as_the_tunnel_says_also_after_a_reload() -> None:
    behind = connection("site-b", RIGHT, (rule(),), keepalive_s=5.0)
    pair = BehindNat(behind, far_side(peer=None, remote_id=f"ip:{LEFT}"))
    pair.establish()
    assert [k.every_s for k in pair.left.keepalives] == [5.0]
    assert pair.right.keepalives == []
    before = pair.left.children()
    pair.left.command(Configure(Configuration((replace(behind, keepalive_s=2.0),))))
    assert pair.left.keepalives[-1].every_s == 2.0
    assert pair.left.children() == before, "nothing is made anew"


class BothBehindNat(Pair):
    """Each side is behind a translator; ports are forwarded to the right one."""

    left_port_shift = 1000
    right_port_shift = 0

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """Each side sees the other's translator, at whatever port that uses just now."""
        self.wire.append(datagram)
        if side is self.left:
            source = Endpoint(OUTSIDE, datagram.local.port + self.left_port_shift)
            to = Endpoint(FORWARDED, datagram.remote.port)
            self.right.feed(DatagramReceived(to, source, datagram.octets))
        else:
            source = Endpoint(RIGHT, datagram.local.port + self.right_port_shift)
            to = Endpoint(LEFT, datagram.remote.port - self.left_port_shift)
            self.left.feed(DatagramReceived(to, source, datagram.octets))


FORWARDED = "10.0.0.9"


@pytest.mark.parametrize("renewed_by", ["nobody", "left", "right"])
def test_behind_two_translators_the_one_that_was_reached_follows(renewed_by: str) -> None:
    """RFC 7296 §2.23 forbids it to who is behind a translator, but ports are forwarded to it; who
    began follows nobody, whichever side renewed phase 1 since."""
    far = far_side(peer=None, remote_id=f"ip:{LEFT}", local_id=f"ip:{RIGHT}")
    pair = BothBehindNat(right=far)
    pair.establish()
    if renewed_by != "nobody":
        pair.rekey(pair.left if renewed_by == "left" else pair.right, 1)
        pair.settle()
    assert ike_sas(pair) == (1, 1)
    (left,), (right,) = pair.left.engine._sas.values(), pair.right.engine._sas.values()
    assert str(left.nat) == str(right.nat) == "both"
    before = left.remote
    pair.left_port_shift = 2000
    pair.rekey(pair.left, 2)
    pair.settle()
    assert right.remote == Endpoint(OUTSIDE, 4500 + 2000)
    pair.right_port_shift = 3000
    pair.rekey(pair.right, 2)
    pair.settle()
    assert left.remote == before
    assert {sa.remote.port for sa in pair.left.sas.values()} == {4500}
    assert list(pair.right.sas.values())[-1].remote.port == 6500


def test_nat_off_against_force_agrees_on_encapsulation() -> None:
    pair = Pair(connection("b", RIGHT, (rule(),), nat=Nat.OFF), far_side(nat=Nat.FORCE))
    pair.establish()
    ours = {sa.encap for sa in pair.left.sas.values()}
    theirs = {sa.encap for sa in pair.right.sas.values()}
    assert ours == theirs
