"""What the interop tests share: when they may run, the suites, and the two kinds of gateway."""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from tests.needs import need, no_root

from isthmus.lab import gateways, strongswan
from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.strongswan import Charon, Child, Connection
from isthmus.lab.topology import SITE_A, SITE_B, Site
from isthmus.lab.vici import ViciError

T = TypeVar("T")

CHILD = "lan"
PATIENCE_S = 10.0

_PROGRAMS = {
    "iproute2": "ip",
    "conntrack": "conntrack",
    "frr": "vtysh",
    "ike-scan": "ike-scan",
    "iperf3": "iperf3",
    "nftables": "nft",
    "procps": "sysctl",
    "iputils-ping": "ping",
    "util-linux": "nsenter",
}


def require_root_and(*packages: str) -> None:
    """Skip unless root, with these Debian packages; with CI set, fail instead."""
    need(no_root())
    absent = list(strongswan.missing()) if "strongswan" in packages else []
    absent += [
        package
        for package in ("iproute2", "procps", "util-linux", *packages)
        if package != "strongswan" and shutil.which(_PROGRAMS[package]) is None
    ]
    if absent:
        need(f"missing Debian packages: {' '.join(sorted(set(absent)))}")


def eventually(
    what: str,
    probe: Callable[[], T | None],
    *,
    timeout_s: float = PATIENCE_S,
    every_s: float = 0.02,
) -> T:
    """The first true answer of `probe`; fails the test, naming `what`, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what} (last answer: {answer!r})")
        time.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Suite:
    """What both sides are told, in strongSwan's spelling."""

    name: str
    ike: str
    esp: str
    version: int = 2
    """Of IKE."""


