"""strongSwan's charon as a gateway of a lab: the independent peer.

ESP is done by its kernel-libipsec plugin, in user space over a TUN, so no kernel ESP is needed.
It forces UDP encapsulation, and wants an address of its own inside the local selector.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from isthmus.lab.namespaces import LabError
from isthmus.lab.server import Server
from isthmus.lab.vici import Section, Vici, ViciError

CHARON: Final = Path("/usr/lib/ipsec/charon")
LIBIPSEC: Final = Path("/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")
DEBIAN_PACKAGES: Final = (
    "strongswan-charon",
    "libcharon-extra-plugins",
    "libstrongswan-extra-plugins",
    "libstrongswan-standard-plugins",
)
_START_S: Final = 10.0
# A Unix socket's path fits 107 octets.
_PATH_OCTETS_MAX: Final = 107
# openssl first: where two plugins offer one algorithm, the first listed wins. kernel-libipsec must
# stand before kernel-netlink, which then serves addresses and routes only.
_PLUGINS: Final = (
    "random nonce openssl aes sha1 sha2 hmac kdf curve25519 gmp chapoly ccm ctr gcm cmac xcbc "
    "pem pkcs1 pkcs8 x509 pubkey constraints xauth-generic "
    "kernel-libipsec kernel-netlink socket-default vici"
)


def missing() -> tuple[str, ...]:
    """Debian packages to install before a Charon can start; empty when it can."""
    absent = []
    if not CHARON.exists():
        absent.append("strongswan-charon")
    if not LIBIPSEC.exists():
        absent.append("libcharon-extra-plugins")
    return tuple(absent)


@dataclass(frozen=True, slots=True)
class Child:
    """One Child SA of a connection, in swanctl's words."""

    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    esp_proposals: tuple[str, ...]
    rekey_time: str = "1h"


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection, in swanctl's words: with a pre-shared key, unless `local` and `remote` say
    another `auth`."""

    name: str
    local_address: str
    remote_address: str
    local_id: str
    remote_id: str
    psk: str = field(repr=False)
    ike_proposals: tuple[str, ...]
    children: Mapping[str, Child]
    version: int = 2
    """Of IKE; 0 is charon's own choice: IKEv2 is started and either is answered."""
    rekey_time: str = "4h"
    dpd_delay: str = "0s"
    local: Section = field(default_factory=dict)
    remote: Section = field(default_factory=dict)
    settings: Section = field(default_factory=dict)
    """Other keys of the connection."""

    def section(self) -> Section:
        """The body of VICI's load-conn."""
        children: Section = {
            name: {
                "local_ts": list(child.local_ts),
                "remote_ts": list(child.remote_ts),
                "esp_proposals": list(child.esp_proposals),
                "rekey_time": child.rekey_time,
                "mode": "tunnel",
            }
            for name, child in self.children.items()
        }
        local: Section = {"auth": "psk", "id": self.local_id}
        remote: Section = {"auth": "psk", "id": self.remote_id}
        body: Section = {
            "version": str(self.version),
            "local_addrs": [self.local_address],
            "remote_addrs": [self.remote_address],
            "proposals": list(self.ike_proposals),
            "rekey_time": self.rekey_time,
            "dpd_delay": self.dpd_delay,
            "unique": "never",
            "local": local | self.local,
            "remote": remote | self.remote,
            "children": children,
        }
        return {self.name: body | self.settings}


@dataclass(frozen=True, slots=True)
class ChildView:
    """A Child SA as charon lists it."""

    name: str
    unique_id: int
    state: str
    spi_in: int
    spi_out: int
    encr: str
    key_bits: int
    integ: str
    dh: str
    encap: bool
    packets_in: int
    packets_out: int
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IkeView:
    """An IKE SA as charon lists it."""

    name: str
    unique_id: int
    version: int
    state: str
    initiator: bool
    spi_i: str
    spi_r: str
    encr: str
    integ: str
    dh: str
    user: str
    """Who logged in behind phase 1 of IKEv1, or ""."""
    local_vips: tuple[str, ...]
    """Addresses that Mode Config (or a configuration payload) gave to this side."""
    remote_vips: tuple[str, ...]
    """Those that this side gave to the peer."""
    children: tuple[ChildView, ...]


