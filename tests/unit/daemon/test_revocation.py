"""What is learnt of revoked certificates: believed if signed, kept, waited for in bounds."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from exchanges import pki
from exchanges.pki import Node
from isthmus.daemon.fetching import NotFetched
from isthmus.daemon.revocation import PATIENCE_S, RETRY_FIRST_S, RETRY_MAX_S, Revocations
from isthmus.daemon.status_cache import FILES_MAX, StatusCache
from isthmus.ike.auth.judging import Question
from isthmus.ike.core.records import Happening
from isthmus.values.trust import RevocationMode
from isthmus.x509.errors import Untrusted
from isthmus.x509.path import validate
from isthmus.x509.revocation import Statuses, judge, needed
from isthmus.x509.rules import VerifiedPath

AT = int((pki.LONG_AGO + timedelta(days=1)).timestamp())
URL = "http://crl.example.net/root.crl"
OCSP_URL = "http://ocsp.example.net/"


def point(url: str) -> tuple[x509.ExtensionType, bool]:
    name = x509.UniformResourceIdentifier(url)
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None)]), False


def responder(url: str) -> tuple[x509.ExtensionType, bool]:
    name = x509.UniformResourceIdentifier(url)
    oid = x509.oid.AuthorityInformationAccessOID.OCSP
    return x509.AuthorityInformationAccess([x509.AccessDescription(oid, name)]), False


ROOT = pki.issue("Root")
OTHER_ROOT = pki.issue("Other root")
"""So that the list of the one says nothing of whom the other's responder is asked about."""
LISTED = pki.issue("listed", ROOT, names=("fqdn:a.example.net",), extensions=(point(URL),))
ASKED = pki.issue(
    "asked", OTHER_ROOT, names=("fqdn:b.example.net",), extensions=(responder(OCSP_URL),)
)
OTHER = pki.issue("other", ROOT, names=("fqdn:c.example.net",))


def path_of(node: Node) -> VerifiedPath:
    return validate(node.read, (), (ROOT.read, OTHER_ROOT.read), at=AT)


def question(node: Node, mode: RevocationMode = RevocationMode.SOFT) -> Question:
    path = path_of(node)
    return Question(path, needed(path, Statuses(), AT), mode)


@dataclass
class World:
    """Servers as a table, and time as the test says."""

    directory: Path
    pages: dict[str, bytes | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    said: list[Happening] = field(default_factory=list)
    at: float = AT
    now: float = 0.0

    def revocations(self) -> Revocations:
        cache = StatusCache(self.directory / "cache")
        return Revocations(self.fetch, cache, self.said.append, lambda: self.at, lambda: self.now)

    async def fetch(self, url: str, body: bytes, octets_max: int, timeout_s: float) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url)
        if page is None:
            # The handshake's patience ends while this one still hangs, but not before the others
            # have answered.
            while self.events().count("revocation.fetched") < len(self.pages):
                await asyncio.sleep(0.001)
            self.now += max(PATIENCE_S.values())
            await asyncio.sleep(3600)
        if isinstance(page, Exception):
            raise page
        assert isinstance(page, bytes)
        return page

    def events(self) -> list[str]:
        return [happening.event for happening in self.said]


