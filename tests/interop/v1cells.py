"""Tunnels over IKEv1 as the two daemons are told of them, each between addresses of its own: Main
Mode chooses a secret by them.

A cell leads to one address behind strongSwan. Where one side is given an address, the other side
gives out just that one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from tests.exchanges.pki import Node, issue, private

from isthmus.credentials.xauth import hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.lab import gateways
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon, Child, Connection
from isthmus.lab.topology import INTERNET, Site
from isthmus.lab.vici import Section
from isthmus.values.secret import Secret

from .certtunnels import private_file, shown, toml, trusted
from .support import SITE_A, SITE_B

_OUTER = {"a": IPv4Address("198.18.100.1"), "b": IPv4Address("198.19.100.1")}
"""RFC 2544's range for tests: one /24 for each cell."""
_FIRST_HOST = 100
LENT = "10.99.0.0/24"
"""Where addresses come from that strongSwan gives out."""
PASSWORD = "ein-langes-passwort"
FROM_EITHER = ("near", "far")


@dataclass(frozen=True, slots=True)
class Cell:
    """One tunnel. Isthmus is the near side, strongSwan the far one."""

    name: str
    number: int = 0
    ike: str = "aes256-sha256-ecp256"
    esp: str = "aes256gcm16-ecp256"
    key: str = "psk"
    """Both sides' proof: the kind of their keys, if it is not a pre-shared one."""
    between: bool = False
    """A CA stands between the certificates and the root."""
    weak: bool = False
    aggressive: bool = False
    hybrid: bool = False
    user: str = ""
    """Which side logs in behind phase 1."""
    given: str = ""
    """Which side is given its inside address."""
    push: bool = False
    """The address is sent unasked."""
    route: bool = False
    """Our side is route-based."""
    anywhere: bool = False
    """Our side does not know the peer's address."""
    ike_version: str = "1"
    """What our side is told."""
    starts: tuple[str, ...] = FROM_EITHER
    more: Mapping[str, object] = field(default_factory=dict)
    """Other entries of our tunnel."""
    swan: Section = field(default_factory=dict)
    """Other settings of strongSwan's connection."""

    @property
    def host(self) -> str:
        """The address behind strongSwan that this tunnel leads to."""
        return f"10.2.0.{_FIRST_HOST + self.number}"

    @property
    def lent(self) -> str:
        """The address that our gateway is given, where it is the one."""
        return f"10.99.0.{_FIRST_HOST + self.number}"

    def outer(self, site: Site) -> str:
        """The tunnel's address at one end."""
        return str(_OUTER[site.letter] + 256 * self.number)

    def identity(self, site: Site) -> str:
        """Who a side is."""
        return f"{self.name}.{site.letter}.example.org"

    def certificate(self, site: Site) -> Node:
        """What a side has that proves it by its key; made once."""
        found = _ISSUED.get((self.name, site.letter))
        if found is None:
            names = [f"fqdn:{self.identity(site)}"]
            # RSA keys take long to make, so both sides have the same one.
            number = 11 if site is SITE_B and not self.key.startswith("rsa") else 10
            issuer = ISSUING if self.between else ROOT
            common = f"{self.name} {site.letter}"
            found = issue(common, issuer, private(self.key, number), names=names)
            _ISSUED[self.name, site.letter] = found
        return found


ROOT = issue("IKEv1 root", key=private("p384", 2))
ISSUING = issue("IKEv1 issuing", ROOT, private("rsa2048", 1), ca=True)
PSK = gateways.fresh_psk()
_ISSUED: dict[tuple[str, str], Node] = {}


def user_line(user: str, password: str) -> str:
    """The line of a user in our file of users."""
    return f"{user}:{hashed(Secret(password.encode()), SeededEntropy(1)).text}\n"


def tunnel(cell: Cell, directory: Path) -> str:
    """A cell in our configuration."""
    entries: dict[str, object] = {
        "peer": "any" if cell.anywhere else cell.outer(SITE_B),
        "local_address": cell.outer(SITE_A),
        "start": "listen",
        "local_id": f"fqdn:{cell.identity(SITE_A)}",
        "remote_id": f"fqdn:{cell.identity(SITE_B)}",
        "ike": int(cell.ike_version) if cell.ike_version.isdigit() else cell.ike_version,
    }
    if cell.weak:
        entries["allow_weak"] = True
    if cell.aggressive:
        entries["aggressive"] = True
    if cell.route:
        entries |= {"mode": "route", "routes": [f"{cell.host}/32"]}
    entries |= _proof(cell, directory) | _access(cell, directory)
    return toml(
        cell.name,
        f"{cell.host}/32",
        {**entries, **cell.more},
        proposals=(cell.ike, cell.esp),
        local=LENT if cell.given == "near" else SITE_A.network(4),
    )


