"""The small parts of the daemon: alarm, notify, channel, ports, runtime, children, status."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from isthmus.backends.wishes import NetworkWish, RouteWish
from isthmus.crypto.selftest import Withdrawn, supported
from isthmus.daemon import channel, main, ports
from isthmus.daemon.alarm import Alarm
from isthmus.daemon.capabilities import without_withdrawn
from isthmus.daemon.channel import Apply, Fatal, Pulse, Ready, ShutDown
from isthmus.daemon.child import PAUSE_FIRST_S, Child
from isthmus.daemon.notify import ServiceManager
from isthmus.daemon.runtime import SOCKET_PATH_MAX, Runtime
from isthmus.daemon.status import Health, health_line
from isthmus.ike.core.views import Phase1State, TunnelView
from isthmus.policy.connection import Configuration
from isthmus.values.errors import LocalFault
from isthmus.values.proposal import Transform, parse_proposal
from isthmus.values.registry.ikev2 import Encr, SecurityProtocol, TransformType
from isthmus.values.time import Instant

from .samples import CONFIGURATION, ESP, rule, tunnel


@pytest.fixture
def directory() -> Iterator[Path]:
    """With a path short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="isth-") as path:
        yield Path(path)


def test_the_alarm_rings_once_at_the_last_time_it_was_set_to() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        rung: list[float] = []
        alarm = Alarm(loop, lambda: rung.append(loop.time()))
        start = loop.time()
        alarm.set(Instant(start + 0.001))
        alarm.set(Instant(start + 0.03))
        alarm.set(Instant(start + 0.03))
        while not rung:
            await asyncio.sleep(0.002)
        assert rung[0] >= start + 0.03 - 1e-3
        alarm.set(Instant(loop.time() + 0.001))
        alarm.set(None)
        await asyncio.sleep(0.01)
        assert len(rung) == 1

    asyncio.run(run())


def test_the_service_manager_hears_in_its_own_format(directory: Path) -> None:
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(2)
        manager = ServiceManager({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "3000000"})
        assert manager.say("READY=1", "STATUS=1 healthy")
        assert listening.recv(100) == b"READY=1\nSTATUS=1 healthy"
        assert manager.watchdog_s == 3.0
    assert not manager.say("STOPPING=1")


