"""What one can do with a lab: the functions behind `isthmus lab`.

A lab stands on this machine in namespaces of its own, is known by a name, and needs no second
machine; two labs may stand side by side. All functions raise LabError with a sentence for the user,
or LabNotPermitted when the system refuses namespaces.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from isthmus.lab import capture, espview, gateways, state, strongswan, topology
from isthmus.lab.daemon import Isthmus
from isthmus.lab.gateways import Mode, Peer
from isthmus.lab.namespaces import LabError, LabNotPermitted, World
from isthmus.lab.packets import Esp, Packet
from isthmus.lab.strongswan import Charon
from isthmus.lab.topology import SITE_A, SITE_B, SITES

__all__ = [
    "Lab",
    "LabError",
    "LabNotPermitted",
    "Mode",
    "Peer",
    "Seen",
    "down",
    "find",
    "names",
    "up",
]

DEFAULT_NAME: Final = "default"


@dataclass(frozen=True, slots=True)
class Seen:
    """A captured packet and, when it was asked for and could be read, its inside."""

    packet: Packet
    inside: Packet | None = None
    unreadable: str = ""
    """Why the inside is not shown, when decryption was asked for."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running lab."""

    name: str
    peer: Peer
    mode: Mode
    directory: Path
    world: World
    gateway_a: Isthmus
    gateway_b: Isthmus | Charon

    @property
    def isthmus_gateways(self) -> tuple[Isthmus, ...]:
        """The gateways that run isthmusd."""
        both = (self.gateway_a, self.gateway_b)
        return tuple(gateway for gateway in both if isinstance(gateway, Isthmus))

    def run(self, host: str, argv: Sequence[str]) -> int:
        """Run a command on a host of the lab, on the user's terminal; returns its status."""
        _known(host)
        return self.world.foreground(host, argv)

    def capture(self, host: str, *, count: int = 0, decrypt: bool = False) -> Iterator[Seen]:
        """Packets as they pass a host of the lab; ends after `count` of them (0: never)."""
        _known(host)
        both = host != topology.INTERNET
        for packet in capture.live(self.world, host, count=count, both=both):
            if decrypt and isinstance(packet.content, Esp):
                yield self._opened(packet, packet.content)
            else:
                yield Seen(packet)

    def close(self) -> None:
        """End every process of the lab and remove what it wrote."""
        self.world.close()
        state.forget(self.name)

    def _opened(self, packet: Packet, esp: Esp) -> Seen:
        # Read again each time: a rekey adds keys while the capture runs.
        keys = espview.read_keys(gateway.keys for gateway in self.isthmus_gateways)
        try:
            return Seen(packet, inside=espview.open_esp(esp, keys))
        except espview.CannotRead as error:
            return Seen(packet, unreadable=str(error))


def up(
    name: str = DEFAULT_NAME,
    *,
    peer: Peer = "isthmus",
    mode: Mode = "policy",
    attached: bool = False,
    rootless: bool | None = None,
) -> Lab:
    """Build two sites and start their gateways; returns when both are armed.

    An `attached` lab ends with this process, whatever ends it; others live until `down`.
    `rootless` None: in a user namespace unless this process is root's.
    """
    if peer == "strongswan" and mode == "route":
        raise LabError(
            "A lab with strongSwan is policy-based.",
            "Its user-space ESP needs an address of its own inside the local selector.",
            "Use --mode policy.",
        )
    if peer == "strongswan" and (absent := strongswan.missing()):
        raise LabError("strongSwan is not installed.", fix=f"apt install {' '.join(absent)}")
    directory = state.directory(name)
    if name in state.names():
        if state.read(name).holder.alive:
            raise LabError(
                f"The lab {name} is already up.",
                fix=f"Take it down with `isthmus lab down --name {name}`, or choose another name.",
            )
        state.forget(name)
    directory.mkdir(mode=0o700, exist_ok=True)
    try:
        world = World.create(directory, attached=attached, rootless=rootless)
    except LabError:
        state.forget(name)
        raise
    try:
        state.write(state.Record(name, peer, mode, world.holder, world.rootless))
        topology.build(world)
        return _furnish(name, directory, world, peer, mode)
    except BaseException:
        world.close()
        state.forget(name)
        raise


def find(name: str = DEFAULT_NAME) -> Lab:
    """The running lab of this name."""
    record = state.read(name)
    directory = state.directory(name)
    world = World.attach(directory, record.holder, rootless=record.rootless)
    peer: Peer = "strongswan" if record.peer == "strongswan" else "isthmus"
    mode: Mode = "route" if record.mode == "route" else "policy"
    place_b = directory / SITE_B.gateway
    return Lab(
        name,
        peer,
        mode,
        directory,
        world,
        _gateway(world, directory),
        Charon(world, SITE_B.gateway, place_b)
        if peer == "strongswan"
        else Isthmus(world, SITE_B.gateway, place_b, keys_exported=True),
    )


def down(name: str = DEFAULT_NAME) -> None:
    """Take a lab down; nothing of it stays."""
    record = state.read(name)
    if record.holder.alive:
        World.attach(state.directory(name), record.holder, rootless=record.rootless).close()
    state.forget(name)


def names() -> tuple[str, ...]:
    """Names of the labs that are up."""
    return tuple(name for name in state.names() if state.read(name).holder.alive)


def _gateway(world: World, directory: Path) -> Isthmus:
    return Isthmus(world, SITE_A.gateway, directory / SITE_A.gateway, keys_exported=True)


def _furnish(name: str, directory: Path, world: World, peer: Peer, mode: Mode) -> Lab:
    psk = gateways.fresh_psk()

    def isthmus(site: topology.Site) -> Isthmus:
        place = directory / site.gateway
        return gateways.start_isthmus(world, site, place, psk, mode, keys_exported=True)

    with ThreadPoolExecutor(len(SITES)) as pool:
        starting_a = pool.submit(isthmus, SITE_A)
        starting_b = (
            pool.submit(gateways.start_strongswan, world, SITE_B, directory / SITE_B.gateway, psk)
            if peer == "strongswan"
            else pool.submit(isthmus, SITE_B)
        )
        return Lab(name, peer, mode, directory, world, starting_a.result(), starting_b.result())


def _known(host: str) -> None:
    if host not in topology.HOSTS:
        raise LabError(
            f"There is no host {host} in the lab.", fix=f"Use one of {', '.join(topology.HOSTS)}."
        )
