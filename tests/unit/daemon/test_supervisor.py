"""The whole daemon in a network namespace: start, crash of either child, end."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.needs import need, no_network

from .test_parts import GOOD, config

pytestmark = pytest.mark.root

PATIENCE_S = 15.0
IKE_BACK_S = 2.0


def eventually(probe: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not probe():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.01)


class Daemon:
    """`isthmusd` in a namespace of its own, and what can be seen of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespace = f"isth-{os.getpid()}-{directory.name[-4:]}"
        self.control = directory / "control.sock"
        self.log = directory / "log"
        self.config = config(directory, GOOD)
        self.ip("netns", "add", self.namespace, inside=False)
        self.ip("link", "set", "lo", "up")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(directory / "notify"))
        self.notify.setblocking(False)
        self.notified: list[str] = []
        self.process = self.start()

    def command(self) -> list[str]:
        """How the daemon is started."""
        return [
            *("ip", "netns", "exec", self.namespace),
            *(sys.executable, "-m", "isthmus.daemon.main"),
            *("-c", str(self.config), "--socket", str(self.control)),
        ]

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it and wait until it is ready."""
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.directory / "notify")}
        self.hear()  # what an earlier one still had to say
        self.notified.clear()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stderr=log, env=environment)
        eventually(lambda: "READY=1" in self.hear(), f"ready: {self.log.read_text()}")
        return self.process

    def hear(self) -> list[str]:
        """What the service manager has been told."""
        while True:
            try:
                self.notified += self.notify.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.notified

    def ip(self, *words: str, inside: bool = True) -> str:
        """What the ip command says."""
        where = ["-n", self.namespace] if inside else []
        return subprocess.run(
            ["ip", *where, *words], check=True, capture_output=True, text=True
        ).stdout

    def child(self, module: str) -> int | None:
        """The pid of the child that runs a module."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if module.encode() in words:
                return int(pid)
        return None

    def ask(self, verb: str) -> dict[str, object]:
        """One request on the management socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(self.control))
            client.sendall(json.dumps({"schema": "isthmus/v1", "verb": verb}).encode() + b"\n")
            found = json.loads(client.makefile().readline())
            assert isinstance(found, dict)
            return found

    def answers(self) -> bool:
        """Management answers."""
        try:
            return self.ask("status")["type"] == "status"
        except (OSError, ValueError):
            return False

    def ours(self) -> str:
        """What of ours the network has."""
        shown = self.ip("rule") + self.ip("route", "show", "table", "all")
        ours = [line for line in shown.splitlines() if "proto 145" in line]
        return "\n".join([*ours, self.ip("-o", "link", "show", "type", "tun")]).strip()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it in order."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Whatever happened, leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.notify.close()
        self.ip("netns", "del", self.namespace, inside=False)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that is ready."""
    need(no_network())
    with tempfile.TemporaryDirectory(prefix="isth-") as path:
        made = Daemon(Path(path))
        try:
            yield made
        finally:
            made.close()