SUITES = (
    Suite("aes256gcm16-x25519", "aes256gcm16-prfsha384-x25519", "aes256gcm16-x25519"),
    Suite("aes128gcm16-ecp256", "aes128gcm16-prfsha256-ecp256", "aes128gcm16"),
    Suite("aes256-sha256-modp2048", "aes256-sha256-modp2048", "aes256-sha256-modp2048"),
    Suite("chacha20poly1305-x25519", "chacha20poly1305-prfsha256-x25519", "chacha20poly1305"),
)
SUITES_V1 = (
    Suite("ikev1-ecp256-pfs", "aes256-sha384-ecp256", "aes256gcm16-ecp256", 1),
    Suite("ikev1-modp2048", "aes256-sha256-modp2048", "aes256-sha256", 1),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one side is told about a tunnel; `mirror` tells the other side the same."""

    site: Site
    ike: str
    esp: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    psk: str = field(repr=False)
    local_id: str
    remote_id: str
    version: int = 2

    @property
    def name(self) -> str:
        """The tunnel's name on this side."""
        return gateways.tunnel_name(self.site)

    @property
    def far(self) -> Site:
        """The other site."""
        return gateways.other(self.site)

    def mirror(self) -> "Terms":
        """The other side's half of the same agreement."""
        return Terms(
            self.far,
            self.ike,
            self.esp,
            self.remote_ts,
            self.local_ts,
            self.psk,
            self.remote_id,
            self.local_id,
            self.version,
        )


def terms(suite: Suite, family: int) -> Terms:
    """Site A's half of an agreement about one family of inside addresses."""
    return Terms(
        SITE_A,
        suite.ike,
        suite.esp,
        (SITE_A.network(family),),
        (SITE_B.network(family),),
        gateways.fresh_psk(),
        SITE_A.gateway,
        SITE_B.gateway,
        suite.version,
    )


IkeSpis = tuple[str, str]
ChildSpis = tuple[int, int]


class Gateway(Protocol):
    """One end of a tunnel under test, whoever made it."""

    def begin(self, agreed: Terms) -> None:
        """Run under this agreement, with nothing left of an earlier one."""

    def finish(self) -> None:
        """Forget the agreement and close what stands."""

    def up(self) -> None:
        """Bring the tunnel up; raises LabError when that fails."""

    def close_child(self) -> None:
        """Close phase 2 only."""

    def close(self) -> None:
        """Close phase 1 and 2."""

    def rekey_child(self) -> None:
        """Start renewing phase 2."""

    def rekey_ike(self) -> None:
        """Start renewing phase 1."""

    def ike_sas(self) -> set[IkeSpis]:
        """Initiator's and responder's SPI of each established IKE SA, in hex."""

    def child_sas(self) -> set[ChildSpis]:
        """SPI in and SPI out of each Child SA that carries traffic."""

    def diary(self) -> str:
        """What to print when a test fails."""


class CharonGateway:
    """strongSwan; one process serves many agreements, one after the other."""

    def __init__(self, charon: Charon) -> None:
        self.charon = charon
        self.version = 2
        """Of IKE, under the agreement."""
        self._name = ""
        self._log_from = 0

    def begin(self, agreed: Terms) -> None:
        self.finish()
        self._log_from = len(self._log())
        self._name, self.version = agreed.name, agreed.version
        self.charon.load(
            Connection(
                name=agreed.name,
                local_address=agreed.site.outer4,
                remote_address=agreed.far.outer4,
                local_id=agreed.local_id,
                remote_id=agreed.remote_id,
                psk=agreed.psk,
                ike_proposals=(agreed.ike,),
                children={CHILD: Child(agreed.local_ts, agreed.remote_ts, (agreed.esp,))},
                version=agreed.version,
            )
        )

    def finish(self) -> None:
        if not self._name:
            return
        self.charon.terminate(ike=self._name, force=True)
        self.charon.unload(self._name)
        self._name = ""

    def up(self) -> None:
        self.charon.initiate(CHILD, ike=self._name)

    def close_child(self) -> None:
        self.charon.terminate(child=CHILD)

    def close(self) -> None:
        self.charon.terminate(ike=self._name)

    def rekey_child(self) -> None:
        self.charon.rekey_child(CHILD)

    def rekey_ike(self) -> None:
        self.charon.rekey_ike(self._name)

    def ike_sas(self) -> set[IkeSpis]:
        return {(sa.spi_i, sa.spi_r) for sa in self.charon.list_sas() if sa.state == "ESTABLISHED"}

    def child_sas(self) -> set[ChildSpis]:
        return {
            (child.spi_in, child.spi_out)
            for sa in self.charon.list_sas()
            for child in sa.children
            if child.state in ("INSTALLED", "REKEYING")
        }

    def log(self) -> str:
        """charon's log since `begin`."""
        return self._log()[self._log_from :]

    def diary(self) -> str:
        return f"--- charon in {self.charon.namespace}\n{self.log()}"

    def _log(self) -> str:
        with suppress(OSError):
            return self.charon.log.read_text(encoding="utf-8", errors="replace")
        return ""


class IsthmusGateway:
    """isthmusd; a fresh daemon for each agreement."""

    def __init__(self, world: World, site: Site, directory: Path) -> None:
        self.daemon = Isthmus(world, site.gateway, directory)
        self._name = ""

    def begin(self, agreed: Terms) -> None:
        self.finish()
        self._name = agreed.name
        rule = Rule(CHILD, agreed.local_ts, agreed.remote_ts, (agreed.esp,))
        self.daemon.write(
            Tunnel(
                name=agreed.name,
                peer=agreed.far.outer4,
                psk=agreed.psk,
                local_id=f"fqdn:{agreed.local_id}",
                remote_id=f"fqdn:{agreed.remote_id}",
                rules=(rule,),
                proposals=(agreed.ike,),
                settings={} if agreed.version == 2 else {"ike": str(agreed.version)},
            )
        )
        self.daemon.log.unlink(missing_ok=True)
        self.daemon.start()

    def finish(self) -> None:
        self.daemon.stop()

    def up(self) -> None:
        self.daemon.request("up", tunnel=self._name, timeout_s=PATIENCE_S)

    def close_child(self) -> None:
        self.daemon.request("down", tunnel=self._name, rule=CHILD, hold=False)

    def close(self) -> None:
        self.daemon.request("down", tunnel=self._name, hold=False)

    def rekey_child(self) -> None:
        self.daemon.request("rekey", tunnel=self._name, rule=CHILD, phase=2)

    def rekey_ike(self) -> None:
        self.daemon.request("rekey", tunnel=self._name, phase=1)

    def ike_sas(self) -> set[IkeSpis]:
        phase1 = self.daemon.tunnel()["phase1"]
        if phase1["state"] not in ("up", "rekeying"):
            return set()
        return {(_hex(phase1["spi_i"]), _hex(phase1["spi_r"]))}

    def child_sas(self) -> set[ChildSpis]:
        (rule,) = self.daemon.tunnel()["rules"]
        return {
            (int(child["spi_in"], 16), int(child["spi_out"], 16))
            for child in rule["children"]
            if child["state"] in ("installed", "rekeying")
        }

    def diary(self) -> str:
        return f"--- isthmusd in {self.daemon.namespace}\n{self.daemon.log_tail(120)}"


def _hex(spi: str) -> str:
    return spi.removeprefix("0x").rjust(16, "0")


@dataclass(frozen=True, slots=True)
class Pair:
    """The gateway under test at site A, and strongSwan at site B."""

    world: World
    near: Gateway
    far: CharonGateway
    directory: Path

    def begin(self, agreed: Terms, far: Terms | None = None) -> None:
        """Tell both sides; `far` when the other side is told something that does not fit."""
        self.far.begin(far or agreed.mirror())
        self.near.begin(agreed)

    def finish(self) -> None:
        """Close what stands on both sides."""
        with suppress(LabError, ViciError):
            self.near.finish()
        self.far.finish()

    def agree(self) -> bool:
        """Both ends hold one IKE SA, the same, and one Child SA, crosswise. In IKEv1 phase 1 that
        another one has replaced stays for some seconds: nothing but its Delete tells of the end."""
        near, far = self.near.child_sas(), self.far.child_sas()
        ours, theirs = self.near.ike_sas(), self.far.ike_sas()
        return (
            len(near) == 1
            and near == {(spi_in, spi_out) for spi_out, spi_in in far}
            and len(ours) == 1
            and (ours == theirs or (self.far.version == 1 and ours < theirs))
        )

    def quiet(self) -> bool:
        """Neither end holds an IKE SA or a Child SA."""
        return not (
            self.near.ike_sas()
            or self.far.ike_sas()
            or self.near.child_sas()
            or self.far.child_sas()
        )

    def diary(self) -> str:
        """Both sides' own words."""
        return f"{self.near.diary()}\n{self.far.diary()}"


__all__ = [
    "CHILD",
    "SITE_A",
    "SITE_B",
    "SUITES",
    "SUITES_V1",
    "CharonGateway",
    "Gateway",
    "IsthmusGateway",
    "Pair",
    "Suite",
    "Terms",
    "eventually",
    "require_root_and",
    "terms",
]
