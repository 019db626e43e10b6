"""The ways to join two sites that are measured beside each other.

Each stands in five namespaces (two hosts, two gateways and a router between them), as in
`isthmus lab`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench import openvpn, peers, wireguard
from bench.processes import family
from isthmus.lab import gateways, measure, strongswan, topology
from isthmus.lab.gateways import Mode
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.server import Server
from isthmus.lab.topology import SITE_A, SITE_B, SITES

NO_VPN = "no VPN"
ISTHMUS = "Isthmus"
STRONGSWAN = "strongSwan kernel-libipsec"
OPENVPN = "OpenVPN"
WIREGUARD_GO = "wireguard-go"
BORINGTUN = "boringtun"

AES128, AES256, CHACHA = "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"
CIPHERS = (AES128, AES256, CHACHA)
_ESP = {AES128: "aes128gcm16", AES256: "aes256gcm16", CHACHA: "chacha20poly1305"}
_IKE = {
    AES128: "aes128gcm16-prfsha256-x25519",
    AES256: "aes256gcm16-prfsha384-x25519",
    CHACHA: "chacha20poly1305-prfsha256-x25519",
}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a way is set up; nobody enciphers where there is no VPN."""

    cipher: str
    mode: Mode = "policy"

    def __str__(self) -> str:
        return self.cipher + (", route-based" if self.mode == "route" else "")


_Opener: TypeAlias = Callable[[World, Path, Setup], list[Server]]


@dataclass(frozen=True, slots=True)
class Road:
    """Two sites that are joined."""

    world: World
    processes: tuple[int, ...]
    """Of the VPN's daemons on both gateways."""


@dataclass(frozen=True, slots=True)
class Way:
    """One subject: its name, what it can be set up as, and how."""

    name: str
    setups: tuple[Setup, ...]
    missing: Callable[[], str]
    """What to install, or "" when everything is there."""
    _open: _Opener

    @contextmanager
    def joined(self, directory: Path, setup: Setup) -> Iterator[Road]:
        """Two sites that reach each other this way. Raises LabError when they do not."""
        with topology.two_sites(directory) as world:
            servers = self._open(world, directory, setup)
            for family_ in (4, 6):
                found = measure.ping(
                    world, SITE_A.host, SITE_B.host_address(family_), count=3, interval_s=0.1
                )
                if not found.received:
                    raise LabError(f"{self.name}: no ping over IPv{family_} came back")
            pids = [pid for server in servers if server.pid for pid in family(server.pid)]
            yield Road(world, tuple(pids))


def _in_clear(world: World, directory: Path, setup: Setup) -> list[Server]:
    topology.route_in_clear(world)
    return []


def _by_isthmus(world: World, directory: Path, setup: Setup) -> list[Server]:
    psk = gateways.fresh_psk()
    daemons = [
        gateways.start_isthmus(
            world,
            site,
            directory / site.gateway,
            psk,
            setup.mode,
            proposals=(_IKE[setup.cipher],),
            rule_proposals=(_ESP[setup.cipher],),
        )
        for site in SITES
    ]
    daemons[0].request("up", tunnel=gateways.tunnel_name(SITE_A))
    return list(daemons)


def _by_strongswan(world: World, directory: Path, setup: Setup) -> list[Server]:
    psk = gateways.fresh_psk()
    charons = [
        gateways.start_strongswan(
            world,
            site,
            directory / site.gateway,
            psk,
            proposals=(_IKE[setup.cipher],),
            rule_proposals=(_ESP[setup.cipher],),
        )
        for site in SITES
    ]
    charons[0].initiate(gateways.RULE)
    return list(charons)


def _by_openvpn(world: World, directory: Path, setup: Setup) -> list[Server]:
    return list(openvpn.join(world, directory, _found(peers.OPENVPN), setup.cipher))


def _by_wireguard_go(world: World, directory: Path, setup: Setup) -> list[Server]:
    return list(wireguard.join(world, directory, [_found(peers.WIREGUARD_GO), "-f"]))


def _by_boringtun(world: World, directory: Path, setup: Setup) -> list[Server]:
    argv = [_found(peers.BORINGTUN), "--foreground", "--disable-drop-privileges"]
    return list(wireguard.join(world, directory, argv))


def _found(name: str) -> str:
    path = peers.program(name)
    if path is None:
        raise LabError(f"{name} is not here")
    return path


def _needs(name: str, fix: str) -> Callable[[], str]:
    return lambda: "" if peers.program(name) else fix


_EACH = tuple(Setup(cipher) for cipher in CIPHERS)
WAYS = (
    Way(NO_VPN, (Setup(""),), lambda: "", _in_clear),
    Way(ISTHMUS, (*_EACH, Setup(AES128, "route")), lambda: "", _by_isthmus),
    Way(STRONGSWAN, _EACH, lambda: " ".join(strongswan.missing()), _by_strongswan),
    Way(OPENVPN, _EACH, _needs(peers.OPENVPN, "openvpn"), _by_openvpn),
    Way(
        WIREGUARD_GO,
        (Setup(CHACHA),),
        _needs(peers.WIREGUARD_GO, "make bench-peers"),
        _by_wireguard_go,
    ),
    Way(BORINGTUN, (Setup(CHACHA),), _needs(peers.BORINGTUN, "make bench-peers"), _by_boringtun),
)


def setups(way: Way, ciphers: tuple[str, ...], *, routes: bool = True) -> list[Setup]:
    """What of a way's set-ups was asked for; a way with one cipher only has no choice."""
    if len(way.setups) == 1:
        return list(way.setups)
    return [s for s in way.setups if s.cipher in ciphers and (routes or s.mode == "policy")]