def status_of(pid: int) -> dict[str, str]:
    """The lines of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_it_starts_says_so_and_takes_everything_back(daemon: Daemon) -> None:
    assert "isthmus0" in daemon.ours() and "4500" in daemon.ours()
    assert "STATUS=1 healthy" in daemon.hear()
    assert daemon.end() == 0
    assert daemon.ours() == ""
    assert "STOPPING=1" in daemon.hear()
    assert sorted(p.name for p in daemon.directory.iterdir()) == [
        *("control.sock.lock", "isthmus.toml", "log", "notify", "psk")
    ]


def test_the_ike_process_has_no_privilege(daemon: Daemon) -> None:
    pid = daemon.child("isthmus.daemon.ike")
    assert pid is not None
    status = status_of(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if "core file" in line).split()[4] == "0"


def test_the_plane_has_only_what_packets_need(daemon: Daemon) -> None:
    pid = daemon.child("isthmus.daemon.plane")
    assert pid is not None
    status = status_of(pid)
    needed = 1 << 10 | 1 << 12 | 1 << 13  # NET_BIND_SERVICE, NET_ADMIN, NET_RAW
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == needed, name
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"


def test_a_killed_ike_process_is_back_soon_and_the_plane_stays(daemon: Daemon) -> None:
    victim, plane = daemon.child("isthmus.daemon.ike"), daemon.child("isthmus.daemon.plane")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: daemon.child("isthmus.daemon.ike") not in (None, victim), "a new one")
    eventually(daemon.answers, "management answers", PATIENCE_S)
    took_s = time.monotonic() - killed
    assert daemon.child("isthmus.daemon.plane") == plane
    assert daemon.end() == 0
    # Other work on this machine may stretch it; a daemon that backs off would take far longer.
    assert took_s < IKE_BACK_S * 3, f"{took_s:.2f} s"


def test_a_killed_plane_is_started_and_set_up_again(daemon: Daemon) -> None:
    victim, ike = daemon.child("isthmus.daemon.plane"), daemon.child("isthmus.daemon.ike")
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: daemon.child("isthmus.daemon.plane") not in (None, victim), "a new one")
    eventually(lambda: daemon.ask("policy").get("policies"), "policies are there again")
    assert daemon.child("isthmus.daemon.ike") == ike


def test_children_do_not_outlive_a_killed_supervisor_and_the_next_one_cleans_up(
    daemon: Daemon,
) -> None:
    children = [daemon.child("isthmus.daemon.ike"), daemon.child("isthmus.daemon.plane")]
    daemon.end(signal.SIGKILL)

    def gone(pid: int | None) -> bool:
        try:
            return status_of(pid or 0)["State"].startswith("Z")
        except FileNotFoundError:
            return True

    for pid in children:
        eventually(lambda pid=pid: gone(pid), "the child ends")  # type: ignore[misc]
    assert "isthmus0" in daemon.ours()  # fail closed: nothing leaks meanwhile
    daemon.start()
    assert daemon.answers()
    assert daemon.end(signal.SIGINT) == 0
    assert daemon.ours() == ""


def test_a_second_daemon_is_refused_by_name(daemon: Daemon) -> None:
    again = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=30)
    assert again.returncode == 1
    assert f"another isthmusd (pid {daemon.process.pid})" in again.stderr
    elsewhere = daemon.command()
    elsewhere[-1] = str(daemon.directory / "other.sock")
    busy = subprocess.run(elsewhere, capture_output=True, text=True, timeout=30)
    assert busy.returncode == 1
    assert "E103: UDP port 500" in busy.stderr
    assert f"(pid {daemon.child('isthmus.daemon.plane')})" in busy.stderr
    assert daemon.answers()


def test_hangup_reloads_and_tells_the_service_manager(daemon: Daemon) -> None:
    before = daemon.child("isthmus.daemon.ike")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "no tunnel changed" in daemon.log.read_text(), "a reload in the log")
    text = daemon.config.read_text()
    daemon.config.write_text(f"{text}\nnonsense = 1\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "nothing was changed" in daemon.log.read_text(), "a refusal in the log")
    assert daemon.child("isthmus.daemon.ike") == before
    assert daemon.process.poll() is None and daemon.answers()


def test_what_is_to_stay_closed_does_until_somebody_opens_it(daemon: Daemon) -> None:
    text = daemon.config.read_text()
    daemon.config.write_text(f"[daemon]\nfail_closed = true\n{text}")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "reloaded" in daemon.log.read_text(), "a reload in the log")

    def run(option: str) -> int:
        return subprocess.run([*daemon.command(), option], timeout=30, check=False).returncode

    assert run("--open") == 1, "not while a daemon runs"
    assert daemon.end() == 0
    stays = daemon.ours()
    assert "isthmus0" not in stays
    assert "unreachable" in stays and "lookup 4500" in stays
    assert "stays unreachable" in daemon.log.read_text()
    daemon.config.write_text("nonsense")
    refused = subprocess.run(daemon.command(), timeout=30, check=False, capture_output=True)
    assert refused.returncode == 3 and daemon.ours() == stays
    assert run("--open") == 0 and daemon.ours() == ""
    daemon.config.write_text(f"[daemon]\nfail_closed = true\n{text}")
    assert run("--close") == 0 and daemon.ours() == stays
    daemon.start()
    assert "isthmus0" in daemon.ours()
    daemon.config.write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.log.read_text().count("reloaded") == 2, "another reload in the log")
    assert daemon.end() == 0
    assert daemon.ours() == ""
