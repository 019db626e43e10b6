"""Handshakes a second, and processor time a handshake: IKE SA and Child SA, one daemon to another.

Two gateways with a router between them, as in `isthmus lab`, each isthmusd or strongSwan's charon.
So many tunnels are configured at both ends, told apart by their identities; then the one end brings
all of them up, some at once, in rounds. Processor time is that of all threads of a daemon's
processes, and of its IKE process apart (charon is one process). X25519, AES-128-GCM, HMAC-SHA-256;
`psk` is a pre-shared key of each tunnel, `ecdsa` a P-256 certificate at each end. Needs root, and
strongSwan for charon. The figures mean something beside each other, in one run.

    bench/handshakes.py [--pairs isthmus-charon,...] [--auths psk,ecdsa] [--count 500] [--rounds 5]
                        [--at-once 4] [--tunnels N] [--json FILE]
"""

import argparse
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from isthmus.lab import gateways, strongswan, topology
from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.namespaces import LabError, World
from isthmus.lab.strongswan import Charon, Child, Connection
from isthmus.lab.topology import SITE_A, SITE_B, SITES, Site
from isthmus.lab.vici import Section

IKE = ("aes128gcm16-prfsha256-x25519",)
ESP = ("aes128gcm16",)
AUTHS = ("psk", "ecdsa", "rsa3072")
KINDS = ("isthmus", "charon")
PAIRS = tuple(f"{initiator}-{responder}" for initiator in KINDS for responder in KINDS)
WARM_UP = 20
PATIENCE_S = 300.0
_NS = 1e9
# Half-open IKE SAs of one address are what both daemons limit: this bench is one address.
_CHARON_SETTINGS = "dos_protection = no\n  reuse_ikesa = no\n  threads = 16"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of handshakes took, for each of them."""

    per_s: float
    initiator_ms: float
    initiator_ike_ms: float
    responder_ms: float
    responder_ike_ms: float
    """Milliseconds of processor."""
    driver_ms: float
    """This program's own, which shares the processors."""


@dataclass(frozen=True, slots=True)
class Result:
    """One pair of daemons with one kind of proof."""

    pair: str
    auth: str
    rounds: tuple[Round, ...] = field(repr=False)
    count: int
    """Handshakes in all, without those of the warm-up."""
    tunnels: int
    """Configured at both ends."""
    initiator_kib: dict[str, float] = field(default_factory=dict)
    responder_kib: dict[str, float] = field(default_factory=dict)
    """Growth of the resident sets for each tunnel that came up, by process, in KiB."""

    def median(self, what: str) -> float:
        """The median over the rounds of one of `Round`'s figures."""
        return float(statistics.median(getattr(each, what) for each in self.rounds))

    def objects(self) -> list[dict[str, object]]:
        """As `bench/results/latest.json` has them."""
        subject, auth = f"{self.pair}", self.auth
        units = {
            "per_s": "handshakes/s",
            "initiator_ms": "ms of processor",
            "initiator_ike_ms": "ms of processor",
            "responder_ms": "ms of processor",
            "responder_ike_ms": "ms of processor",
        }
        found: list[dict[str, object]] = [
            {
                "bench": "handshakes",
                "variant": f"{auth} {what}",
                "subject": subject,
                "value": round(self.median(what), 4),
                "unit": unit,
                "runs": [round(getattr(each, what), 4) for each in self.rounds],
            }
            for what, unit in units.items()
        ]
        for side, kib in (("initiator", self.initiator_kib), ("responder", self.responder_kib)):
            found.append(
                {
                    "bench": "handshakes",
                    "variant": f"{auth} {side} memory a tunnel",
                    "subject": subject,
                    "value": round(sum(kib.values()) * 1.024, 2),
                    "unit": "kB",
                    "runs": [{name: round(value, 2) for name, value in kib.items()}],
                }
            )
        return found


@dataclass(frozen=True, slots=True)
class Papers:
    """A root, and one certificate for each tunnel and end; they share a key for each end, for what
    is measured is signing and checking, not drawing keys."""

    root: str
    keys: dict[str, str] = field(repr=False)
    chains: dict[tuple[str, int], str]

    @classmethod
    def issue(cls, auth: str, count: int) -> "Papers":
        """Certificates of one kind of key for so many tunnels."""
        root_key = _private(auth)
        root = _certificate("root", None, root_key, root_key, root_key)
        keys = {site.letter: _private(auth) for site in SITES}
        chains = {
            (site.letter, number): _pem(
                _certificate(
                    f"{name(number)}.{site.letter}", root, keys[site.letter], root_key, root_key
                )
            )
            for site in SITES
            for number in range(count)
        }
        return cls(_pem(root), {letter: _key_pem(key) for letter, key in keys.items()}, chains)


_Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _private(auth: str) -> _Private:
    if auth == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65_537, 3072)


def _certificate(
    common: str, issuer: x509.Certificate | None, key: _Private, signer: _Private, above: _Private
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False
        )
        .add_extension(x509.BasicConstraints(issuer is None, None), True)
    )
    if issuer is not None:
        host = x509.DNSName(f"{common}.example")
        builder = builder.add_extension(x509.SubjectAlternativeName([host]), False)
    return builder.sign(signer, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: _Private) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def name(number: int) -> str:
    """A tunnel's name, the same at both ends."""
    return f"t{number:05d}"


def identity(site: Site, number: int) -> str:
    """Who this end of a tunnel is, without a type."""
    return f"{name(number)}.{site.letter}.example"


def networks(site: Site, number: int) -> tuple[str, str]:
    """This end's network of a tunnel and the far one's. The responder's is the same for all of
    them, for charon's data plane wants an address of its own in it."""
    far = f"10.{128 + number // 256}.{number % 256}.0/24"
    near = SITE_B.network(4)
    return (far, near) if site is SITE_A else (near, far)


class Gateway(ABC):
    """One end: a daemon with all its tunnels."""

    @abstractmethod
    def up(self, numbers: Sequence[int]) -> None:
        """Bring these tunnels up, one after the other. Raises LabError when one fails."""

    @abstractmethod
    def processes(self) -> dict[str, int]:
        """Its processes by what they do; `ike` is the one that does IKE."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""


class IsthmusGateway(Gateway):
    """isthmusd."""

    def __init__(
        self, world: World, site: Site, directory: Path, secrets: "Papers | Sequence[str]"
    ) -> None:
        self._daemon = Isthmus(world, site.gateway, directory)
        directory.mkdir(mode=0o700, parents=True)
        tunnels, others = [], ""
        if isinstance(secrets, Papers):
            others = _isthmus_certified(directory, site, secrets)
        else:
            tunnels = [_isthmus_psk(site, n, psk) for n, psk in enumerate(secrets)]
        self._daemon.write(*tunnels, others=others)
        self._daemon.start(patience_s=PATIENCE_S)

    def up(self, numbers: Sequence[int]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(self._daemon.control))
            with connection.makefile("rb") as lines:
                for number in numbers:
                    asked = {"verb": "up", "schema": "isthmus/v1", "id": 1, "tunnel": name(number)}
                    connection.sendall(json.dumps(asked).encode() + b"\n")
                    _await_done(lines, name(number))

    def processes(self) -> dict[str, int]:
        return _named(
            self._daemon, {"ike": b"isthmus.daemon.ike", "plane": b"isthmus.daemon.plane"}
        )

    def stop(self) -> None:
        self._daemon.stop()


def _await_done(lines: Iterable[bytes], tunnel: str) -> None:
    """Read events up to the reply that ends a command."""
    for line in lines:
        if b'"type":"event"' in line:
            continue
        reply = json.loads(line)
        if reply["type"] == "error":
            raise LabError(f"{tunnel}: {reply['what']} {reply['why']}")
        if reply["type"] != "event":
            return
    raise LabError(f"isthmusd closed the connection before {tunnel} was up")


def _isthmus_psk(site: Site, number: int, psk: str) -> Tunnel:
    far = gateways.other(site)
    near_network, far_network = networks(site, number)
    return Tunnel(
        name=name(number),
        peer=far.outer4,
        psk=psk,
        local_id=f"fqdn:{identity(site, number)}",
        remote_id=f"fqdn:{identity(far, number)}",
        rules=(Rule("lan", (near_network,), (far_network,), ESP),),
        proposals=IKE,
    )


def _isthmus_certified(directory: Path, site: Site, papers: Papers) -> str:
    """The tables of all tunnels, whose proofs are certificates, and the files that they name."""
    far = gateways.other(site)
    root, key = directory / "root.pem", directory / "own.key"
    root.write_text(papers.root)
    key.touch(0o600)
    key.write_text(papers.keys[site.letter])
    tables = []
    for (letter, number), chain in papers.chains.items():
        if letter != site.letter:
            continue
        own = directory / f"{name(number)}.pem"
        own.write_text(chain)
        near_network, far_network = networks(site, number)
        tables.append(
            f"""[tunnel.{name(number)}]
