"""Namespaces with a plane in each, and what a test needs to move packets between them."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.needs import no_network
from tests.plane.client import Message, PlaneClient, endpoint, selectors, ts

AES_GCM_16 = 20
AES_CBC = 12
SHA2_256_128 = 12
CHACHA20_POLY1305 = 28

T = TypeVar("T")

_numbers = itertools.count()


def eventually(what: str, probe: Callable[[], T], *, within_s: float = 10.0) -> T:
    """The first true answer of `probe`; fails, naming `what`, when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)
    return answer


def sh(namespace: str, *command: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace and give what it said; raises CalledProcessError."""
    return subprocess.run(
        ["ip", "netns", "exec", namespace, *command],
        check=True,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


@dataclass
class Site:
    """One namespace, its plane and a client of it."""

    namespace: str
    socket_path: str
    outer_v4: str
    outer_v6: str
    inner_v4: str
    inner_v6: str
    workers: int
    tallies: int | None = None
    """Descriptor of memory that outlives the plane."""
    plane: "subprocess.Popen[bytes]" = field(init=False)
    client: PlaneClient = field(init=False)

    def start_plane(self) -> None:
        """Start the plane and connect."""
        code = (
            "import sys; from isthmus._dataplane import serve; "
            "serve(sys.argv[1], workers=int(sys.argv[2]), tallies=int(sys.argv[3]) or None)"
        )
        command = [sys.executable, "-c", code, self.socket_path, str(self.workers)]
        command.append(str(self.tallies or 0))
        self.plane = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            pass_fds=[] if self.tallies is None else [self.tallies],
        )
        self.client = self.connect()

    def connect(self) -> PlaneClient:
        """A new client, which replaces the one before."""
        end = time.monotonic() + 10.0
        while True:
            try:
                return PlaneClient(self.socket_path)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > end or self.plane.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop_plane(self) -> int:
        """End the plane with SIGTERM and give its exit status."""
        self.client.close()
        if self.plane.poll() is None:
            self.plane.send_signal(signal.SIGTERM)
        return self.plane.wait(timeout=10.0)

    def sh(self, *command: str, timeout_s: float = 30.0) -> str:
        """Run a command in the namespace; its output."""
        return sh(self.namespace, *command, timeout_s=timeout_s).stdout

    def popen(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command in the namespace."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def ping(self, destination: str, *extra: str, count: int = 3) -> bool:
        """Did every ping come back?"""
        options = ["-c", str(count), "-i", "0.05", "-W", "2", *extra]
        result = subprocess.run(
            ["ip", "netns", "exec", self.namespace, "ping", *options, destination],
            capture_output=True,
            text=True,
            timeout=60.0,
            check=False,
        )
        return result.returncode == 0 and f"{count} received" in result.stdout

    def attach(self, mtu: int = 1400) -> None:
        """Attach the TUN device and route the other site's inner addresses into it."""
        self.client.ask("attach_interface", interface=1, name="tun0", mtu=mtu, bypass_mark=0)
        self.sh("ip", "link", "set", "tun0", "mtu", str(mtu), "up")
        self.sh("ip", "addr", "add", f"{self.inner_v4}/16", "dev", "tun0")
        self.sh("ip", "-6", "addr", "add", f"{self.inner_v6}/48", "dev", "tun0", "nodad")


@dataclass
class Pair:
    """Two sites on one wire."""

    left: Site
    right: Site
    spis: "itertools.count[int]" = field(default_factory=lambda: itertools.count(0x1000))

    @property
    def sites(self) -> tuple[tuple[Site, Site], tuple[Site, Site]]:
        """Each site with its peer."""
        return (self.left, self.right), (self.right, self.left)

    def listen(self) -> None:
        """Open ports 500 and 4500 of both families on both sides."""
        for site, _ in self.sites:
            ports = [
                {"address": any_address, "port": port, "nat_t": port == 4500}
                for any_address in ("0.0.0.0", "::")
                for port in (500, 4500)
            ]
            site.client.ask("listen", ports=ports, mark=0x1234)

    def policies(self, **changes: Any) -> None:
        """One protect policy on each side for all inner addresses."""
        for site, peer in self.sites:
            site.client.ask("set_policies", policies=[policy(site, peer, **changes)])

    def tunnel(self, **changes: Any) -> None:
        """Install one SA in each direction on both sides."""
        for sender, receiver in self.sites:
            spi = next(self.spis)
            sa = outbound_sa(sender, receiver, spi, **changes)
            receiver.client.ask("install_sa", sa=mirrored(sa))
            sender.client.ask("install_sa", sa=sa)

    def ready(self, mtu: int = 1400, **sa_changes: Any) -> None:
        """Everything for packets to pass."""
        self.listen()
        for site, _ in self.sites:
            site.attach(mtu)
        self.policies()
        self.tunnel(**sa_changes)


def inner_selectors(site: Site, peer: Site) -> Message:
    """All IPv4 and IPv6 addresses, from `site` to `peer`."""
    everything = [
        ts("0.0.0.0", "255.255.255.255"),
        ts("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ]
    del site, peer
    return selectors(everything, everything)


def policy(site: Site, peer: Site, **changes: Any) -> Message:
    """A protect policy with a roomy hold queue."""
    values: Message = {
        "id": 1,
        "name": "site/net",
        "interface": 1,
        "action": "protect",
        "selectors": inner_selectors(site, peer),
        "hold_packets_max": 64,
        "hold_octets_max": 131072,
        "hold_age_ms": 10000,
        "on_no_sa": "hold",
        "clamp_mss": True,
    }
    return values | changes


def outbound_sa(sender: Site, receiver: Site, spi: int, **changes: Any) -> Message:
    """An outbound SA of `sender`; AES-256-GCM-16 in UDP over IPv4 unless said otherwise."""
    changes = dict(changes)
    v6 = changes.pop("outer_v6", False)
    encap = changes.pop("encap", True)
    port = 4500 if encap else 0
    local, remote = (
        (sender.outer_v6, receiver.outer_v6) if v6 else (sender.outer_v4, receiver.outer_v4)
    )
    values: Message = {
        "direction": "out",
        "spi": spi,
        "policy": 1,
        "name": "site/net",
        "encr": AES_GCM_16,
        "key_bits": 256,
        "integ": 0,
        "encr_key": spi.to_bytes(4, "big") * 9,
        "integ_key": b"",
        "esn": True,
        "replay_window": 1024,
        "local": endpoint(local, port),
        "remote": endpoint(remote, port),
        "encap": encap,
        "selectors": inner_selectors(sender, receiver),
        "limits": {},
        "df": "copy",
        "standby": False,
        "tag": b"tag",
    }
    return values | changes


def mirrored(sa: Message) -> Message:
    """The same SA as its receiver installs it."""
    swapped = selectors(sa["selectors"]["remote"], sa["selectors"]["local"])
    return sa | {
        "direction": "in",
        "local": sa["remote"],
        "remote": sa["local"],
        "selectors": swapped,
    }


def why_not() -> str | None:
    """Why these tests cannot run here, if they cannot."""
    if reason := no_network():
        return reason
    if shutil.which("ip") is None or shutil.which("ping") is None:
        return "ip (iproute2) or ping (iputils-ping) is not installed"
    return None


@contextlib.contextmanager
def pair_of_planes(directory: Path, workers: int = 0) -> Iterator[Pair]:
    """Two namespaces joined by a veth, a plane in each; all gone at the end."""
    number = next(_numbers)
    names = [f"isp{os.getpid()}-{number}{side}" for side in "lr"]
    sites = [
        Site(
            namespace=name,
            socket_path=str(directory / f"{side}.sock"),
            outer_v4=f"192.0.2.{index}",
            outer_v6=f"2001:db8::{index}",
            inner_v4=f"10.77.{index}.1",
            inner_v6=f"fd77:0:0:{index}::1",
            workers=workers,
        )
        for index, (name, side) in enumerate(zip(names, "lr", strict=True), start=1)
    ]
    pair = Pair(*sites)
    made: list[str] = []
    started: list[Site] = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            # A device that comes up asks for routers for a while, which some tests would count.
            quiet = "net.ipv6.conf.default.router_solicitations=0"
            subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", quiet], check=True)
            made.append(name)
        wire = ["type", "veth", "peer", "name", "wire", "netns", names[1]]
        sh(names[0], "ip", "link", "add", "wire", *wire)
        for site in sites:
            site.sh("ip", "link", "set", "lo", "up")
            site.sh("ip", "link", "set", "wire", "up")
            site.sh("ip", "addr", "add", f"{site.outer_v4}/24", "dev", "wire")
            site.sh("ip", "-6", "addr", "add", f"{site.outer_v6}/64", "dev", "wire", "nodad")
        for site in sites:
            site.start_plane()
            started.append(site)
        yield pair
    finally:
        for site in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                site.stop_plane()
            if site.plane.poll() is None:
                site.plane.kill()
                site.plane.wait(timeout=10.0)
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)
