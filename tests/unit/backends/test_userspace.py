"""The client of the plane process, against a plane that the test plays itself."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from isthmus.backends import userspace
from isthmus.backends.frames import (
    FRAME_MAX,
    AttachInterface,
    DatagramIn,
    DatagramOut,
    Done,
    FirstPacketNotice,
    Flush,
    Frame,
    Notice,
    Query,
    Refused,
    Sas,
    SetPolicies,
    encoder,
    to_plane,
)
from isthmus.backends.interface import PlaneLost, PlaneRefused
from isthmus.backends.specs import EndpointSpec, LimitsSpec, PolicySpec, RangeSpec, SelectorsSpec
from isthmus.backends.userspace import UserspacePlane

HERE, THERE = EndpointSpec("192.0.2.1", 500), EndpointSpec("192.0.2.2", 500)


class Played:
    """The other end of the socket."""

    def __init__(self) -> None:
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(2)
        self.notices: list[Notice] = []
        self.lost = 0
        self.plane = UserspacePlane(ours, self.notices.append, self._on_lost)

    def _on_lost(self) -> None:
        self.lost += 1

    def heard(self) -> Frame:
        """The next command."""
        return to_plane.decode(self.end.recv(FRAME_MAX))

    def says(self, *frames: Frame) -> None:
        """Send frames to the client."""
        for frame in frames:
            self.end.send(encoder.encode(frame))


def play(scene: Callable[[Played], Awaitable[None]]) -> None:
    """Run one scene on a fresh connection."""

    async def run() -> None:
        played = Played()
        try:
            await scene(played)
        finally:
            played.plane.close()
            played.end.close()

    asyncio.run(run())


async def settle() -> None:
    """Let the client read what has arrived."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_command_leaves_before_it_is_awaited_and_order_is_kept() -> None:
    async def scene(played: Played) -> None:
        flushed = played.plane.flush()
        attached = played.plane.attach_interface(1, "isthmus0", 1400, 5)
        played.plane.send_datagram(HERE, THERE, b"ike")
        assert played.heard() == Flush(1)
        assert played.heard() == AttachInterface(2, 1, "isthmus0", 1400, 5)
        assert played.heard() == DatagramOut(HERE, THERE, b"ike")
        played.says(Done(2), Done(1))
        await flushed
        await attached

    play(scene)


def test_a_refusal_raises_with_its_reason() -> None:
    async def scene(played: Played) -> None:
        removed = played.plane.remove_sa("in", 300)
        played.says(Refused(1, "no SA with this SPI"))
        with pytest.raises(PlaneRefused, match="no SA with this SPI"):
            await removed

    play(scene)


def test_a_long_answer_is_put_together() -> None:
    async def scene(played: Played) -> None:
        asked = asyncio.ensure_future(played.plane.sas())
        await settle()
        assert played.heard() == Query(1, "sas")
        played.says(Sas(1, True, ()), FirstPacketNotice(300), Sas(1, False, ()))
        assert await asked == ()
        assert played.notices == [FirstPacketNotice(300)]

    play(scene)


def test_an_answer_of_the_wrong_kind_is_refused() -> None:
    async def scene(played: Played) -> None:
        asked = asyncio.ensure_future(played.plane.sas())
        await settle()
        played.says(Done(1))
        with pytest.raises(PlaneRefused):
            await asked

    play(scene)


def test_notices_arrive_in_order() -> None:
    async def scene(played: Played) -> None:
        sent = [DatagramIn(THERE, HERE, bytes([n])) for n in range(50)]
        played.says(*sent)
        while len(played.notices) < len(sent):
            await asyncio.sleep(0)
        assert played.notices == sent

    play(scene)


def test_what_cannot_be_read_is_counted_and_ends_nothing() -> None:
    async def scene(played: Played) -> None:
        for octets in (b"\xc1", b"\x81\xa4type\xa4what", b"\x00", b"\x80"):
            played.end.send(octets)
        flushed = played.plane.flush()
        played.says(Done(77), Done(1))
        await flushed
        assert played.plane.losses == {"frame_not_understood": 4, "reply_too_late": 1}
        assert played.lost == 0

    play(scene)


def test_when_the_plane_goes_every_command_fails_once_and_later_ones_at_once() -> None:
    async def scene(played: Played) -> None:
        waiting = played.plane.flush()
        played.end.close()
        with pytest.raises(PlaneLost):
            await waiting
        assert played.lost == 1
        assert not played.plane.is_open
        with pytest.raises(PlaneLost):
            await played.plane.flush()
        played.plane.send_datagram(HERE, THERE, b"ike")
        assert played.plane.losses["datagram_no_plane"] == 1

    play(scene)


