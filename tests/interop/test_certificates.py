"""Phase 1 by signature with strongSwan, in both roles: keys and schemes, chains, mixed proofs, and
identities of each kind.

One isthmusd and one charon hold a tunnel for each cell, between the same two addresses: which one
is meant is told by the identities alone.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.exchanges.pki import Node, issue, private

from isthmus.lab import gateways, measure
from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.strongswan import Connection
from isthmus.lab.vici import ViciError

from .certtunnels import connection, private_file, shown, start_or_fail, toml, trusted
from .support import SITE_A, SITE_B, CharonGateway, eventually

pytestmark = [pytest.mark.root, pytest.mark.interop]

FIRST_HOST = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """One tunnel. `kind` is that of both keys; `swan` is what charon signs by and asks for, `ours`
    the schemes that Isthmus is told (none: its own choice)."""

    name: str
    kind: str = "p256"
    swan: str = "pubkey"
    ours: tuple[str, ...] = ()
    between: bool = False
    near: str = "cert"
    far: str = "cert"
    identity: str = "fqdn"
    seen: str = ""
    """The scheme by which charon must have signed."""
    more: Mapping[str, object] = field(default_factory=dict)
    """Other entries of our tunnel."""


def _keys() -> Iterator[Cell]:
    for between in (False, True):
        where = "intermediate" if between else "root"
        for bits, size in ((2048, 256), (3072, 384), (4096, 512)):
            for padding, swan in (("pkcs1", "rsa"), ("pss", "rsa/pss")):
                scheme = f"rsa-{padding}-sha{size}"
                yield Cell(
                    f"{scheme}-{bits}-{where}",
                    f"rsa{bits}",
                    f"ike:{swan}-sha{size}",
                    (scheme,),
                    between,
                    seen=scheme,
                )
        for curve, size in (("p256", 256), ("p384", 384), ("p521", 512)):
            scheme = f"ecdsa-sha{size}"
            yield Cell(f"{curve}-{where}", curve, f"ike:ecdsa-sha{size}", (), between, seen=scheme)
        yield Cell(f"ed25519-{where}", "ed25519", "ike:ed25519", (), between, seen="ed25519")
        yield Cell(f"ed448-{where}", "ed448", "ike:ed448", (), between, seen="ed448")


CELLS = (
    *_keys(),
    Cell("cert-and-psk", near="cert", far="psk"),
    Cell("psk-and-cert", near="psk", far="cert", seen="ecdsa-sha256"),
    *(Cell(f"identity-{kind}", identity=kind) for kind in ("ip", "email", "dn", "keyid")),
)
"""Identities that are domain names are those of all other cells."""

ROOT = issue("Interop root", key=private("p384", 1))
ISSUING = issue("Interop issuing", ROOT, private("rsa2048", 1), ca=True)


def _issued(cell: Cell, side: str) -> Node:
    """The certificate of one side of a cell, with a name of each kind."""
    # RSA keys take long to make, so both sides have the same one.
    number = 11 if side == "far" and not cell.kind.startswith("rsa") else 10
    if cell.identity == "fqdn":
        names = [f"fqdn:{cell.name}.{side}.example.org"]
    else:
        names = [f"email:{cell.name}@{side}.example.org", f"ip:{_address(cell, side)}"]
    issuer = ISSUING if cell.between else ROOT
    return issue(f"{cell.name} {side}", issuer, private(cell.kind, number), names=names)


def _address(cell: Cell, side: str) -> str:
    return {"near": SITE_A.outer4, "far": SITE_B.outer4}[side]


def _identity(cell: Cell, side: str) -> tuple[str, str]:
    """In our spelling and in strongSwan's."""
    common = f"{cell.name} {side}"
    match cell.identity:
        case "ip":
            return f"ip:{_address(cell, side)}", _address(cell, side)
        case "email":
            text = f"{cell.name}@{side}.example.org"
            return f"email:{text}", text
        case "dn":
            text = f"C=CH, O=Isthmus tests, CN={common}"
            return f"dn:{text}", text
        case "keyid":
            text = certificate_of(cell, side).read.key_sha1.hex()
            return f"keyid:0x{text}", f"keyid:#{text}"
        case _:
            text = f"{cell.name}.{side}.example.org"
            return f"fqdn:{text}", text


_ISSUED: dict[tuple[str, str], Node] = {}


def certificate_of(cell: Cell, side: str) -> Node:
    found = _ISSUED.get((cell.name, side))
    if found is None:
        found = _ISSUED[(cell.name, side)] = _issued(cell, side)
    return found


def _chain(cell: Cell, node: Node) -> list[Node]:
    return [node, ISSUING] if cell.between else [node]


def _host(cell: Cell) -> str:
    """The address behind charon that only this tunnel leads to."""
    return f"10.2.0.{_HOSTS.setdefault(cell.name, FIRST_HOST + len(_HOSTS))}"


