"""Certificates watched while the daemon runs (F-19, R-20): a date and a clock are arguments."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchanges import pki
from exchanges.pki import Node
from isthmus.credentials.inventory import DAY_S
from isthmus.credentials.store import Credentials
from isthmus.daemon.certificates import CHECK_S, CertificateWatch
from isthmus.daemon.fetching import NotFetched
from isthmus.daemon.reload import Terms
from isthmus.daemon.revocation import Revocations
from isthmus.daemon.status_cache import StatusCache
from isthmus.ike.core.commands import Distrust
from isthmus.ike.core.proofs import Judged
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import Phase1State, Phase1View, TunnelView
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Configuration
from isthmus.values.address import Endpoint
from isthmus.values.signature import Scheme
from isthmus.values.trust import RevocationMode
from isthmus.x509.crl import Crl
from isthmus.x509.path import validate
from isthmus.x509.revocation import Statuses

from .samples import tunnel

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
YEAR_S = 365 * DAY_S
ROOT = pki.issue("Root")
OURS = pki.issue("ours", ROOT, names=("fqdn:a.example.net",), not_after=NOW + timedelta(days=40))
PEER = pki.issue("peer", ROOT, names=("fqdn:b.example.net",), not_after=NOW + timedelta(hours=2))


def connection(mode: RevocationMode = RevocationMode.SOFT) -> object:
    return replace(
        tunnel("office"),
        local_auth=LocalAuth(AuthKind.CERT, "office"),
        remote_auth=RemoteAuth(AuthKind.CERT, "office", revocation=mode),
    )


def proof_of(peer: Node, at: int = AT) -> Judged:
    path = validate(peer.read, (), (ROOT.read,), at=at)
    return Judged("office", Scheme.ECDSA_SHA256, "peer", path.not_after, path, at)


def view(proof: Judged | None) -> TunnelView:
    end = Endpoint("192.0.2.1", 500)
    sa = Phase1View("", "", end, end, "", "", "", True, "none", 0, 0, 0, peer_proof=proof)
    return TunnelView("office", "192.0.2.2", "policy", "traffic", Phase1State.UP, True, 0, sa, ())


@dataclass
class Scene:
    """A daemon with one tunnel that is up, and what its watch has said and asked."""

    directory: Path
    mode: RevocationMode = RevocationMode.SOFT
    peer: Node = PEER
    at: float = AT
    now: float = 1000.0
    statuses: Statuses = field(default_factory=Statuses)
    said: list[Happening] = field(default_factory=list)
    distrusted: list[Distrust] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proof = proof_of(self.peer)
        self.own = OURS.own()
        self.credentials = self.with_statuses(Statuses())
        self.revocations = Revocations(
            self.fetch,
            StatusCache(self.directory / "cache"),
            self.said.append,
            lambda: self.at,
            lambda: self.now,
        )
        self.watch = CertificateWatch(
            lambda: [view(self.proof)],
            lambda: Terms(Configuration((connection(self.mode),)), self.credentials),  # type: ignore[arg-type]
            self.revocations,
            self.distrusted.append,
            self.said.append,
            lambda: self.at,
            lambda: self.now,
        )

    def with_statuses(self, statuses: Statuses) -> Credentials:
        owns, trusts = {"office": self.own}, {"office": pki.trust(ROOT)}
        return Credentials({}, owns, trusts, statuses)

    async def fetch(self, url: str, body: bytes, octets_max: int, timeout_s: float) -> bytes:
        raise NotFetched("there is no network here")

    async def passes(self, seconds: float) -> None:
        """Time goes on, and the watch looks as often as it does."""
        while seconds > 0:
            step = min(CHECK_S, seconds)
            seconds -= step
            self.at += step
            self.now += step
            await self.watch.check()

    def warnings(self) -> list[str]:
        return [h.message for h in self.said if h.event.startswith("certificate.")]


def play(directory: Path, scene: Callable[[Scene], Awaitable[None]], **how: object) -> None:
    async def run() -> None:
        at = Scene(directory, **how)  # type: ignore[arg-type]
        try:
            await asyncio.wait_for(scene(at), 60)
        finally:
            at.revocations.close()

    asyncio.run(run())


def test_an_sa_ends_with_its_peers_certificate_and_not_before(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        await at.passes(7200 - CHECK_S)
        assert not at.distrusted
        await at.passes(60)
        close = at.distrusted[0]
        assert (close.tunnel, close.code) == ("office", "E141") and "peer" in close.reason
        assert close.certificates == (PEER.read, ROOT.read)

    play(tmp_path, scene)


@pytest.mark.parametrize("jump_s", [3600, -3600, 10 * YEAR_S, -10 * YEAR_S])
def test_a_clock_that_jumps_closes_nothing(tmp_path: Path, jump_s: int) -> None:
    """R-20: neither the jump nor the way back."""

    async def scene(at: Scene) -> None:
        at.credentials = at.with_statuses(Statuses.of([Crl.parse(pki.revoked(OURS))]))
        await at.passes(60)
        at.at += jump_s
        await at.passes(600)
        at.at -= jump_s
        await at.passes(600)
        assert not at.distrusted
        await at.passes(7200 - 1260 + 60)
        assert at.distrusted[0].code == "E141", "its end is where it was"

    play(tmp_path, scene, mode=RevocationMode.STRICT)


@pytest.mark.parametrize("mode", [RevocationMode.SOFT, RevocationMode.STRICT])
def test_an_sa_whose_peer_was_revoked_is_closed_within_a_minute(
    tmp_path: Path, mode: RevocationMode
) -> None:
    async def scene(at: Scene) -> None:
        await at.passes(300)
        assert not at.distrusted
        at.credentials = at.with_statuses(Statuses.of([Crl.parse(pki.revoked(PEER))]))
        await at.passes(60)
        assert at.distrusted and {d.code for d in at.distrusted} == {"E149"}

    play(tmp_path, scene, mode=mode)


def test_nobody_is_asked_where_revocation_is_off(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.credentials = at.with_statuses(Statuses.of([Crl.parse(pki.revoked(PEER))]))
        await at.passes(60)
        assert not at.distrusted

    play(tmp_path, scene, mode=RevocationMode.OFF)


def test_a_peer_with_a_pre_shared_key_is_left_alone(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.proof = None  # type: ignore[assignment]
        await at.passes(60)
        assert not at.distrusted

    play(tmp_path, scene)


def test_it_is_warned_thirty_days_seven_days_and_one_day_before_and_at_the_end(
    tmp_path: Path,
) -> None:
    async def scene(at: Scene) -> None:
        at.proof = None  # type: ignore[assignment]
        await at.watch.check()
        assert at.warnings() == []
        days = []
        for _ in range(45):
            at.at += DAY_S
            await at.watch.check()
            await at.watch.check()
            days.append(len(at.warnings()))
        assert [h.event for h in at.said] == ["certificate.expires"] * 3 + ["certificate.expired"]
        assert [m.split(" ends in ")[1].split(",")[0] for m in at.warnings()[:3]] == [
            "30 days",
            "7 days",
            "1 day",
        ]
        assert [days.index(n) + 1 for n in (1, 2, 3, 4)] == [10, 33, 39, 41]
        assert at.said[-1].code == "E141" and "our certificate" in at.said[-1].message

    play(tmp_path, scene)


def test_a_clock_that_was_wrong_is_forgotten(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        at.at += 10 * YEAR_S
        await at.watch.check()
        at.at -= 10 * YEAR_S
        await at.watch.check()
        before = len(at.warnings())
        at.at += 15 * DAY_S
        await at.watch.check()
        assert len(at.warnings()) == before + 1 and "ends in 25 days" in at.warnings()[-1]

    play(tmp_path, scene)


def test_status_tells_the_days_that_are_left(tmp_path: Path) -> None:
    async def scene(at: Scene) -> None:
        found = [(s.role, s.days_left) for s in at.watch.states("office", at.proof)]
        assert found[0] == ("own", 40) and found[-1] == ("peer", 0)
        assert [role for role, _ in found] == ["own", "anchor", "peer"]
        assert at.watch.states("other", None) == ()

    play(tmp_path, scene)