def _proof(cell: Cell, directory: Path) -> dict[str, object]:
    def file(what: str, octets: bytes) -> str:
        return private_file(directory, f"{cell.name}.{what}", octets)

    if cell.key == "psk":
        return {"psk": {"file": file("psk", PSK.encode())}}
    entries: dict[str, object] = {"auth": "cert", "ca": [file("root", ROOT.pem)]}
    if cell.hybrid:
        return entries | {"auth": {"local": "xauth", "remote": "cert"}}
    node = cell.certificate(SITE_A)
    chain = node.pem + (ISSUING.pem if cell.between else b"")
    entries |= {"cert": file("pem", chain), "key": {"file": file("key", node.key_pem)}}
    return entries


def _access(cell: Cell, directory: Path) -> dict[str, object]:
    entries: dict[str, object] = {}
    if cell.user == "near":
        secret = private_file(directory, f"{cell.name}.password", PASSWORD.encode())
        entries["xauth"] = {"user": cell.name, "password": {"file": secret}}
    elif cell.user == "far":
        line = user_line(cell.name, PASSWORD)
        users = private_file(directory, f"{cell.name}.users", line.encode())
        entries["xauth"] = {"users": {"file": users}}
    if cell.given == "near":
        entries["mode_config"] = {"address": "any"}
    elif cell.given == "far":
        pool: dict[str, object] = {"pool": [f"{cell.host}/32"], "dns": ["10.1.0.53"]}
        entries["mode_config"] = pool | {"networks": [SITE_A.network(4)], "push": cell.push}
    return entries


def connection(cell: Cell, site: Site = SITE_B, version: int = 1) -> Connection:
    """The same in strongSwan's words, for either side."""
    far = gateways.other(site)
    side, other = ("far", "near") if site is SITE_B else ("near", "far")
    ends: Mapping[str, str] = {"near": SITE_A.network(4), "far": f"{cell.host}/32"}
    by_key = cell.key != "psk"
    local = shown(cell.certificate(site)) if by_key else {}
    remote = trusted(ROOT) if by_key else {}
    settings: Section = {"aggressive": _word(cell.aggressive), "pull": _word(not cell.push)}
    login: Section = {"auth": "xauth", "xauth_id": cell.name, "round": "2"}
    asks: Section = {"auth": "xauth", "round": "2"}
    if cell.hybrid:
        local, remote = (login, remote) if side == "near" else (local, asks)
    elif cell.user == side:
        settings["local2"] = login
    elif cell.user == other:
        settings["remote2"] = asks
    if cell.given == side:
        settings["vips"] = ["0.0.0.0"]
    elif cell.given == other:
        settings["pools"] = [cell.name]
    ts = {end: ("dynamic",) if cell.given == end else (text,) for end, text in ends.items()}
    return Connection(
        name=cell.name,
        local_address=cell.outer(site),
        remote_address=cell.outer(far),
        local_id=cell.identity(site),
        remote_id=cell.identity(far),
        psk="" if by_key else PSK,
        ike_proposals=(cell.ike,),
        children={cell.name: Child(ts[side], ts[other], (cell.esp,))},
        version=version,
        local=local,
        remote=remote,
        settings=settings | cell.swan,
    )


def _word(value: bool) -> str:
    return "yes" if value else "no"


def load(
    charon: Charon,
    cell: Cell,
    site: Site = SITE_B,
    version: int = 1,
    otherwise: Callable[[Connection], Connection] = lambda told: told,
) -> None:
    """Tell strongSwan of a cell, and of whatever belongs to it; `otherwise` changes what it is
    told of the connection."""
    side, other = ("far", "near") if site is SITE_B else ("near", "far")
    if cell.key != "psk" and not (cell.hybrid and side == "near"):
        charon.load_key(cell.certificate(site).key_pem.decode())
    if cell.between:
        charon.load_certificate(ISSUING.pem.decode())
    if cell.user:
        charon.load_password(cell.name, PASSWORD)
    if cell.given == other:
        address = cell.lent if cell.given == "near" else cell.host
        charon.load_pool(cell.name, f"{address}/32", dns=("10.2.0.53",))
    charon.load(otherwise(connection(cell, site, version)))


def addresses(world: World, cells: tuple[Cell, ...]) -> None:
    """Give both gateways the addresses of these cells, and strongSwan's what they lead to."""
    lines: dict[str, list[str]] = {
        SITE_A.gateway: [f"address add {c.outer(SITE_A)}/32 dev wan" for c in cells],
        SITE_B.gateway: [
            line
            for c in cells
            for line in (
                f"address add {c.outer(SITE_B)}/32 dev wan",
                f"address add {c.host}/32 dev lo",
            )
        ],
        INTERNET: [
            f"route add {c.outer(site)}/32 via {site.outer4}"
            for c in cells
            for site in (SITE_A, SITE_B)
        ],
    }
    for namespace, batch in lines.items():
        text = "".join(f"{line}\n" for line in batch)
        world.run(None, ["ip", "-netns", namespace, "-batch", "-"], input_text=text)
