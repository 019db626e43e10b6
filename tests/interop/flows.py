"""The steps that a cell of the matrix goes through, for any gateway at the near end."""

import time
from dataclasses import dataclass
from typing import Literal

from isthmus.lab import capture, measure, packets
from isthmus.lab.packets import Esp
from isthmus.lab.topology import INSIDE, INTERNET

from .support import SITE_A, SITE_B, Gateway, Pair, Terms, eventually

Role = Literal["initiator", "responder"]

TRANSFER_OCTETS = 50_000_000
PING_INTERVAL_S = 0.005
# Traffic on each pair of SAs, before the next one replaces it.
DWELL_S = 0.15


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: who starts, and which family travels inside."""

    role: Role
    family: int

    @property
    def target(self) -> str:
        """The far host's inside address."""
        return SITE_B.host_address(self.family)


def bring_up(pair: Pair, role: Role) -> None:
    """The side that starts brings the tunnel up; both then hold the same SAs."""
    (pair.near if role == "initiator" else pair.far).up()
    eventually("both sides hold the same IKE SA and Child SA", pair.agree)


def carries_traffic(pair: Pair, cell: Cell) -> None:
    """20 of 20 pings with ESP on the wire, then a transfer whose checksum fits."""
    (spis,) = pair.near.child_sas()
    wire = capture.start(pair.world, INTERNET, pair.directory / "wire.pcap")
    try:
        pings = measure.ping(pair.world, SITE_A.host, cell.target, count=20, interval_s=0.01)
        seen = wire.packets()
    finally:
        wire.abandon()
    assert (pings.received, pings.duplicates) == (20, 0), pings
    esp = [packet.content for packet in seen if isinstance(packet.content, Esp)]
    assert {found.spi for found in esp} == set(spis)
    assert len(esp) >= 40
    moved = measure.transfer(pair.world, SITE_A.host, SITE_B.host, cell.target, TRANSFER_OCTETS)
    assert moved.match


def rekeys_lose_nothing(pair: Pair, cell: Cell) -> None:
    """Each side renews phase 2 and phase 1 while a ping runs; no ping is lost."""
    running = measure.start_ping(
        pair.world, SITE_A.host, cell.target, interval_s=PING_INTERVAL_S, wait_s=1.0
    )
    try:
        for side in (pair.near, pair.far):
            for renew in (_renewed_child, _renewed_ike):
                renew(pair, side)
                time.sleep(DWELL_S)
        pings = running.finish()
    finally:
        running.abandon()
    assert pings.sent * PING_INTERVAL_S > 4 * DWELL_S
    assert pings.lost == ()


def _renewed_child(pair: Pair, side: Gateway) -> None:
    (before,) = pair.near.child_sas()
    side.rekey_child()
    eventually(
        "a new Child SA has replaced the old one",
        lambda: pair.agree() and before not in pair.near.child_sas(),
    )


def _renewed_ike(pair: Pair, side: Gateway) -> None:
    (before,) = pair.near.ike_sas()
    (child,) = pair.near.child_sas()
    side.rekey_ike()
    eventually(
        "a new IKE SA has replaced the old one",
        lambda: pair.agree() and before not in pair.near.ike_sas(),
    )
    assert pair.near.child_sas() == {child}, "the Child SA moves to the new IKE SA as it is"


def deletes_are_seen(pair: Pair, role: Role) -> None:
    """Phase 2, then phase 1, closed by each side and gone on the other."""
    for side in (pair.near, pair.far):
        side.close_child()
        eventually(
            "the Child SA is gone on both sides",
            lambda: not pair.near.child_sas() and not pair.far.child_sas(),
        )
        side.close()
        eventually("the IKE SA is gone on both sides", pair.quiet)
        if side is pair.near:
            bring_up(pair, role)


def whole_cell(pair: Pair, agreed: Terms, cell: Cell) -> None:
    """Everything a cell of the matrix promises, and nothing of the inside in clear meanwhile."""
    strange = capture.start(
        pair.world, INTERNET, pair.directory / "strange.pcap", strange_to=INSIDE
    )
    try:
        pair.begin(agreed)
        bring_up(pair, cell.role)
        carries_traffic(pair, cell)
        rekeys_lose_nothing(pair, cell)
        deletes_are_seen(pair, cell.role)
        seen = strange.packets()
    finally:
        strange.abandon()
    assert packets.inside_in_clear(seen, INSIDE) == []