def test_without_a_service_manager_nothing_is_said() -> None:
    manager = ServiceManager({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    assert not manager.say("READY=1")
    assert manager.watchdog_s is None


def test_frames_cross_the_channel_and_nothing_else_does() -> None:
    ours, theirs = channel.pair()
    wish = NetworkWish((), (RouteWish("10.2.0.0/24", 4500, 100),))
    for message in (Apply(wish), Ready(), Pulse(), Fatal("no")):
        assert channel.send(theirs, message)
        octets = channel.receive(ours)
        assert octets is not None and channel.from_ike.decode(octets) == message
    assert channel.receive(ours) is None
    theirs.send(msgspec.json.encode(ShutDown()))
    with pytest.raises(msgspec.MsgspecError):
        channel.from_ike.decode(channel.receive(ours) or b"")
    theirs.close()
    assert channel.receive(ours) == b""
    assert not channel.send(ours, ShutDown())
    ours.close()


def test_a_plan_too_large_for_a_frame_is_not_sent() -> None:
    ours, theirs = channel.pair()
    wish = NetworkWish((), (RouteWish("10.2.0.0/24", 4500, 100),) * 4000)
    assert not channel.send(theirs, Apply(wish))
    assert channel.receive(ours) is None
    ours.close()
    theirs.close()


def test_the_owner_of_a_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = ports.owner(port)
        assert found is not None and f"(pid {os.getpid()})" in found
    assert ports.owner(port) is None


def test_one_daemon_to_a_control_socket(directory: Path) -> None:
    control = directory / "run" / "control.sock"
    first = Runtime(control)
    assert first.plane_socket.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(LocalFault, match=rf"E103.*pid {os.getpid()}"):
        Runtime(control)
    first.close()
    assert not first.plane_socket.parent.exists()
    again = Runtime(control)
    again.close()


def test_what_a_killed_daemon_left_behind_is_cleared(directory: Path) -> None:
    left = directory / "control.sock.d"
    left.mkdir()
    (left / "plane.sock").touch()
    made = Runtime(directory / "control.sock")
    assert list(made.plane_socket.parent.iterdir()) == []
    made.close()


def test_a_long_control_path_gets_its_internal_sockets_elsewhere(directory: Path) -> None:
    stem = str(directory) + "/"
    control = Path(stem + "x" * (SOCKET_PATH_MAX - len(stem)))
    made = Runtime(control)
    assert len(os.fsencode(made.plane_socket)) <= SOCKET_PATH_MAX
    assert made.plane_socket.parent.stat().st_mode & 0o777 == 0o700
    made.close()
    with pytest.raises(LocalFault, match="longer than"):
        Runtime(Path(str(control) + "x"))


def wait_for_end(child: Child) -> str:
    """How it ended."""
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOWAIT)
    return child.ended()


def test_a_child_that_dies_at_once_is_started_later_each_time() -> None:
    child = Child("the child", lambda: (["-c", "raise SystemExit(7)"], ()))
    pauses = []
    for _ in range(4):
        child.start()
        assert wait_for_end(child) == "the child ended with status 7"
        assert child.restart_at_s is not None and child.pid is None
        pauses.append(child.restart_at_s - time.monotonic())
    assert pauses[0] <= 0 < pauses[1] <= PAUSE_FIRST_S
    assert pauses[1] < pauses[2] < pauses[3]
    assert child.starts == 4


def test_a_child_inherits_only_what_it_is_given_and_is_stopped_by_pid() -> None:
    ours, theirs = channel.pair()
    code = (
        "import socket,sys,time;"
        "socket.socket(fileno=int(sys.argv[1])).send(b'here'); time.sleep(60)"
    )
    child = Child("the child", lambda: (["-c", code, str(theirs.fileno())], (theirs,)))
    child.start()
    assert theirs.fileno() == -1
    ours.settimeout(10)
    assert ours.recv(10) == b"here"
    pid = child.pid
    assert pid is not None and os.getsid(pid) == pid
    child.stop(5.0)
    assert child.pid is None and child.restart_at_s is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    child.stop(5.0)
    ours.close()


def test_a_child_that_does_not_listen_is_killed() -> None:
    ours, theirs = channel.pair()
    code = (
        "import signal,socket,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "socket.socket(fileno=int(sys.argv[1])).send(b'deaf'); time.sleep(60)"
    )
    child = Child("the child", lambda: (["-c", code, str(theirs.fileno())], (theirs,)))
    child.start()
    ours.settimeout(10)
    assert ours.recv(10) == b"deaf"
    child.stop(0.05)
    assert child.pid is None
    ours.close()


def test_how_a_signal_ended_a_child_is_said() -> None:
    child = Child("the child", lambda: (["-c", "import time; time.sleep(60)"], ()))
    child.start()
    child.signal(signal.SIGKILL)
    assert wait_for_end(child) == "the child was ended by SIGKILL"


def test_algorithms_that_failed_are_not_offered() -> None:
    capabilities = supported()
    same, warnings = without_withdrawn(CONFIGURATION, capabilities)
    assert (same, warnings) == (CONFIGURATION, ())
    gcm = Transform(TransformType.ENCR, Encr.AES_GCM_16, 256)
    broken = replace(
        capabilities,
        transforms=capabilities.transforms - {gcm},
        withdrawn=(Withdrawn(gcm, "a known answer came out wrong"),),
    )
    cbc = parse_proposal("aes256-sha256", SecurityProtocol.ESP)
    phase1 = parse_proposal("aes128gcm16-aes256gcm16-prfsha384-x25519", SecurityProtocol.IKE)
    net = rule("net", "10.1.0.0/24", "10.2.0.0/24", (ESP, cbc))
    office = replace(tunnel("office", net), phase1_proposals=(phase1,))
    cleaned, warnings = without_withdrawn(Configuration((office,)), broken)
    assert cleaned.connections[0].rules[0].proposals == (cbc,)
    assert gcm not in cleaned.connections[0].phase1_proposals[0].transforms
    assert len(cleaned.connections[0].phase1_proposals[0].transforms) == 3
    assert all("a known answer came out wrong" in w for w in warnings) and len(warnings) == 2
    with pytest.raises(LocalFault, match="office"):
        without_withdrawn(CONFIGURATION, broken)


def test_the_status_line_counts_and_names() -> None:
    def view(name: str, healthy: bool) -> TunnelView:
        return TunnelView(
            name, "192.0.2.2", "policy", "traffic", Phase1State.DOWN, healthy, 0.0, None, ()
        )

    assert health_line([]) == "0 healthy"
    assert health_line([view("a", True), view("b", True)]) == "2 healthy"
    failing = [view(name, False) for name in "abcd"]
    assert health_line([view("z", True), *failing]) == "1 healthy, 4 failing (a, b, c, ...)"


def test_the_status_line_costs_nothing_while_nothing_happens() -> None:
    asked: list[float] = []

    def views() -> tuple[TunnelView, ...]:
        asked.append(now)
        return ()

    health = Health(views)
    for now in range(100):
        assert health.line(7, now) == "0 healthy"
    assert asked == [0]
    now = 100
    health.line(8, now)
    assert asked == [0, 100]


def config(directory: Path, text: str) -> Path:
    """A configuration file with a good secret beside it."""
    secret = directory / "psk"
    secret.write_text("mJ8qkPz0Vt6uWcYbR2sXfGhT4nLdA7eK\n")
    secret.chmod(0o600)
    path = directory / "isthmus.toml"
    path.write_text(text.replace("PSK", str(secret)))
    return path


GOOD = """
[tunnel.office]
peer = "192.0.2.2"
psk = { file = "PSK" }
mode = "policy"
[tunnel.office.rule.net]
local = ["10.1.0.0/24"]
remote = ["10.2.0.0/24"]
"""


def test_check_says_whether_a_file_is_sound(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["-c", str(config(directory, GOOD)), "--check"]) == 0
    assert "1 tunnels, no errors" in capsys.readouterr().out
    broken = config(directory, GOOD.replace("remote =", "remoet ="))
    assert main.main(["-c", str(broken), "--check"]) == 3
    said = capsys.readouterr().err
    assert "remoet" in said and f"{broken}:8" in said


def test_a_broken_file_never_starts_a_daemon(directory: Path) -> None:
    broken = config(directory, GOOD.replace("10.2.0.0/24", "10.2.0.0/99"))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "isthmus.daemon.main"),
            *("-c", str(broken), "--socket", str(directory / "control.sock")),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3 and "10.2.0.0/99" in done.stderr
    assert not (directory / "control.sock.lock").exists()
