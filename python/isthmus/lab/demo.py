"""The story of a tunnel in one screen, told from what was measured and captured while it happened.

Every sentence printed stands for a check that was made; the verdict is good only if all held.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from isthmus.lab import api, capture, espview, ladder, measure, packets
from isthmus.lab.api import Lab, LabError
from isthmus.lab.capture import Capture
from isthmus.lab.daemon import Isthmus
from isthmus.lab.packets import Esp, Ike, Packet
from isthmus.lab.topology import INSIDE, INTERNET, SITE_A, SITE_B

Say = Callable[[str], None]

SECRET: Final = "the vault opens at noon"
FIRST_REPLY_MS_MAX: Final = 250.0
TRANSFER_OCTETS: Final = 20_000_000
_REQUEST_SIZE: Final = 64
_DUMP_OCTETS: Final = 32
_UP_STATES: Final = ("up", "rekeying")


@dataclass(slots=True)
class _Story:
    """Prints as it goes, and remembers what did not hold."""

    say: Say
    broken: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        """A sentence that is true, or a reason why the demonstration failed."""
        if not holds:
            self.broken.append(what)
        self.say(f"    {'ok  ' if holds else 'FAIL'} {what}")


@dataclass(slots=True)
class _Captures:
    """What was seen in clear at host-a, on the internet, and what should not be there."""

    clear: Capture
    wire: Capture
    strange: Capture

    @classmethod
    def start(cls, lab: Lab) -> "_Captures":
        place = lab.directory
        return cls(
            capture.start(lab.world, SITE_A.host, place / "clear.pcap", both=True),
            capture.start(lab.world, INTERNET, place / "wire.pcap"),
            capture.start(
                lab.world, INTERNET, place / "strange.pcap", strange_to=INSIDE, snap_octets=256
            ),
        )

    def abandon(self) -> None:
        for found in (self.clear, self.wire, self.strange):
            found.abandon()


def run(say: Say) -> bool:
    """Tell the story; True if every step was verified. Leaves nothing behind."""
    story = _Story(say)
    started = monotonic()
    try:
        lab = api.up(f"demo-{os.getpid()}", attached=True)
    except LabError as error:
        say(f"The demonstration cannot start: {error}")
        return False
    try:
        _tell(story, lab, monotonic() - started)
    except LabError as error:
        story.check(False, str(error))
    finally:
        lab.close()
    say("")
    if story.broken:
        say(f"NOT VERIFIED: {len(story.broken)} of the steps above did not hold.")
        return False
    say("VERIFIED: two networks, one encrypted tunnel, nothing readable in between.")
    return True


def _tell(story: _Story, lab: Lab, built_s: float) -> None:
    kind = "without root" if lab.world.rootless else "as root"
    story.say(f"1. Two sites on this machine, {kind}, built in {built_s:.1f} s")
    story.say(
        f"     {SITE_A.host} {SITE_A.host4} - {SITE_A.gateway} {SITE_A.outer4} - internet - "
        f"{SITE_B.outer4} {SITE_B.gateway} - {SITE_B.host4} {SITE_B.host}"
    )
    states = {rule["state"] for gateway in lab.isthmus_gateways for rule in _rules(gateway)}
    story.check(states == {"armed"}, "both gateways are armed: IKEv2, PSK made for this run")
    watching = _Captures.start(lab)
    try:
        _first_packet(story, lab)
        clear, wire = watching.clear.packets(), watching.wire.packets()
        _negotiation(story, lab, wire)
        _side_by_side(story, lab, clear, wire)
        _throughput(story, lab)
        _nothing_leaked(story, wire, watching.strange.packets())
    finally:
        watching.abandon()


def _rules(gateway: Isthmus) -> Iterator[dict[str, object]]:
    yield from gateway.tunnel()["rules"]


def _first_packet(story: _Story, lab: Lab) -> None:
    story.say(f"2. {SITE_A.host} pings {SITE_B.host}: interesting traffic, and no tunnel yet")
    pings = measure.ping(
        *(lab.world, SITE_A.host, SITE_B.host4),
        count=4,
        interval_s=0.2,
        size=_REQUEST_SIZE,
        text=SECRET,
        wait_s=5.0,
    )
    first = pings.round_trips_ms[0] if 0 not in pings.lost and pings.round_trips_ms else None
    shown = "lost" if first is None else f"{first:.1f} ms"
    story.check(
        first is not None and first <= FIRST_REPLY_MS_MAX,
        f"first packet held while the tunnel came up, then delivered: reply after {shown}",
    )
    rest = ", ".join(f"{value:.2f}" for value in pings.round_trips_ms[1:])
    story.check(
        pings.received == pings.sent, f"{pings.received} of {pings.sent} answered: {rest} ms"
    )


def _negotiation(story: _Story, lab: Lab, wire: Sequence[Packet]) -> None:
    story.say("3. The negotiation, as gw-a recorded it")
    for line in ladder.render(lab.gateway_a.events()).splitlines():
        story.say(f"    {line[:130]}")
    messages = [
        (packet.content.exchange_name, packet.content.is_response)
        for packet in wire
        if isinstance(packet.content, Ike)
    ]
    expected = [(name, way) for name in ("IKE_SA_INIT", "IKE_AUTH") for way in (False, True)]
    story.check(messages == expected, f"the internet saw just these {len(expected)} IKE messages")
    states = {str(rule["state"]) for gateway in lab.isthmus_gateways for rule in _rules(gateway)}
    story.check(states <= set(_UP_STATES), "phase 1 and phase 2 are up on both gateways")


def _side_by_side(story: _Story, lab: Lab, clear: Sequence[Packet], wire: Sequence[Packet]) -> None:
    story.say("4. The same packet, twice")
    secret = SECRET.encode()
    asked = [
        packet for packet in clear if secret in packet.octets and packet.source == SITE_A.host4
    ]
    esp = [
        packet
        for packet in wire
        if isinstance(packet.content, Esp) and packet.source == SITE_A.outer4
    ]
    if not asked or not esp:
        story.check(False, "the request was captured at the host and on the internet")
        return
    sent, carried = asked[-1], esp[-1]
    story.say(f"     {SITE_A.host} sent       {sent.text}")
    _dump(story, sent.octets, sent.octets.index(secret) // 4 * 4)
    story.say(f"     the internet saw  {carried.text}")
    assert isinstance(carried.content, Esp)
    _dump(story, carried.octets, len(carried.octets) - len(carried.content.octets) + 8)
    story.check(
        not any(secret in packet.octets for packet in wire),
        f"“{SECRET}” appears in none of the {len(wire)} packets on the internet",
    )
    inside: Packet | None = None
    with suppress(espview.CannotRead):
        keys = espview.read_keys(gateway.keys for gateway in lab.isthmus_gateways)
        inside = espview.open_esp(carried.content, keys)
    # The gateway counts the time to live down, so only what is behind the IP header is the same.
    story.check(
        inside is not None and inside.octets[inside.payload_at :] == sent.octets[sent.payload_at :],
        "opened with the tunnel's key by other code, it is octet for octet what the host sent",
    )


def _dump(story: _Story, octets: bytes, start: int) -> None:
    shown = octets[start : start + _DUMP_OCTETS]
    text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in shown)
    story.say(f"       {shown.hex(' ', 4)}  {text}")


def _throughput(story: _Story, lab: Lab) -> None:
    story.say("5. A transfer through the tunnel")
    moved = measure.transfer(lab.world, SITE_A.host, SITE_B.host, SITE_B.host4, TRANSFER_OCTETS)
    story.check(
        moved.match,
        f"{moved.octets // 1_000_000} MB over TCP in {moved.seconds:.2f} s "
        f"({moved.megabits_per_second:.0f} Mbit/s), SHA-256 the same at both ends",
    )


def _nothing_leaked(story: _Story, wire: Sequence[Packet], strange: Sequence[Packet]) -> None:
    story.say("6. The whole time on the internet")
    leaked = packets.inside_in_clear([*wire, *strange], INSIDE)
    story.check(not leaked, "not one packet showed an inside address in clear")
    for packet in leaked[:3]:
        story.say(f"         {packet.text}")


def main() -> int:
    """`python -m isthmus.lab.demo`."""
    return 0 if run(print) else 1


if __name__ == "__main__":
    raise SystemExit(main())