peer = "{far.outer4}"
mode = "policy"
auth = "cert"
cert = "{own}"
key = {{ file = "{key}" }}
ca = ["{root}"]
revocation = "off"
local_id = "fqdn:{identity(site, number)}"
remote_id = "fqdn:{identity(far, number)}"
[tunnel.{name(number)}.phase1]
proposals = {json.dumps(IKE)}
[tunnel.{name(number)}.rule.lan]
local = ["{near_network}"]
remote = ["{far_network}"]
proposals = {json.dumps(ESP)}
"""
        )
    return "\n".join(tables)


class CharonGateway(Gateway):
    """strongSwan's charon with kernel-libipsec."""

    def __init__(
        self, world: World, site: Site, directory: Path, secrets: "Papers | Sequence[str]"
    ) -> None:
        directory.mkdir(mode=0o700, parents=True)
        self._daemon = Charon(world, site.gateway, directory)
        count = len(secrets.chains) // 2 if isinstance(secrets, Papers) else len(secrets)
        # Its data plane wants an address of its own inside each local network. It reads them when
        # it starts: of hundreds that come at once later it loses some.
        own = dict.fromkeys(networks(site, number)[0] for number in range(count))
        batch = "".join(
            f"address add {network.removesuffix('.0/24')}.1/32 dev lo\n"
            for network in own
            if network != site.network(4)
        )
        world.run(None, ["ip", "-netns", site.gateway, "-batch", "-"], input_text=batch)
        self._daemon.start(settings=_CHARON_SETTINGS, log_level=0)
        if isinstance(secrets, Papers):
            self._daemon.load_certificate(secrets.root, authority=True)
            self._daemon.load_key(secrets.keys[site.letter])
        with self._daemon.vici(timeout_s=PATIENCE_S) as vici:
            for number in range(count):
                told = _charon_connection(site, number, secrets)
                if told.psk:
                    owners = [told.local_id, told.remote_id]
                    shared: Section = {"id": told.name, "type": "IKE", "data": told.psk}
                    vici.request("load-shared", shared | {"owners": owners})
                vici.request("load-conn", told.section())

    def up(self, numbers: Sequence[int]) -> None:
        with self._daemon.vici(timeout_s=PATIENCE_S) as vici:
            for number in numbers:
                wish: Section = {"child": name(number), "ike": name(number), "timeout": "60000"}
                vici.request("initiate", wish | {"loglevel": "-1"})

    def processes(self) -> dict[str, int]:
        return _named(self._daemon, {"ike": b"/usr/lib/ipsec/charon"})

    def stop(self) -> None:
        self._daemon.kill()


def _charon_connection(site: Site, number: int, secrets: "Papers | Sequence[str]") -> Connection:
    far = gateways.other(site)
    near_network, far_network = networks(site, number)
    local: Section = {}
    remote: Section = {}
    psk = ""
    if isinstance(secrets, Papers):
        local = {"auth": "pubkey", "certs": [secrets.chains[(site.letter, number)]]}
        remote = {"auth": "pubkey", "cacerts": [secrets.root]}
    else:
        psk = secrets[number]
    return Connection(
        name=name(number),
        local_address=site.outer4,
        remote_address=far.outer4,
        local_id=identity(site, number),
        remote_id=identity(far, number),
        psk=psk,
        ike_proposals=IKE,
        children={name(number): Child((near_network,), (far_network,), ESP)},
        local=local,
        remote=remote,
    )


