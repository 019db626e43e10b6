"""What a crash of the IKE process costs: nothing for packets, two seconds for IKE."""

import os
import signal
import time
from pathlib import Path

import pytest

from isthmus.lab import measure
from isthmus.lab.daemon import Isthmus

from .fleet import slowness
from .flows import bring_up
from .support import SITE_A, SITE_B, SUITES, IsthmusGateway, Pair, eventually, terms

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

PACKETS_PER_SECOND = 1000
AFTER_S = 10.0
BACK_WITHIN_S = 2.0


def ike_process(daemon: Isthmus) -> int | None:
    """The pid of a gateway's IKE process as seen from here; None while there is none."""
    here = os.readlink(f"/proc/{daemon.pid}/ns/pid_for_children")
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            same_world = os.readlink(entry / "ns/pid") == here
        except OSError:
            continue
        if same_world and b"isthmus.daemon.ike" in words:
            found.append(int(entry.name))
    return found[0] if len(found) == 1 else None


def test_packets_outlive_the_ike_process(pair: Pair) -> None:
    """`kill -9` under 1,000 packets a second: none lost in 10 s, IKE is back within 2 s."""
    pair.begin(terms(SUITES[0], 4))
    bring_up(pair, "initiator")
    assert isinstance(pair.near, IsthmusGateway)
    daemon = pair.near.daemon
    running = measure.start_ping(
        pair.world, SITE_A.host, SITE_B.host4, interval_s=1 / PACKETS_PER_SECOND
    )
    try:
        time.sleep(1.0)
        victim = ike_process(daemon)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        eventually(
            "a new IKE process answers",
            lambda: ike_process(daemon) not in (None, victim) and daemon.answers(),
            timeout_s=30.0,
        )
        took_s = time.monotonic() - killed
        slow = slowness()
        time.sleep(max(0.0, killed + AFTER_S - time.monotonic()))
        pings = running.finish()
    finally:
        running.abandon()
    assert took_s < BACK_WITHIN_S * slow, f"machine slow by {slow:.1f}"
    assert pings.sent >= 0.95 * AFTER_S * PACKETS_PER_SECOND
    assert pings.lost == ()
    assert pings.errors == 0
