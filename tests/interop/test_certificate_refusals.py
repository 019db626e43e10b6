"""What a strongSwan with a faulty certificate is told, in both roles: a finding of its own here,
AUTHENTICATION_FAILED there, and nothing stands."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.exchanges.pki import FAR_AHEAD, GATEWAY, LONG_AGO, Node, issue, private, revoked

from isthmus.lab.daemon import DaemonRefused, Isthmus
from isthmus.lab.namespaces import World
from isthmus.lab.vici import ViciError

from .certtunnels import certified, connection, private_file, shown, start_or_fail, toml, trusted
from .support import SITE_A, CharonGateway, eventually

pytestmark = [pytest.mark.root, pytest.mark.interop]

NOW = datetime.now(UTC)
ROOT = issue("Refusing root", key=private("p256", 20))
OTHER = issue("Strange root", key=private("p256", 21), organization="Strangers")
ISSUING = issue("Withheld", ROOT, private("p256", 22), ca=True)
NO_CA = issue("No authority", ROOT, private("p256", 23), ca=False)
SHORT = issue("Short root", key=private("p256", 24), path_length=0)
DEEP = issue("Too deep", SHORT, private("p256", 25), ca=True)
NARROW = issue(
    "Narrow",
    ROOT,
    private("p256", 26),
    ca=True,
    extensions=((x509.NameConstraints([x509.DNSName("example.com")], None), True),),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A certificate of charon's, and how it is refused."""

    name: str
    code: str
    make: Callable[[str], Node]
    """By the name that charon says it has."""
    between: Node | None = None
    anchor: Node = ROOT
    on_a_list: bool = False


def _made(
    issuer: Node = ROOT,
    *,
    not_before: datetime = LONG_AGO,
    not_after: datetime = FAR_AHEAD,
    usages: Sequence[x509.ObjectIdentifier] = GATEWAY,
) -> Callable[[str], Node]:
    return lambda name: issue(
        name,
        issuer,
        private("p256", 27),
        names=(f"fqdn:{name}",),
        not_before=not_before,
        not_after=not_after,
        usages=usages,
    )


FAULTS = (
    Fault("expired", "E141", _made(not_after=NOW - timedelta(days=1))),
    Fault("not-yet-valid", "E144", _made(not_before=NOW + timedelta(days=1))),
    Fault("wrong-ca", "E140", _made(OTHER)),
    Fault("missing-intermediate", "E145", _made(ISSUING)),
    Fault("no-basic-constraints", "E146", _made(NO_CA), NO_CA),
    Fault("path-length", "E147", _made(DEEP), DEEP, SHORT),
    Fault("wrong-eku", "E143", _made(usages=(ExtendedKeyUsageOID.CODE_SIGNING,))),
    Fault("revoked", "E149", _made(), on_a_list=True),
    Fault("name-constraint", "E153", _made(NARROW), NARROW),
)


def _name(fault: Fault) -> str:
    return f"{fault.name}.far.example.org"


NODES = {fault.name: fault.make(_name(fault)) for fault in FAULTS}
NEAR = issue("near", ROOT, private("p256", 28), names=("fqdn:near.example.org",))


@dataclass(frozen=True, slots=True)
class Both:
    """The two daemons, with a tunnel for each fault."""

    near: Isthmus
    far: CharonGateway


def _host(fault: Fault) -> str:
    """The address behind charon that only this tunnel leads to."""
    return f"10.2.0.{150 + FAULTS.index(fault)}/32"


def _tunnel(fault: Fault, directory: Path) -> str:
    entries = certified(directory, NEAR) | {
        "start": "listen",
        "local_id": "fqdn:near.example.org",
        "remote_id": f"fqdn:{_name(fault)}",
        "ca": [private_file(directory, f"{fault.name}-ca.pem", fault.anchor.pem)],
    }
    if fault.between is not None:
        # charon does not send along what it would not take itself.
        between = private_file(directory, f"{fault.name}-between.pem", fault.between.pem)
        entries["intermediates"] = [between]
    if fault.on_a_list:
        listed = private_file(directory, f"{fault.name}.crl", revoked(NODES[fault.name]))
        entries["crl"] = [listed]
    return toml(fault.name, _host(fault), entries)


@pytest.fixture(scope="module")
def both(world: World, far: CharonGateway, short_directory: Path) -> Iterator[Both]:
    """Every fault on both sides."""
    directory = short_directory / "faults"
    directory.mkdir()
    near = Isthmus(world, SITE_A.gateway, directory / "near")
    near.write(others="\n".join(_tunnel(fault, directory) for fault in FAULTS))
    loaded: list[str] = []
    try:
        far.charon.load_key(NODES["expired"].key_pem.decode())
        for fault in FAULTS:
            if fault.between is not None:
                far.charon.load_certificate(fault.between.pem.decode())
            far.charon.load(
                connection(
                    fault.name,
                    _host(fault),
                    (_name(fault), "near.example.org"),
                    local=shown(NODES[fault.name]),
                    remote=trusted(ROOT),
                )
            )
            loaded.append(fault.name)
        start_or_fail(near)
        yield Both(near, far)
    finally:
        near.stop()
        for name in loaded:
            far.charon.unload(name)


def _diary(both: Both) -> str:
    return f"{both.near.log_tail(40)}\n{both.far.log()[-5000:]}"


def _told(both: Both, fault: Fault) -> str:
    """The finding that status shows of a tunnel."""
    (tunnel,) = (t for t in both.near.status()["tunnels"] if t["name"] == fault.name)
    return str((tunnel.get("failure") or {}).get("code", ""))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_is_refused_in_both_roles(both: Both, fault: Fault) -> None:
    """charon begins, then Isthmus does."""
    charon, before = both.far.charon, len(both.far.log())
    assert not _told(both, fault)
    with pytest.raises(ViciError):
        charon.initiate(fault.name, ike=fault.name)
    assert "received AUTHENTICATION_FAILED" in both.far.log()[before:], _diary(both)
    assert _told(both, fault) == fault.code, _diary(both)
    assert not charon.list_sas()
    before = len(both.far.log())
    with pytest.raises(DaemonRefused) as refused:
        both.near.request("up", tunnel=fault.name, timeout_s=20.0)
    assert refused.value.code == fault.code, f"{refused.value}\n{_diary(both)}"
    eventually("charon has nothing left", lambda: not charon.list_sas())
    assert "AUTH_FAILED" in both.far.log()[before:], _diary(both)
