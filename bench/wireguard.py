"""A userspace WireGuard as a gateway of a lab: wireguard-go or boringtun.

Both are told what to do over a socket, in WireGuard's own cross-platform words, so that no further
tool is needed. Their interfaces have different names, for the gateways of a world share `/run`.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from isthmus.lab.gateways import other
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.server import Server
from isthmus.lab.topology import SITES, Site

PORT = 51820
# What WireGuard takes for itself over IPv6 of 1500 octets; wireguard-go's own default.
MTU = 1420
_START_S = 10.0


@dataclass(slots=True)
class WireGuard(Server):
    """One such daemon in one network namespace."""

    interface: str = ""

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.directory / "wireguard.log"

    @property
    def control(self) -> Path:
        """Its socket, in the world's own /run."""
        root = Path(f"/proc/{self.world.holder.pid}/root")
        return root / "run" / "wireguard" / f"{self.interface}.sock"

    def start(self, argv: list[str]) -> None:
        """Start it on its interface. Raises LabError with the end of its log."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("w", encoding="utf-8") as log:
            process = self.world.start(self.namespace, [*argv, self.interface], stdout=log)
        self._await(process, Path(argv[0]).name, _START_S)

    def answers(self) -> bool:
        """Whether it answers on its control socket."""
        try:
            return "errno=0" in self._ask("get=1\n\n")
        except OSError:
            return False

    def tell(self, settings: list[tuple[str, str]]) -> None:
        """Set keys and peers. Raises LabError when it refuses."""
        lines = "".join(f"{key}={value}\n" for key, value in settings)
        if "errno=0" not in (answer := self._ask(f"set=1\n{lines}\n")):
            raise LabError(f"{self.interface}: {answer.strip()}")

    def _ask(self, request: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            connection.connect(str(self.control))
            connection.sendall(request.encode())
            answer = b""
            while not answer.endswith(b"\n\n"):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        return answer.decode()


def join(world: World, directory: Path, argv: list[str]) -> list[WireGuard]:
    """Both gateways with a tunnel between them; `argv` is the program and its options."""
    keys = {site.letter: X25519PrivateKey.generate() for site in SITES}
    gateways = []
    for site in SITES:
        gateway = WireGuard(
            world, site.gateway, directory / site.gateway, interface=f"wg-{site.letter}"
        )
        gateway.start(argv)
        far = other(site)
        gateway.tell(
            [
                ("private_key", keys[site.letter].private_bytes_raw().hex()),
                ("listen_port", str(PORT)),
                ("public_key", keys[far.letter].public_key().public_bytes_raw().hex()),
                ("endpoint", f"{far.outer4}:{PORT}"),
                ("allowed_ip", far.network(4)),
                ("allowed_ip", far.network(6)),
            ]
        )
        route(world, site, gateway.interface, MTU)
        gateways.append(gateway)
    return gateways


def route(world: World, site: Site, interface: str, mtu: int | None = None) -> None:
    """Set a tunnel's interface up, and send the far site's networks to it."""
    far, size = other(site), f" mtu {mtu}" if mtu else ""
    batch = f"link set {interface}{size} up\n" + "".join(
        f"route add {far.network(family)} dev {interface}\n" for family in (4, 6)
    )
    world.run(None, ["ip", "-netns", site.gateway, "-batch", "-"], input_text=batch)