def test_a_command_to_a_plane_that_has_just_died_is_lost_like_the_others() -> None:
    """It is gone, and what is written now is the first to meet that. It was an error of ours, and
    ended what the engine had asked for with it."""

    async def scene(played: Played) -> None:
        earlier = played.plane.flush()
        played.end.close()
        first, second = played.plane.expect_sa(300), played.plane.flush()
        assert played.lost == 1
        for outcome in (earlier, first, second):
            with pytest.raises(PlaneLost):
                await outcome

    play(scene)


def test_a_datagram_to_a_plane_that_has_just_died_is_lost_for_want_of_it() -> None:
    async def scene(played: Played) -> None:
        played.end.close()
        played.plane.send_datagram(HERE, THERE, b"ike")
        assert played.plane.losses == {"datagram_no_plane": 1}
        assert played.lost == 1

    play(scene)


def test_closing_on_purpose_is_no_loss() -> None:
    async def scene(played: Played) -> None:
        waiting = played.plane.flush()
        played.plane.close()
        with pytest.raises(PlaneLost):
            await waiting
        assert played.lost == 0

    play(scene)


def test_a_full_socket_queues_in_order_and_the_queue_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(userspace, "BUFFER_OCTETS", 4096)
    monkeypatch.setattr(userspace, "QUEUE_MAX", 8)

    async def scene(played: Played) -> None:
        sent = 0
        while not played.plane.losses:
            played.plane.send_datagram(HERE, THERE, sent.to_bytes(4, "big") + bytes(1000))
            sent += 1
        assert played.plane.losses == {"datagram_queue_full": 1}
        with pytest.raises(PlaneLost, match="does not keep up"):
            await played.plane.flush()
        played.end.setblocking(False)
        heard: list[int] = []
        while len(heard) < sent - 1:
            try:
                frame = played.heard()
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            assert isinstance(frame, DatagramOut)
            heard.append(int.from_bytes(frame.octets[:4], "big"))
        assert heard == list(range(sent - 1))

    play(scene)


def test_no_answer_in_time_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userspace, "REPLY_TIMEOUT_S", 0.01)

    async def scene(played: Played) -> None:
        with pytest.raises(PlaneLost, match="no answer"):
            await played.plane.flush()
        played.says(Done(1))
        await settle()
        assert played.plane.losses == {"reply_timeout": 1, "reply_too_late": 1}

    play(scene)


def policies(count: int, ranges: int = 1) -> tuple[PolicySpec, ...]:
    """So many policies, each with so many ranges."""
    selectors = SelectorsSpec((RangeSpec("10.0.0.0", "10.0.0.1"),) * ranges, ())
    return tuple(PolicySpec(n, "office/" + "x" * 20, 1, "protect", selectors) for n in range(count))


def test_policies_beyond_a_frame_go_in_parts() -> None:
    many = policies(2000)
    assert len(encoder.encode(SetPolicies(1, many))) > FRAME_MAX

    async def scene(played: Played) -> None:
        outcome = asyncio.ensure_future(played.plane.set_policies(many))
        parts: list[SetPolicies] = []
        while not parts or parts[-1].more:
            part = played.heard()
            assert isinstance(part, SetPolicies)
            parts.append(part)
            await settle()
        assert [part.part for part in parts] == list(range(len(parts))) and len(parts) > 2
        assert tuple(policy for part in parts for policy in part.policies) == many
        for part in parts[:-1]:
            played.says(Done(part.ticket))
        await settle()
        assert not outcome.done()
        played.says(Done(parts[-1].ticket))
        await outcome

    play(scene)


def test_a_refused_part_refuses_the_whole() -> None:
    async def scene(played: Played) -> None:
        outcome = asyncio.ensure_future(played.plane.set_policies(policies(400)))
        played.says(Done(1), Refused(2, "a part of the policies is missing"))
        with pytest.raises(PlaneRefused, match="missing"):
            await outcome

    play(scene)


def test_a_frame_too_large_is_refused_here() -> None:
    (large,) = policies(1, ranges=4000)
    assert len(encoder.encode(SetPolicies(1, (large,)))) > FRAME_MAX

    async def scene(played: Played) -> None:
        with pytest.raises(PlaneRefused, match="larger than"):
            await played.plane.set_policies((large,))
        played.says(Done(2))
        await played.plane.flush()

    play(scene)


def test_a_number_that_no_frame_can_say_is_refused_and_the_rest_goes_on() -> None:
    async def scene(played: Played) -> None:
        refused = played.plane.update_sa("in", 300, limits=LimitsSpec(hard_octets=2**74))
        flushed = played.plane.flush()
        with pytest.raises(PlaneRefused, match="UpdateSaFrame that cannot be said"):
            await refused
        assert played.heard() == Flush(2)
        played.says(Done(2))
        await flushed

    play(scene)


def test_nobody_there_is_a_plane_lost(tmp_path: object) -> None:
    async def run() -> None:
        with pytest.raises(PlaneLost, match="no data plane"):
            await UserspacePlane.connect(f"{tmp_path}/none.sock", lambda n: None, lambda: None)

    asyncio.run(run())
