"""`isthmus lab` as a user meets it, on this machine."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from isthmus.lab import api, capture, measure, packets, topology
from isthmus.lab.daemon import command
from isthmus.lab.namespaces import Holder, LabError, World, start_ticks
from isthmus.lab.topology import INSIDE, INTERNET, SITE_A, SITE_B

from .support import require_root_and

pytestmark = [pytest.mark.root]


@pytest.fixture(autouse=True)
def runtime_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Labs of these tests keep their state apart from a user's own labs."""
    require_root_and()
    path = Path(f"/tmp/isth-run-{os.getpid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(path)
    yield
    with suppress(LabError):
        for name in api.names():
            api.down(name)
    shutil.rmtree(path)
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before


def isthmus(*words: str, status: int = 0) -> str:
    """Run the command `isthmus`; it must end with this status."""
    done = subprocess.run(
        [*command("isthmus"), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_world_vanishes_with_its_holder(tmp_path: Path) -> None:
    """Nothing is left of namespaces, processes and interfaces, and nothing shows outside."""
    world = World.create(tmp_path, attached=True)
    topology.build(world)
    assert SITE_A.host not in subprocess.check_output(["ip", "netns", "list"], text=True)
    sleeper = world.start(SITE_A.host, ["sleep", "60"])
    world.close()
    assert sleeper.wait(5) != 0
    sleeper.communicate()
    assert not world.holder.alive


def test_an_attached_world_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    """A killed test run or demonstration leaves nothing behind."""
    script = (
        "import sys, time; from pathlib import Path; from isthmus.lab.namespaces import World; "
        f"world = World.create(Path({str(tmp_path)!r}), attached=True); "
        "print(world.holder.pid, world.holder.started_ticks, flush=True); time.sleep(60)"
    )
    maker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    pid, ticks = (int(word) for word in maker.stdout.readline().split())
    assert start_ticks(pid) == ticks
    maker.kill()
    maker.communicate()
    deadline = time.monotonic() + 5
    while Holder(pid, ticks).alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Holder(pid, ticks).alive


def test_the_leak_watch_sees_an_inside_address(tmp_path: Path) -> None:
    """The witness that the demonstration and the matrix rely on does speak when it should."""
    with topology.two_sites(tmp_path) as world:
        topology.route_in_clear(world)
        watch = capture.start(world, INTERNET, tmp_path / "strange.pcap", strange_to=INSIDE)
        for host, address in ((SITE_A.host, SITE_B.host4), (SITE_B.host, SITE_A.host6)):
            assert measure.ping(world, host, address, count=3, interval_s=0.01).received == 3
        leaked = packets.inside_in_clear(watch.packets(), INSIDE)
    assert len(leaked) == 12


def test_a_capture_ends_while_traffic_goes_on(tmp_path: Path) -> None:
    """With what passed until then: no pause comes that it could wait for."""
    with topology.two_sites(tmp_path) as world:
        topology.route_in_clear(world)
        pinging = [
            measure.start_ping(world, SITE_A.host, SITE_B.host4, interval_s=0.005) for _ in range(2)
        ]
        watch = capture.start(world, INTERNET, tmp_path / "flow.pcap")
        time.sleep(0.5)
        begun = time.monotonic()
        seen = watch.packets()
        took_s = time.monotonic() - begun
        for each in pinging:
            each.abandon()
    assert took_s < 10.0
    assert len(seen) > 50


def test_first_five_minutes() -> None:
    """PRODUCT-GUIDE b.2 to b.4: up, ping, timeline, capture with and without keys, down."""
    assert "gw-a ARMED   gw-b ARMED" in isthmus("lab", "up")
    pinged = isthmus("lab", "run", "host-a", "ping", "-c", "3", "-i", "0.2", SITE_B.host4)
    assert "3 received, 0% packet loss" in pinged
    ladder = isthmus("lab", "timeline")
    assert re.search(r"\+0\.\d{3}  IKE_SA_INIT -+>", ladder)
    assert re.search(r"<=+ IKE_AUTH", ladder)
    shown = isthmus("lab", "watch", "--count", "1")
    assert shown.count("up") >= 2
    for options, expected in (
        ((), "cannot read the inside: that is the point"),
        (("--decrypt",), f"inside: {SITE_A.host4} > {SITE_B.host4}  ICMP echo request"),
    ):
        watching = subprocess.Popen(
            [*command("isthmus"), "lab", "capture", "internet", "--count", "4", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        isthmus("lab", "run", "host-a", "ping", "-c", "10", "-i", "0.3", SITE_B.host4)
        seen, _ = watching.communicate(timeout=30)
        assert expected in seen
    isthmus("lab", "down")
    assert "No lab called default is up." in isthmus("lab", "status", status=1)


def test_two_labs_stand_side_by_side() -> None:
    """The same addresses and names, and no traffic from one to the other."""
    first, second = api.up("one"), api.up("two")
    try:
        for lab in (first, second):
            assert measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=3).received == 3
        assert api.names() == ("one", "two")
    finally:
        first.close()
        second.close()
    assert api.names() == ()


def test_route_mode() -> None:
    """Without rules the routing table makes traffic interesting."""
    lab = api.up("routed", mode="route", attached=True)
    try:
        assert measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=5, wait_s=5).received == 5
    finally:
        lab.close()


@pytest.mark.interop
def test_strongswan_as_the_other_gateway() -> None:
    """`lab up --peer strongswan`: the first packet brings up a tunnel with strongSwan."""
    require_root_and("strongswan")
    lab = api.up("swan", peer="strongswan", attached=True)
    try:
        assert measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=5, wait_s=5).received == 5
    finally:
        lab.close()


def test_first_packet_to_reply_through_a_cold_tunnel() -> None:
    """Acceptance 6: the median of ten is under 150 ms, and not one packet is lost."""
    lab = api.up("cold", attached=True)
    times = []
    try:
        for _ in range(10):
            pings = measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=1, wait_s=5)
            assert pings.received == 1
            times.append(pings.round_trips_ms[0])
            lab.gateway_a.request("down", tunnel="site-b", hold=False)
            time.sleep(0.1)
    finally:
        lab.close()
    assert sorted(times)[5] < 150, times


def test_rootless() -> None:
    """In a user namespace, as an unprivileged user has it, the lab is the same."""
    lab = api.up("rootless", attached=True, rootless=True)
    try:
        assert lab.world.rootless
        assert measure.ping(lab.world, SITE_A.host, SITE_B.host4, count=5, wait_s=5).received == 5
    finally:
        lab.close()
