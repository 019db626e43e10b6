"""A peer that is known by its name: looked up for each attempt, its addresses tried in turn."""

import pytest

from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import Compute, Resolve, SendDatagram
from isthmus.ike.core.events import ComputeFinished, DatagramReceived
from isthmus.values.address import Endpoint

from .pair import LEFT, RIGHT, Pair, Side, connection, rule
from .scenes import far_side

NAME = "vpn.example.net"
SILENT = "203.0.113.66"


class Named(Pair):
    """The left knows the right by a name, whose addresses are those of `found`."""

    def __init__(self) -> None:
        super().__init__(connection("site-b", NAME, (rule(),), remote_id=f"ip:{RIGHT}"), far_side())
        self.found: tuple[str, ...] | None = (SILENT, "2001:db8::66", RIGHT)
        self.asked: list[str] = []
        self.silenced: list[SendDatagram] = []
        usual = self.left.compute

        def compute(job: Compute) -> None:
            if not isinstance(job.job, Resolve):
                return usual(job)
            self.asked.append(job.job.peer)
            if self.found is None:
                return self.left.feed(ComputeFinished(job.ticket, None, f"{NAME} has no address"))
            ways = [text.encode() for remote in self.found for text in (LEFT, remote)]
            return self.left.feed(ComputeFinished(job.ticket, tuple(ways)))

        self.left.compute = compute  # type: ignore[method-assign]

    def deliver(self, side: Side, datagram: SendDatagram) -> None:
        """Only the right's own address leads to it."""
        if side is self.left and datagram.remote.address != RIGHT:
            self.silenced.append(datagram)
            return
        super().deliver(side, datagram)


def begun(pair: Named) -> Named:
    """The left has been told to come up."""
    pair.left.command(Initiate("site-b"))
    return pair.advance(0.0)


def test_addresses_that_stay_silent_are_passed_over() -> None:
    pair = begun(Named())
    pair.advance(15.0)
    assert pair.left.view().state == pair.right.view().state == "up"
    phase1 = pair.left.view().phase1
    assert phase1 is not None and phase1.remote.address == RIGHT
    tried = [d.remote.address for d in pair.silenced]
    assert tried == [SILENT] * 4 + ["2001:db8::66"] * 4
    assert len(pair.left.events("phase1.next_address")) == 2
    assert pair.asked == [NAME]


def test_the_late_answer_of_an_address_that_was_left_is_not_taken() -> None:
    """It answers another first message than the one that stands."""
    pair = begun(Named())
    pair.advance(4.5, deliver=False)
    first = pair.silenced[0] if pair.silenced else pair.left.out[0]
    pair.left.out.clear()
    pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), first.octets))
    late = pair.right.out.pop()
    pair.left.feed(DatagramReceived(Endpoint(LEFT, 500), Endpoint(SILENT, 500), late.octets))
    reasons = [dict(h.detail)["reason"] for h in pair.left.events("datagram.dropped")]
    assert reasons == ["other_address"]
    pair.advance(30.0)
    assert pair.left.view().state == "up"


@pytest.mark.parametrize("answer", [None, (SILENT,)])
def test_each_attempt_asks_anew(answer: tuple[str, ...] | None) -> None:
    """Nobody knows the name, or it leads nowhere; then it is mended."""
    pair = Named()
    pair.found = answer
    begun(pair)
    pair.advance(70.0)
    assert pair.left.view().failure is not None
    asked = len(pair.asked)
    pair.found = (RIGHT,)
    begun(pair)
    pair.advance(90.0)
    assert pair.left.view().state == "up"
    assert len(pair.asked) > asked
