"""Captures in a lab's namespaces: start, stop, read."""

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from isthmus.lab.namespaces import LabError, World, end
from isthmus.lab.packets import Packet, decode_frame, read_pcap
from isthmus.lab.program import await_ready, final_account, program

_SNIFF: Final = program("sniff.py")
_WHAT: Final = "the capture"


@dataclass(slots=True)
class Capture:
    """A running capture into a pcap file."""

    path: Path
    _process: "subprocess.Popen[str]" = field(repr=False)

    def packets(self) -> list[Packet]:
        """Stop, and return every IP packet.

        Raises LabError when the kernel dropped some: a capture with holes proves nothing.
        """
        dropped = self.stop()
        if dropped:
            raise LabError(
                f"The capture lost {dropped} packets.", "Its answer would be worth nothing."
            )
        return list(read_pcap(self.path))

    def stop(self) -> int:
        """Stop after what is queued has been written; returns how many packets were dropped."""
        return int(final_account(self._process, _WHAT, 20)["dropped"])

    def abandon(self) -> None:
        """End it and forget what it saw."""
        end(self._process)


def start(
    world: World,
    namespace: str,
    path: Path,
    *,
    interface: str = "",
    both: bool = False,
    snap_octets: int = 65535,
    strange_to: Iterable[IPv4Network | IPv6Network] = (),
) -> Capture:
    """Capture to a pcap file what comes into a namespace (and, with `both`, what leaves it).

    A router's forwarded packets are then seen once each. With `strange_to`, only packets from or to
    these networks, and those that are neither IKE nor ESP: such a capture misses nothing however
    much ESP passes. Returns when packets are being recorded.
    """
    argv = [*_SNIFF, f"--file={path}", f"--snap={snap_octets}"]
    argv += [f"--inside={network}" for network in strange_to]
    if interface:
        argv.append(f"--interface={interface}")
    if both:
        argv.append("--both")
    process = world.start(namespace, argv, stdin=subprocess.PIPE)
    await_ready(process, _WHAT)
    return Capture(path, process)


def live(world: World, namespace: str, *, count: int = 0, both: bool = False) -> Iterator[Packet]:
    """IP packets as they pass; ends after `count` of them (0: never)."""
    argv = [*_SNIFF, *(["--both"] if both else [])]
    process = world.start(namespace, argv, stdin=subprocess.PIPE)
    try:
        await_ready(process, _WHAT)
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            at_s, interface, octets = line.split()
            frame = bytes.fromhex(octets)
            packet = decode_frame(frame, at_s=float(at_s), interface=interface, length=len(frame))
            if packet is None:
                continue
            yield packet
            seen += 1
            if count and seen >= count:
                return
    finally:
        end(process)