def play(directory: Path, scene: Callable[[World, Revocations], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World(directory)
        revocations = world.revocations()
        try:
            await asyncio.wait_for(scene(world, revocations), 60)
        finally:
            revocations.close()

    asyncio.run(run())


def code(path: VerifiedPath, statuses: Statuses, mode: RevocationMode) -> str:
    """The refusal, or an empty text."""
    try:
        judge(path, statuses, AT, mode)
    except Untrusted as untrusted:
        return untrusted.code
    return ""


def test_a_list_and_an_answer_are_fetched_and_judged_by(tmp_path: Path) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        world.pages = {URL: pki.revoked(LISTED), OCSP_URL: pki.ocsp_answer(ASKED, good=True)}
        found = await revocations.learn((question(LISTED), question(ASKED)), Statuses())
        assert code(path_of(LISTED), found, RevocationMode.SOFT) == "E149"
        assert code(path_of(ASKED), found, RevocationMode.STRICT) == ""
        assert sorted(world.asked) == [URL, OCSP_URL]
        assert world.events() == ["revocation.fetched"] * 2

    play(tmp_path, scene)


def test_what_is_known_is_not_asked_again_even_after_a_restart(tmp_path: Path) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        world.pages = {URL: pki.revoked(OTHER)}
        await revocations.learn((question(LISTED),), Statuses())
        await revocations.learn((question(LISTED),), Statuses())
        after = world.revocations()
        found = await after.learn((question(LISTED),), Statuses())
        after.close()
        assert world.asked == [URL]
        assert code(path_of(LISTED), found, RevocationMode.STRICT) == ""
        (file,) = (tmp_path / "cache").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # Somebody put another list there: it is not signed by who may.
        file.write_bytes(pki.revoked(pki.issue("x", pki.issue("Stranger"))))
        again = world.revocations()
        await again.learn((question(LISTED),), Statuses())
        again.close()
        assert world.asked == [URL, URL]

    play(tmp_path, scene)


def test_what_passed_its_date_is_fetched_anew(tmp_path: Path) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        world.pages = {URL: pki.revoked(OTHER)}
        await revocations.learn((question(LISTED),), Statuses())
        world.at = pki.FAR_AHEAD.timestamp() + 1
        await revocations.learn((question(LISTED),), Statuses())
        assert world.asked == [URL, URL]
        assert world.events()[-1] == "revocation.failed", "it is still the old one"

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\x30\x80garbage",
        b"<html>Log in</html>",
        pki.revoked(pki.issue("x", pki.issue("Stranger"))),
        pki.revoked(replace(LISTED, issuer=replace(ROOT, key=pki.private("p256", 77)))),
        b"\x30\x84\x00\x9f\xff\xf0" + bytes(10 << 20),
        NotFetched("no answer within 10 s"),
    ],
    ids=["empty", "garbage", "page", "stranger", "forged", "large", "failed"],
)
def test_lies_are_not_believed_and_not_asked_for_again_at_once(
    tmp_path: Path, page: bytes | Exception
) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        world.pages = {URL: page}
        found = await revocations.learn((question(LISTED),), Statuses())
        assert code(path_of(LISTED), found, RevocationMode.SOFT) == ""
        assert code(path_of(LISTED), found, RevocationMode.STRICT) == "E160"
        pauses = []
        for _ in range(12):
            before = len(world.asked)
            await revocations.learn((question(LISTED),), Statuses())
            assert len(world.asked) == before, "it is left alone for a while"
            pause = float(world.said[-1].message.rpartition("next try in ")[2].split(" ")[0])
            pauses.append(pause)
            world.now += pause
            await revocations.learn((question(LISTED),), Statuses())
            assert len(world.asked) == before + 1
        assert pauses[:2] == [RETRY_FIRST_S, 2 * RETRY_FIRST_S] and max(pauses) == RETRY_MAX_S
        world.now += RETRY_MAX_S
        world.pages = {URL: pki.revoked(LISTED)}
        found = await revocations.learn((question(LISTED),), Statuses())
        assert code(path_of(LISTED), found, RevocationMode.SOFT) == "E149"

    play(tmp_path, scene)


@pytest.mark.parametrize("mode", [RevocationMode.SOFT, RevocationMode.STRICT])
def test_a_server_that_hangs_is_waited_for_no_longer_than_the_mode_allows(
    tmp_path: Path, mode: RevocationMode
) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        both = (question(LISTED, mode), question(ASKED, mode))
        world.pages = {OCSP_URL: pki.ocsp_answer(ASKED, good=False)}
        started = asyncio.get_running_loop().time()
        # The clock of the test stands still, so patience is what `asyncio.wait` measures.
        found = await revocations.learn(both, Statuses())
        took = asyncio.get_running_loop().time() - started
        assert took < PATIENCE_S[mode] + 5
        assert code(path_of(ASKED), found, RevocationMode.SOFT) == "E151", "the other one counts"
        other = await revocations.learn((question(ASKED, mode),), Statuses())
        assert code(path_of(ASKED), other, RevocationMode.SOFT) == "E151"
        assert world.asked.count(URL) == 1, "and it hangs once, not for every peer"

    play(tmp_path, scene)


def test_what_files_say_counts_beside(tmp_path: Path) -> None:
    async def scene(world: World, revocations: Revocations) -> None:
        from isthmus.x509.crl import Crl

        known = Statuses.of([Crl.parse(pki.revoked(LISTED))])
        found = await revocations.learn((question(LISTED),), known)
        assert code(path_of(LISTED), found, RevocationMode.SOFT) == "E149" and not world.asked

    play(tmp_path, scene)


def test_the_cache_has_a_bound_and_does_without_a_disk(tmp_path: Path) -> None:
    cache = StatusCache(tmp_path / "cache")
    for number in range(FILES_MAX + 5):
        cache.put(f"{number:04}", b"octets")
    assert len(list((tmp_path / "cache").iterdir())) == FILES_MAX
    assert cache.get(f"{FILES_MAX + 4:04}", 10) == b"octets"
    assert cache.get("none", 10) is None and cache.get(f"{FILES_MAX + 4:04}", 3) is None
    (tmp_path / "file").write_text("no folder")
    nowhere = StatusCache(tmp_path / "file" / "cache")
    nowhere.put("x", b"octets")
    assert nowhere.get("x", 10) is None
