"""OpenVPN as a gateway of a lab: point to point over UDP, its own defaults otherwise.

The ends know each other's self-signed certificate by its fingerprint.
"""

import datetime
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.wireguard import route
from isthmus.lab.gateways import other
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.server import Server
from isthmus.lab.topology import SITE_A, SITES

INTERFACE = "vpn0"
CIPHERS = {
    "AES-128-GCM": "AES-128-GCM",
    "AES-256-GCM": "AES-256-GCM",
    "ChaCha20-Poly1305": "CHACHA20-POLY1305",
}
_UP = "Initialization Sequence Completed"
_UP_S = 15.0


@dataclass(slots=True)
class OpenVpn(Server):
    """One openvpn in one network namespace."""

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.directory / "openvpn.log"

    def answers(self) -> bool:
        """Whether it runs: it has something to say at once."""
        return bool(self.log_tail(1).strip())

    def is_up(self) -> bool:
        """Whether it and the peer agreed on keys."""
        return _UP in self.log.read_text(encoding="utf-8", errors="replace")

    def start(self, argv: list[str]) -> None:
        """Start it. Raises LabError with the end of its log."""
        with self.log.open("w", encoding="utf-8") as log:
            process = self.world.start(self.namespace, argv, stdout=log)
        self._await(process, "openvpn", _UP_S)


def join(world: World, directory: Path, program: str, cipher: str) -> list[OpenVpn]:
    """Both gateways with a tunnel between them. Raises LabError when it does not come up."""
    prints = {}
    for site in SITES:
        folder = directory / site.gateway
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        prints[site.letter] = _certificate(folder, site.gateway)
    gateways = []
    for number, site in enumerate(SITES):
        far, folder = other(site), directory / site.gateway
        gateway = OpenVpn(world, site.gateway, folder)
        gateway.start(
            [
                *(program, "--dev", INTERFACE, "--dev-type", "tun", "--proto", "udp"),
                *("--local", site.outer4, "--remote", far.outer4),
                *("--ifconfig", f"10.8.0.{1 + number}", f"10.8.0.{2 - number}"),
                *("--ifconfig-ipv6", f"fd00:8::{1 + number}/64", f"fd00:8::{2 - number}"),
                *(("--tls-server", "--dh", "none") if site is SITE_A else ("--tls-client",)),
                *("--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")),
                *("--peer-fingerprint", prints[far.letter], "--data-ciphers", CIPHERS[cipher]),
            ]
        )
        gateways.append(gateway)
    deadline = time.monotonic() + _UP_S
    while not all(gateway.is_up() for gateway in gateways):
        if time.monotonic() > deadline:
            raise LabError("OpenVPN's tunnel does not come up.", gateways[0].log_tail(4))
        time.sleep(0.05)
    for site in SITES:
        route(world, site, INTERFACE)
    return gateways


def _certificate(folder: Path, name: str) -> str:
    """Write a key and its certificate; returns the fingerprint in OpenVPN's spelling."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate.fingerprint(hashes.SHA256()).hex(":")