_HOSTS: dict[str, int] = {}


PSK = gateways.fresh_psk()


def _tunnel(cell: Cell, directory: Path) -> str:
    """The tunnel in our configuration."""
    node = certificate_of(cell, "near")
    auth = {"local": cell.near, "remote": cell.far}
    entries: dict[str, object] = {
        "start": "listen",
        "local_id": _identity(cell, "near")[0],
        "remote_id": _identity(cell, "far")[0],
        "auth": auth,
    }
    if "psk" in auth.values():
        secret = private_file(directory, f"{cell.name}.psk", PSK.encode())
        entries["psk"] = {"file": secret}
    if cell.near == "cert":
        chain = b"".join(n.pem for n in _chain(cell, node))
        entries["cert"] = private_file(directory, f"{cell.name}.pem", chain)
        entries["key"] = {"file": private_file(directory, f"{cell.name}.key", node.key_pem)}
    if cell.far == "cert":
        entries["ca"] = [private_file(directory, "root.pem", ROOT.pem)]
    phase1 = f"signature = {json.dumps(cell.ours)}" if cell.ours else ""
    return toml(cell.name, f"{_host(cell)}/32", {**entries, **cell.more}, phase1=phase1)


def _connection(cell: Cell) -> Connection:
    """The tunnel in strongSwan's words."""
    return connection(
        cell.name,
        f"{_host(cell)}/32",
        (_identity(cell, "far")[1], _identity(cell, "near")[1]),
        local=shown(certificate_of(cell, "far"), cell.swan) if cell.far == "cert" else {},
        remote=trusted(ROOT, cell.swan) if cell.near == "cert" else {},
        psk=PSK if "psk" in (cell.near, cell.far) else "",
    )


@dataclass(frozen=True, slots=True)
class Both:
    """The two daemons, with every tunnel loaded."""

    world: World
    near: Isthmus
    far: CharonGateway


@contextmanager
def loaded(
    world: World, far: CharonGateway, directory: Path, cells: tuple[Cell, ...]
) -> Iterator[Both]:
    """These cells on both sides, for as long as the context lasts."""
    directory.mkdir()
    near = Isthmus(world, SITE_A.gateway, directory / "near")
    near.write(others="\n".join(_tunnel(cell, directory) for cell in cells))
    charon = far.charon
    done: list[Cell] = []
    try:
        charon.load_certificate(ISSUING.pem.decode())
        for cell in cells:
            world.run(SITE_B.gateway, ["ip", "address", "add", f"{_host(cell)}/32", "dev", "lo"])
            done.append(cell)
            if cell.far == "cert":
                charon.load_key(certificate_of(cell, "far").key_pem.decode())
            charon.load(_connection(cell))
        start_or_fail(near)
        yield Both(world, near, far)
    finally:
        near.stop()
        for cell in done:
            charon.unload(cell.name)
            world.run(SITE_B.gateway, ["ip", "address", "del", f"{_host(cell)}/32", "dev", "lo"])


@pytest.fixture(scope="module")
def both(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Both]:
    """Every cell on both sides."""
    with loaded(world, far, short_directory / "certs", CELLS) as found:
        yield found


def _carries(both: Both, cell: Cell) -> None:
    pings = measure.ping(both.world, SITE_A.host, _host(cell), count=3, interval_s=0.02, wait_s=3.0)
    assert pings.received == 3, pings


def _phase1(both: Both, cell: Cell) -> dict[str, object]:
    (found,) = (t for t in both.near.status()["tunnels"] if t["name"] == cell.name)
    phase1: dict[str, object] = found["phase1"]
    return phase1


def _verified(both: Both, cell: Cell) -> list[dict[str, object]]:
    return [
        event
        for event in both.near.events()
        if event["event"] == "peer.verified" and event["tunnel"] == cell.name
    ]


def carried_from_either_side(both: Both, cell: Cell) -> None:
    """Isthmus begins, then charon does; pings pass each time."""
    charon = both.far.charon
    try:
        both.near.request("up", tunnel=cell.name, timeout_s=20.0)
        _carries(both, cell)
        both.near.request("down", tunnel=cell.name, hold=False)
        charon.initiate(cell.name, ike=cell.name)
        eventually("phase 1 is up here", lambda: _phase1(both, cell)["state"] == "up")
        assert _phase1(both, cell)["remote_id"] == _identity(cell, "far")[0]
        _carries(both, cell)
        charon.terminate(ike=cell.name)
    except (LabError, ViciError) as failure:
        pytest.fail(f"{failure}\n{both.near.log_tail(60)}\n{both.far.log()[-6000:]}")
    found = _verified(both, cell)
    assert len(found) == (2 if cell.far == "cert" else 0)
    if cell.seen:
        assert {str(facts["scheme"]) for facts in found} == {cell.seen}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_comes_up_and_carries_from_either_side(both: Both, cell: Cell) -> None:
    carried_from_either_side(both, cell)