def _named(daemon: Isthmus | Charon, marks: dict[str, bytes]) -> dict[str, int]:
    """The processes that descend from a daemon's first one, by marks in their command lines."""
    parents: dict[int, int] = {}
    words: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            words[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
    found: dict[str, int] = {}
    for pid in words:
        above = pid
        while above in parents and above != daemon.pid:
            above = parents[above]
        if above != daemon.pid or pid == daemon.pid:
            continue
        what = next((what for what, mark in marks.items() if mark in words[pid]), None)
        found[what or f"other {len(found)}"] = pid
    if "ike" not in found:
        raise LookupError(f"no IKE process of {daemon.directory}")
    return found


def spent_s(pid: int) -> float:
    """Processor time of a process's threads so far, in seconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue  # A thread that has just ended.
    return total / _NS


def resident_kib(pid: int) -> int:
    """The resident set of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


def _shares(numbers: Sequence[int], at_once: int) -> list[Sequence[int]]:
    return [share for start in range(at_once) if (share := numbers[start::at_once])]


def measure(
    pair: str,
    auth: str = "psk",
    *,
    count: int = 500,
    rounds: int = 5,
    at_once: int = 4,
    tunnels: int | None = None,
    directory: Path | None = None,
) -> Result:
    """One pair of daemons, `initiator-responder`: `count` handshakes in `rounds` rounds of equal
    size, `at_once` at a time, of so many configured `tunnels` (None: as many as there are
    handshakes). Raises LabError when a daemon does not start or a handshake fails."""
    each = count // rounds
    count = each * rounds
    total = max(tunnels or 0, count + WARM_UP)
    secrets = (
        [gateways.fresh_psk() for _ in range(total)] if auth == "psk" else Papers.issue(auth, total)
    )
    kinds = {"isthmus": IsthmusGateway, "charon": CharonGateway}
    initiator_kind, _, responder_kind = pair.partition("-")
    with ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isth-")))
        world = stack.enter_context(topology.two_sites(directory))
        ends: list[Gateway] = []
        for site, kind in ((SITE_B, responder_kind), (SITE_A, initiator_kind)):
            end = kinds[kind](world, site, directory / site.gateway, secrets)
            stack.callback(end.stop)
            ends.append(end)
        responder, initiator = ends
        pool = stack.enter_context(ThreadPoolExecutor(at_once))

        def bring_up(numbers: Sequence[int]) -> None:
            for done in [pool.submit(initiator.up, share) for share in _shares(numbers, at_once)]:
                done.result()

        bring_up(range(WARM_UP))
        pids = [initiator.processes(), responder.processes()]
        before_kib = [{what: resident_kib(pid) for what, pid in end.items()} for end in pids]
        found = []
        for number in range(rounds):
            start = WARM_UP + number * each
            numbers = range(start, start + each)
            found.append(_one_round(pids, partial(bring_up, numbers), each))
        growth = [
            {what: (resident_kib(pid) - before[what]) / count for what, pid in end.items()}
            for end, before in zip(pids, before_kib, strict=True)
        ]
    return Result(pair, auth, tuple(found), count, total, growth[0], growth[1])


def _one_round(pids: list[dict[str, int]], work: Callable[[], None], each: int) -> Round:
    def spent() -> list[dict[str, float]]:
        return [{what: spent_s(pid) for what, pid in end.items()} for end in pids]

    before, own = spent(), time.process_time()
    started = time.monotonic()
    work()
    took = time.monotonic() - started
    own = time.process_time() - own
    used = [
        {what: 1000 * (after[what] - old[what]) / each for what in after}
        for after, old in zip(spent(), before, strict=True)
    ]
    return Round(
        per_s=each / took,
        initiator_ms=sum(used[0].values()),
        initiator_ike_ms=used[0]["ike"],
        responder_ms=sum(used[1].values()),
        responder_ike_ms=used[1]["ike"],
        driver_ms=1000 * own / each,
    )


def table(results: Sequence[Result]) -> str:
    """Medians over the rounds, with the range of the rate, and memory a tunnel."""
    lines = [
        f"{'initiator-responder':20}{'auth':>9}{'a second':>10}{'range':>14}"
        f"{'initiator ms':>14}{'(IKE)':>8}{'responder ms':>14}{'(IKE)':>8}"
        f"{'kB a tunnel':>16}{'driver ms':>11}"
    ]
    for result in results:
        rates = [each.per_s for each in result.rounds]
        memory = "/".join(
            f"{sum(kib.values()) * 1.024:.1f}"
            for kib in (result.initiator_kib, result.responder_kib)
        )
        lines.append(
            f"{result.pair:20}{result.auth:>9}{result.median('per_s'):>10.0f}"
            f"{f'{min(rates):.0f}..{max(rates):.0f}':>14}"
            f"{result.median('initiator_ms'):>14.2f}{result.median('initiator_ike_ms'):>8.2f}"
            f"{result.median('responder_ms'):>14.2f}{result.median('responder_ike_ms'):>8.2f}"
            f"{memory:>16}{result.median('driver_ms'):>11.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    """The command line; status 1 when it is not root's, or something is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--auths", default="psk,ecdsa", help=f"of {', '.join(AUTHS)}")
    parser.add_argument("--count", type=int, default=500, help="handshakes of each pair")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--tunnels", type=int, help="configured; none: as many as handshakes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    pairs, auths = asked.pairs.split(","), asked.auths.split(",")
    if wrong := [*set(pairs).difference(PAIRS), *set(auths).difference(AUTHS)]:
        parser.error(f"not known: {', '.join(wrong)}")
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        return 1
    if "charon" in asked.pairs and (absent := strongswan.missing()):
        print(f"strongSwan is not here: apt install {' '.join(absent)}", file=sys.stderr)
        return 1
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    results = []
    for auth in auths:
        for pair in pairs:
            try:
                result = measure(
                    pair,
                    auth,
                    count=asked.count,
                    rounds=asked.rounds,
                    at_once=asked.at_once,
                    tunnels=asked.tunnels,
                )
            except LabError as error:
                print(f"{pair} {auth}: {error}", file=sys.stderr)
                return 1
            print(table([result]).splitlines()[-1], flush=True)
            results.append(result)
    print(table(results))
    if asked.json is not None:
        objects = [found for result in results for found in result.objects()]
        asked.json.write_text(json.dumps(objects, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
