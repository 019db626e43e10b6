"""R-32: in twelve transitions of a gateway's life, under traffic from both sides and in both
families, no packet with an inside address is seen between the gateways.

One capture runs all the while; which transition a packet belongs to is told by its time. At the
very end everything is opened, and then the same traffic does leave in clear: the witness that
silence before meant something.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.lab import capture, gateways, measure, topology
from isthmus.lab.daemon import Isthmus, Tunnel, command
from isthmus.lab.gateways import Mode
from isthmus.lab.namespaces import World
from isthmus.lab.packets import Esp, Packet, read_pcap
from isthmus.lab.topology import INSIDE, INTERNET, Site

from .fleet import Fleet, processes
from .support import SITE_A, SITE_B, eventually, require_root_and
from .wire import in_clear, repeats

pytestmark = [pytest.mark.root, pytest.mark.interop, pytest.mark.slow]

IDLE_S = 2
PACKETS_PER_SECOND = 100
"""Of each of four flows: from both hosts, in both families."""
SNAP_OCTETS = 160
FAIL_CLOSED = "[daemon]\nfail_closed = true\n"
DPD = '{ every = "1s", timeout = "3s" }'
PATIENCE_S = 60.0


@dataclass
class Scene:
    """Two gateways and the traffic between the networks behind them."""

    world: World
    near: Isthmus
    far: Isthmus
    mode: Mode
    psk: str
    traffic: ExitStack = field(default_factory=ExitStack)

    @property
    def gateways(self) -> tuple[tuple[Isthmus, Site], ...]:
        """Both, each with its site."""
        return (self.near, SITE_A), (self.far, SITE_B)

    def write(self, replay_window: int = 1024) -> None:
        """What both gateways are told."""
        for gateway, site in self.gateways:
            gateway.write(self._tunnel(site, replay_window), others=FAIL_CLOSED)

    def _tunnel(self, site: Site, replay_window: int) -> Tunnel:
        told = gateways.tunnel(site, self.psk, self.mode)
        rules = tuple(replace(rule, settings={}) for rule in told.rules)
        settings = {"dpd": DPD, "idle": f'"{IDLE_S}s"', "replay_window": str(replay_window)}
        return replace(told, rules=rules, settings=settings)

    def begin_traffic(self) -> None:
        """Four flows, from now on."""
        for site, far in ((SITE_A, SITE_B), (SITE_B, SITE_A)):
            for family in (4, 6):
                self.begin_flow(site, far.host_address(family))

    def begin_flow(self, site: Site, target: str) -> None:
        """One of them."""
        pinging = measure.start_ping(
            self.world, site.host, target, interval_s=1 / PACKETS_PER_SECOND
        )
        self.traffic.callback(pinging.abandon)

    def end_traffic(self) -> None:
        """Silence."""
        self.traffic.close()

    def rule(self, gateway: Isthmus) -> dict[str, Any]:
        """A gateway's only rule."""
        (found,) = gateway.tunnel()["rules"]
        assert isinstance(found, dict)
        return found

    def spis(self) -> set[str]:
        """Inbound SPIs at the near gateway."""
        return {child["spi_in"] for child in self.rule(self.near)["children"]}

    def answered(self) -> bool:
        """A ping of each family comes back."""
        return all(
            measure.ping(
                self.world, SITE_A.host, SITE_B.host_address(family), count=1, wait_s=1.0
            ).received
            for family in (4, 6)
        )

    def wait_answered(self) -> None:
        """Until traffic passes."""
        eventually("traffic passes", self.answered, timeout_s=PATIENCE_S, every_s=0.1)

    def option(self, gateway: Isthmus, option: str) -> None:
        """Run `isthmusd` with an option that ends at once."""
        files = ["-c", str(gateway.configuration), "--socket", str(gateway.control)]
        self.world.run(gateway.namespace, [*command("isthmusd"), *files, option])


def start(scene: Scene) -> None:
    """Traffic knocks before the daemons run, and while they start."""
    scene.begin_traffic()
    time.sleep(0.5)
    for gateway, _ in scene.gateways:
        gateway.start()


def first_packet_is_held(scene: Scene) -> None:
    """A peer that does not answer: nothing but holding can be done."""
    scene.end_traffic()
    scene.far.stop()
    scene.near.request("down", tunnel=scene.near.tunnel()["name"], hold=False)
    scene.begin_flow(SITE_A, SITE_B.host4)
    scene.begin_flow(SITE_A, SITE_B.host6)
    eventually("it negotiates", lambda: scene.rule(scene.near)["state"] == "negotiating")
    time.sleep(1.0)


def up(scene: Scene) -> None:
    """The peer is there, and what was held is released."""
    scene.far.start()
    scene.wait_answered()
    scene.end_traffic()
    scene.begin_traffic()


def rekey(scene: Scene) -> None:
    """Both phases are renewed by both sides."""
    for gateway, _ in scene.gateways:
        before = scene.spis()
        gateway.do("rekey", gateway.tunnel()["name"], "--phase", "2")
        gateway.do("rekey", gateway.tunnel()["name"], "--phase", "1")
        eventually("another pair", lambda before=before: scene.spis() - before)  # type: ignore[misc]
    assert scene.answered()


def idle(scene: Scene) -> None:
    """Silence closes phase 2."""
    scene.end_traffic()
    eventually("it is idle", lambda: scene.rule(scene.near)["state"] == "idle", timeout_s=30.0)