@dataclass(slots=True)
class Charon(Server):
    """One charon in one network namespace, with a private /run."""

    @property
    def socket(self) -> Path:
        """charon's control socket."""
        return self.directory / "vici"

    @property
    def log(self) -> Path:
        """charon's log file."""
        return self.directory / "charon.log"

    def start(self, *, settings: str = "", log_level: int = 1) -> None:
        """Start charon and wait for its control socket.

        `settings` is added to the `charon { }` block. Raises LabError with the end of its log.
        """
        if absent := missing():
            raise LabError("strongSwan is not installed.", fix=f"apt install {' '.join(absent)}")
        if len(bytes(self.socket)) > _PATH_OCTETS_MAX:
            raise LabError(f"{self.socket} is too long for a Unix socket")
        run = self.directory / "run"
        run.mkdir(parents=True, exist_ok=True)
        (self.directory / "strongswan.conf").write_text(
            self._configuration(settings, log_level), encoding="utf-8"
        )
        # charon's pid file is compiled in as /run/charon.pid; `ip netns exec` has already made a
        # mount namespace for this command. The directory itself may live in the /run being hidden.
        script = (
            'case "$1" in /run/*) mkdir -p "$2${1#/run}" '
            '&& mount --bind "$1" "$2${1#/run}";; esac; '
            'mount --rbind "$2" /run && exec "$3"'
        )
        process = self.world.start(
            self.namespace,
            ["sh", "-c", script, "sh", str(self.directory), str(run), str(CHARON)],
            stdout=subprocess.DEVNULL,
            environment={"STRONGSWAN_CONF": str(self.directory / "strongswan.conf")},
        )
        self._await(process, "charon", _START_S)

    def answers(self) -> bool:
        """Whether it answers on its control socket."""
        with suppress(OSError, ViciError), self.vici() as vici:
            vici.request("version")
            return True
        return False

    def vici(self, *, timeout_s: float = 30.0) -> Vici:
        """A new connection to the control socket; the caller closes it."""
        return Vici(self.socket, timeout_s=timeout_s)

    def load(self, connection: Connection) -> None:
        """Load or replace one connection, and its secret if it has one.

        IKEv1's Main Mode chooses a secret by addresses, so these own it too.
        """
        with self.vici() as vici:
            if connection.psk:
                owners = [connection.local_id, connection.remote_id]
                if connection.version != 2:
                    owners += [connection.local_address, connection.remote_address]
                vici.request(
                    "load-shared",
                    {
                        "id": f"psk-{connection.name}",
                        "type": "IKE",
                        "data": connection.psk,
                        "owners": owners,
                    },
                )
            vici.request("load-conn", connection.section())

    def load_password(self, user: str, password: str) -> None:
        """Load a user's password for XAUTH: one that may log in here, or our own."""
        section: Section = {"id": f"xauth-{user}", "type": "XAUTH", "data": password}
        section["owners"] = [user]
        with self.vici() as vici:
            vici.request("load-shared", section)

    def load_pool(self, name: str, addresses: str, *, dns: Sequence[str] = ()) -> None:
        """Load addresses that a connection with `pools = [name]` gives out: a network or a range,
        and the name servers that clients are told of."""
        section: Section = {"addrs": addresses}
        if dns:
            section["dns"] = list(dns)
        with self.vici() as vici:
            vici.request("load-pool", {name: section})

    def load_certificate(self, pem: str, *, authority: bool = False) -> None:
        """Load a certificate: our own, or that of an authority to trust."""
        flag = "CA" if authority else "NONE"
        with self.vici() as vici:
            vici.request("load-cert", {"type": "X509", "flag": flag, "data": pem})

    def load_key(self, pem: str) -> None:
        """Load a private key; certificates find theirs by the public half."""
        with self.vici() as vici:
            vici.request("load-key", {"type": "any", "data": pem})

    def unload(self, name: str) -> None:
        """Forget a connection and its secret."""
        with self.vici() as vici:
            vici.request("unload-conn", {"name": name})
            with suppress(ViciError):  # A connection by certificate has none.
                vici.request("unload-shared", {"id": f"psk-{name}"})

    def initiate(self, child: str, *, ike: str | None = None, timeout_s: float = 10.0) -> None:
        """Bring a child up. Raises ViciError when the negotiation fails or takes too long."""
        section: Section = {"child": child, "timeout": str(round(timeout_s * 1000))}
        if ike is not None:
            section["ike"] = ike
        with self.vici(timeout_s=timeout_s + 5) as vici:
            vici.request("initiate", section)

    def rekey_child(self, child: str) -> None:
        """Ask for a new Child SA; returns at once."""
        with self.vici() as vici:
            vici.request("rekey", {"child": child})

    def rekey_ike(self, ike: str) -> None:
        """Ask for a new IKE SA in the place of the youngest; returns at once.

        By its name alone, charon would renew an IKEv1 one that has been replaced too.
        """
        stand = ("ESTABLISHED", "REKEYING")
        found = (sa for sa in self.list_sas() if sa.name == ike and sa.state in stand)
        youngest = max(found, key=lambda sa: sa.unique_id, default=None)
        if youngest is None:
            raise ViciError(f"rekey: no IKE SA {ike} is established")
        with self.vici() as vici:
            vici.request("rekey", {"ike-id": str(youngest.unique_id)})

    def terminate(
        self, *, ike: str | None = None, child: str | None = None, force: bool = False
    ) -> None:
        """Close an IKE SA or a Child SA by name, telling the peer; nothing to close is no error.

        With `force` an IKE SA is forgotten when the peer does not answer at once.
        """
        section: Section = {"timeout": "200", "force": "yes"} if force else {"timeout": "5000"}
        if ike is not None:
            section["ike"] = ike
        if child is not None:
            section["child"] = child
        with self.vici() as vici, suppress(ViciError):
            vici.request("terminate", section)

    def list_sas(self) -> tuple[IkeView, ...]:
        """All IKE SAs with their Child SAs."""
        with self.vici() as vici:
            found = vici.stream("list-sas", "list-sa")
        return tuple(
            _ike_view(name, sa)
            for listed in found
            for name, sa in listed.items()
            if isinstance(sa, dict)
        )

    def _configuration(self, settings: str, log_level: int) -> str:
        return f"""charon {{
  load = {_PLUGINS}
  install_virtual_ip = no
  {settings}
  filelog {{
    log {{
      path = {self.log}
      time_format = %H:%M:%S
      time_add_ms = yes
      flush_line = yes
      default = {log_level}
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{self.socket}
    }}
  }}
}}
"""


