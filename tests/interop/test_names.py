"""A peer that the configuration knows by its name: silent addresses, and one that moves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from isthmus.lab import gateways, measure, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.topology import SITE_A, SITE_B

from .support import eventually, require_root_and

pytestmark = [pytest.mark.root, pytest.mark.interop]

NAME = "vpn.example.net"
SILENT = str(SITE_A.outside4[66])
"""Nearer to us than the peer, so that it is tried first (RFC 6724); nobody has it."""
MOVED = str(SITE_B.outside4[2])


@dataclass(frozen=True, slots=True)
class Ground:
    """Both gateways, and the file that stands for DNS."""

    near: Isthmus
    hosts: Path

    def say(self, *addresses: str) -> None:
        """What the name leads to from now on."""
        lines = ["127.0.0.1 localhost", *(f"{address} {NAME}" for address in addresses)]
        # Written in place: it is mounted over /etc/hosts.
        self.hosts.write_text("\n".join(lines) + "\n", encoding="ascii")

    def remote(self) -> str:
        """Where the peer is just now."""
        return str(self.near.tunnel()["phase1"]["remote"]).rpartition(":")[0]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Site B listens; site A knows it by name, and finds it dead soon."""
    require_root_and()
    with topology.two_sites(tmp_path) as world:
        hosts = tmp_path / "hosts"
        hosts.write_text("", encoding="ascii")
        world.run(None, ["mount", "--bind", str(hosts), "/etc/hosts"])
        psk = gateways.fresh_psk()
        far = gateways.start_isthmus(world, SITE_B, tmp_path / SITE_B.gateway, psk, "policy")
        near = Isthmus(world, SITE_A.gateway, tmp_path / SITE_A.gateway)
        found = Ground(near, hosts)
        found.say(SILENT, SITE_B.outer4)
        dpd = '{ every = "1s", timeout = "3s", action = "reconnect" }'
        tunnel = gateways.tunnel(SITE_A, psk, "policy")
        near.write(replace(tunnel, peer=NAME, settings={"dpd": dpd}))
        near.start()
        yield found
        print(f"--- a\n{near.log_tail(80)}\n--- b\n{far.log_tail(60)}")


def answered(ground: Ground) -> bool:
    """Whether a host at site B answers."""
    ping = measure.ping(ground.near.world, SITE_A.host, SITE_B.host4, count=1, wait_s=1)
    return ping.received == 1


def test_a_silent_address_is_passed_over_and_a_move_is_followed(ground: Ground) -> None:
    """The first packet waits for the second address; later the peer is found at a third."""
    world = ground.near.world
    first = measure.ping(world, SITE_A.host, SITE_B.host4, count=1, wait_s=9)
    assert first.received == 1, "held while the silent address was tried"
    assert ground.remote() == SITE_B.outer4
    events = [event["event"] for event in ground.near.events()]
    assert events.count("phase1.next_address") == 1
    ground.say(MOVED)
    batch = f"address del {SITE_B.outer4}/24 dev wan\naddress add {MOVED}/24 dev wan\n"
    batch += f"route replace default via {SITE_B.outside4[254]}\n"
    world.run(None, ["ip", "-netns", SITE_B.gateway, "-batch", "-"], input_text=batch)
    eventually("the peer is reached where it is now", lambda: answered(ground), timeout_s=60)
    assert ground.remote() == MOVED