def back(scene: Scene) -> None:
    """The next packets bring it back."""
    scene.begin_traffic()
    scene.wait_answered()


def down(scene: Scene) -> None:
    """Held down at both ends, in spite of traffic; then up again."""
    for gateway, _ in scene.gateways:
        gateway.do("down", gateway.tunnel()["name"])
    time.sleep(1.0)
    assert not scene.answered()
    # The first one is refused: the other end is held down still.
    for gateway, _ in scene.gateways:
        gateway.ask("up", gateway.tunnel()["name"])
    scene.wait_answered()


def reload(scene: Scene) -> None:
    """Another replay window at both ends, which takes another pair."""
    before = scene.spis()
    scene.write(2048)
    for gateway, _ in scene.gateways:
        gateway.do("reload")
    eventually("another pair", lambda: scene.spis() - before, timeout_s=30.0)
    scene.wait_answered()


def the_ike_process_dies(scene: Scene) -> None:
    """And another takes over."""
    kill(scene, "ike")


def the_packet_process_dies(scene: Scene) -> None:
    """And another takes over."""
    kill(scene, "plane")


def kill(scene: Scene, kind: str) -> None:
    """One process of the near gateway."""
    victim = processes(scene.near)[kind]
    os.kill(victim, signal.SIGKILL)
    eventually(
        "another runs",
        lambda: processes(scene.near).get(kind) not in (None, victim),
        timeout_s=30.0,
    )
    eventually("it answers", scene.near.answers, timeout_s=30.0)
    scene.wait_answered()


def the_peer_reboots(scene: Scene) -> None:
    """Nothing of it is left, and it starts again; only this side has traffic."""
    scene.end_traffic()
    scene.begin_flow(SITE_A, SITE_B.host4)
    scene.begin_flow(SITE_A, SITE_B.host6)
    Fleet.kill(scene.far)
    time.sleep(1.0)
    scene.far.start()
    scene.wait_answered()


def stop(scene: Scene) -> None:
    """A clean stop of both, under traffic."""
    scene.end_traffic()
    scene.begin_traffic()
    for gateway, _ in scene.gateways:
        gateway.stop()
    time.sleep(1.0)


TRANSITIONS: tuple[Callable[[Scene], None], ...] = (
    start,
    first_packet_is_held,
    up,
    rekey,
    idle,
    back,
    down,
    reload,
    the_ike_process_dies,
    the_packet_process_dies,
    the_peer_reboots,
    stop,
)
NAMES = tuple(transition.__name__ for transition in TRANSITIONS)
WITNESS = "opened"


@dataclass
class Played:
    """What was seen, and when each transition was."""

    packets: list[Packet]
    windows: dict[str, tuple[float, float]]

    def during(self, name: str) -> list[Packet]:
        """What was seen then."""
        begun, ended = self.windows[name]
        return [packet for packet in self.packets if begun <= packet.at_s < ended]


@pytest.fixture(scope="module", params=["policy", "route"])
def played(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Played]:
    """All transitions in their order, once for each mode."""
    require_root_and()
    directory = short_directory / f"clear-{request.param}"
    directory.mkdir()
    with topology.two_sites(directory) as world:
        near, far = (Isthmus(world, s.gateway, directory / s.letter) for s in (SITE_A, SITE_B))
        scene = Scene(world, near, far, request.param, gateways.fresh_psk())
        yield play(scene, directory)


def play(scene: Scene, directory: Path) -> Played:
    """Go through the table under one capture."""
    scene.write()
    for gateway, _ in scene.gateways:
        scene.option(gateway, "--close")
    wire = capture.start(scene.world, INTERNET, directory / "wire.pcap", snap_octets=SNAP_OCTETS)
    windows: dict[str, tuple[float, float]] = {}

    @contextmanager
    def window(name: str) -> Iterator[None]:
        begun = time.time()
        yield
        windows[name] = (begun, time.time())

    try:
        for transition in TRANSITIONS:
            with window(transition.__name__):
                transition(scene)
        with window(WITNESS):
            for gateway, _ in scene.gateways:
                scene.option(gateway, "--open")
            time.sleep(0.5)
        dropped = wire.stop()
        assert dropped == 0, "a capture with holes proves nothing"
    finally:
        wire.abandon()
        scene.end_traffic()
        for gateway, _ in scene.gateways:
            gateway.stop()
    return Played(list(read_pcap(wire.path)), windows)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_seen_in_clear(played: Played, name: str) -> None:
    seen = played.during(name)
    esp = sum(isinstance(packet.content, Esp) for packet in seen)
    begun, ended = played.windows[name]
    print(f"{name}: {ended - begun:.1f} s, {len(seen)} packets on the wire, {esp} of them ESP")
    assert in_clear(seen, INSIDE) == []


def test_nothing_is_seen_in_clear_between_them_either(played: Played) -> None:
    begun, ended = played.windows[NAMES[0]][0], played.windows[NAMES[-1]][1]
    seen = [packet for packet in played.packets if begun <= packet.at_s < ended]
    assert in_clear(seen, INSIDE) == []
    assert sum(isinstance(packet.content, Esp) for packet in seen) > 10 * PACKETS_PER_SECOND
    assert repeats(seen) == {}


def test_the_same_traffic_is_seen_once_all_is_open(played: Played) -> None:
    assert len(in_clear(played.during(WITNESS), INSIDE)) > PACKETS_PER_SECOND / 5