def _text(section: Section, key: str, default: str = "") -> str:
    value = section.get(key, default)
    return value if isinstance(value, str) else default


def _texts(section: Section, key: str) -> tuple[str, ...]:
    value = section.get(key, [])
    return tuple(value) if isinstance(value, list) else ()


def _ike_view(name: str, sa: Section) -> IkeView:
    children = sa.get("child-sas", {})
    listed: Sequence[object] = list(children.values()) if isinstance(children, dict) else []
    return IkeView(
        name=name,
        unique_id=int(_text(sa, "uniqueid", "0")),
        version=int(_text(sa, "version", "0")),
        state=_text(sa, "state"),
        initiator=_text(sa, "initiator") == "yes",
        spi_i=_text(sa, "initiator-spi"),
        spi_r=_text(sa, "responder-spi"),
        encr=_text(sa, "encr-alg"),
        integ=_text(sa, "integ-alg"),
        dh=_text(sa, "dh-group"),
        user=_text(sa, "remote-xauth-id"),
        local_vips=_texts(sa, "local-vips"),
        remote_vips=_texts(sa, "remote-vips"),
        children=tuple(_child_view(child) for child in listed if isinstance(child, dict)),
    )


def _child_view(child: Section) -> ChildView:
    return ChildView(
        name=_text(child, "name"),
        unique_id=int(_text(child, "uniqueid", "0")),
        state=_text(child, "state"),
        spi_in=int(_text(child, "spi-in", "0"), 16),
        spi_out=int(_text(child, "spi-out", "0"), 16),
        encr=_text(child, "encr-alg"),
        key_bits=int(_text(child, "encr-keysize", "0")),
        integ=_text(child, "integ-alg"),
        dh=_text(child, "dh-group"),
        encap=_text(child, "encap") == "yes",
        packets_in=int(_text(child, "packets-in", "0")),
        packets_out=int(_text(child, "packets-out", "0")),
        local_ts=_texts(child, "local-ts"),
        remote_ts=_texts(child, "remote-ts"),
    )
