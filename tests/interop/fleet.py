"""Many tunnels between two Isthmus gateways, as 200 peers would make them: each has addresses of
its own at both ends, a network apart from the others', and leads to one address of the far host.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from isthmus.lab import measure, topology
from isthmus.lab.daemon import Isthmus, Tunnel
from isthmus.lab.namespaces import World
from isthmus.lab.topology import INTERNET, Site

from . import numbered
from .numbered import target, target_lines
from .support import SITE_A, SITE_B, eventually

_OUTER = {"a": IPv4Address("198.18.0.1"), "b": IPv4Address("198.19.0.1")}
"""RFC 2544's range for tests: one /24 for each tunnel."""
PROCESSES = {"ike": b"isthmus.daemon.ike", "plane": b"isthmus.daemon.plane"}


def outer(site: Site, number: int) -> str:
    """A tunnel's address at one end."""
    return str(_OUTER[site.letter] + 256 * number)


def tunnel(site: Site, number: int, settings: Mapping[str, str]) -> Tunnel:
    """One end of a tunnel."""
    far = SITE_B if site is SITE_A else SITE_A
    return replace(
        numbered.tunnel(site, number),
        peer=outer(far, number),
        local_id="",
        remote_id="",
        settings={"local_address": f'"{outer(site, number)}"', **settings},
    )


def slowness() -> float:
    """How much longer than on a processor of its own something takes here and now: a limit in
    seconds is one for a machine that does nothing else."""
    asked_s = 0.2
    wall, own = time.perf_counter(), time.thread_time()
    while time.thread_time() - own < asked_s:
        pass
    return max(1.0, (time.perf_counter() - wall) / asked_s)


def processes(daemon: Isthmus) -> dict[str, int]:
    """The pids, as seen from here, of a gateway's IKE process and plane: those that run."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            group = os.getpgid(int(entry.name))
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        for kind, word in PROCESSES.items():
            if word in words and daemon.pid in (group, _group_of(parent)):
                found[kind] = int(entry.name)
    return found


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


@dataclass
class Fleet:
    """Both gateways."""

    world: World
    near: Isthmus
    far: Isthmus
    count: int
    directory: Path

    @property
    def targets(self) -> Sequence[str]:
        """Where each tunnel leads to."""
        return [target(n) for n in range(self.count)]

    def daemon(self, site: Site) -> Isthmus:
        """The gateway of a site."""
        return self.near if site is SITE_A else self.far

    def bring_up(self) -> None:
        """One packet for each tunnel, until all stand."""
        pinging = measure.start_ping(self.world, SITE_A.host, *self.targets, interval_s=0.005)
        try:
            self.await_control(self.near)
            assert pinging.finish().lost == ()
        finally:
            pinging.abandon()

    def await_control(self, daemon: Isthmus) -> None:
        """Wait until every tunnel stands by what a gateway knows."""
        eventually(
            f"every tunnel is under control in {daemon.namespace}",
            lambda: self.controlled(daemon) == self.count,
            timeout_s=60.0,
            every_s=0.05,
        )

    @staticmethod
    def kill(daemon: Isthmus) -> None:
        """All its processes at once; its children end with it."""
        left = processes(daemon).values()
        daemon.kill()
        eventually("nothing of it runs", lambda: not any(Path(f"/proc/{p}").exists() for p in left))

    @staticmethod
    def spis(daemon: Isthmus) -> set[str]:
        """The inbound SPIs of a gateway's pairs."""
        return {
            child["spi_in"]
            for found in daemon.status()["tunnels"]
            for rule in found["rules"]
            for child in rule["children"]
        }

    @staticmethod
    def controlled(daemon: Isthmus) -> int:
        """How many of a gateway's tunnels have a phase 1 and a pair of phase 2 of its own; 0 while
        it does not answer."""
        return daemon.answers() and sum(
            found["phase1"]["state"] in ("up", "rekeying")
            and any(c["state"] in ("installed", "rekeying") for c in found["rules"][0]["children"])
            for found in daemon.status()["tunnels"]
        )


@contextmanager
def fleet(
    directory: Path, count: int, settings: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """A world of its own with so many tunnels between two gateways that run. `settings` are further
    keys of every tunnel."""
    with topology.two_sites(directory) as world:
        _addresses(world, count)
        gateways = [Isthmus(world, s.gateway, directory / s.letter) for s in (SITE_A, SITE_B)]
        for gateway, site in zip(gateways, (SITE_A, SITE_B), strict=True):
            gateway.write(*(tunnel(site, n, settings or {}) for n in range(count)))
        try:
            for gateway in gateways:
                gateway.start()
            yield Fleet(world, gateways[0], gateways[1], count, directory)
        finally:
            for gateway in gateways:
                gateway.stop()


def _addresses(world: World, count: int) -> None:
    batches = {SITE_B.host: [target_lines("add", count)]}
    for site in (SITE_A, SITE_B):
        batches[site.gateway] = [f"address add {outer(site, n)}/32 dev wan" for n in range(count)]
    batches[INTERNET] = [
        f"route add {outer(site, 0).rsplit('.', 2)[0]}.0.0/16 via {site.outer4}"
        for site in (SITE_A, SITE_B)
    ]
    for namespace, lines in batches.items():
        text = "\n".join(lines) + "\n"
        world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=text)
