"""What is known of revoked certificates, learnt while the daemon runs: fetched, cached, believed
only when it is signed by who may say so.

`learn` is what a worker waits for before it judges a peer, and never longer than the mode allows.
Fetching is another process's work (`fetcher`), reading happens in a thread of its own, so a server
that hangs, lies or sends too much delays the peers whose certificates name it and nobody else.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from isthmus.daemon.fetching import NotFetched
from isthmus.daemon.status_cache import StatusCache
from isthmus.ike.auth.judging import Question
from isthmus.ike.core.records import Happening
from isthmus.values.time import Seconds
from isthmus.values.trust import RevocationMode
from isthmus.x509.crl import CRL_SIZE_MAX, Crl, is_signed_by
from isthmus.x509.errors import BadCrl, BadOcsp
from isthmus.x509.ocsp import ANSWER_SIZE_MAX, OcspAnswer
from isthmus.x509.revocation import (
    Source,
    SourceKind,
    Statuses,
    admit_answer,
    admit_crl,
    needed,
)
from isthmus.x509.rules import VerifiedPath

FETCH_TIMEOUT_S: Seconds = 5.0
PATIENCE_S = {
    RevocationMode.OFF: 0.0,
    RevocationMode.SOFT: 2.0,
    RevocationMode.STRICT: FETCH_TIMEOUT_S,
}
"""How long a handshake waits. Where nobody can say, soft goes on without; what comes later is acted
on later."""
RETRY_FIRST_S: Seconds = 30.0
RETRY_MAX_S: Seconds = 3600.0
SOURCES_MAX = 1024
"""Places whose failures are remembered."""
KNOWN_MAX = 256
"""Lists and answers that were fetched and are kept in memory."""
UNSIGNED_MAX = 262_144
"""Octets of a list that is read before its signature is known to be an issuer's."""

Fetch = Callable[[str, bytes, int, Seconds], Awaitable[bytes]]
Status = Crl | OcspAnswer
T = TypeVar("T")


@dataclass(slots=True)
class _Failure:
    """A place that gave nothing of use is left alone for a while, each time longer."""

    again_at: float
    pause_s: Seconds


class Revocations:
    """Learns statuses and keeps them. Used on the event loop's thread only."""

    def __init__(
        self,
        fetch: Fetch,
        cache: StatusCache,
        record: Callable[[Happening], None],
        date: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`date` is Unix time in seconds, `clock` never runs backwards."""
        self._fetch = fetch
        self._cache = cache
        self._record = record
        self._date = date
        self._clock = clock
        self._known: dict[str, Status] = {}
        """By the place it came from."""
        self.learnt = 0
        """Counts what was learnt: while it stays, nothing has to be weighed again."""
        self._failures: dict[str, _Failure] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="isthmus-lists")

    async def learn(self, questions: tuple[Question, ...], statuses: Statuses) -> Statuses:
        """`statuses` and whatever can be had to answer these questions, in bounded time."""
        deadline = self._clock() + max(PATIENCE_S[question.mode] for question in questions)
        while True:
            found = self.all(statuses)
            tasks = {
                task
                for path in (question.path for question in questions)
                for source in await asyncio.to_thread(needed, path, found, int(self._date()))
                if (task := self._task(source, path)) is not None
            }
            left = deadline - self._clock()
            if not tasks or left <= 0:
                return found
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def look_after(self, path: VerifiedPath, statuses: Statuses) -> Statuses:
        """As `learn` for a path that carries an SA: what is missing is sent for and not waited
        for."""
        found = self.all(statuses)
        for source in await asyncio.to_thread(needed, path, found, int(self._date())):
            self._task(source, path)
        return found

    def all(self, statuses: Statuses) -> Statuses:
        """What was read from files, and what was fetched."""
        for status in self._known.values():
            statuses = (
                statuses.with_crl(status)
                if isinstance(status, Crl)
                else statuses.with_answer(status)
            )
        return statuses

    def close(self) -> None:
        """Forget what has not come yet."""
        for task in self._running.values():
            task.cancel()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _task(self, source: Source, path: VerifiedPath) -> asyncio.Task[None] | None:
        """The one visit to a place that is under way, or a new one; None: it is left alone."""
        name = _name(source)
        task = self._running.get(name)
        if task is not None:
            return task
        failure = self._failures.get(name)
        if failure is not None and self._clock() < failure.again_at:
            return None
        task = asyncio.create_task(self._visit(name, source, path))
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def _visit(self, name: str, source: Source, path: VerifiedPath) -> None:
        started = self._clock()
        cached = await self._read(self._cached, name, source, path)
        if cached is not None and self._answers(cached, source, path):
            self._keep(name, cached)
            return
        octets_max = CRL_SIZE_MAX if source.kind is SourceKind.CRL else ANSWER_SIZE_MAX
        try:
            octets = await self._fetch(source.url, source.request, octets_max, FETCH_TIMEOUT_S)
            status = await self._read(self._admitted, octets, source, path)
        except (NotFetched, BadCrl, BadOcsp) as error:
            self._failed(name, source, str(error))
            return
        if not self._answers(status, source, path):
            self._failed(name, source, "what it holds is out of date, or about something else")
            return
        self._failures.pop(name, None)
        self._keep(name, status)
        took_ms = round((self._clock() - started) * 1000, 1)
        self._record(
            Happening(
                "revocation.fetched",
                message=f"{source.kind.upper()} from {source.url}",
                detail=(("url", source.url), ("octets", len(octets)), ("took_ms", took_ms)),
            )
        )
        await self._read(self._cache.put, name, octets)

    async def _read(self, work: Callable[..., T], *arguments: object) -> T:
        """Slow work on one thread, so that it is never more than one that competes for time."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *arguments)

    def _cached(self, name: str, source: Source, path: VerifiedPath) -> Status | None:
        octets = self._cache.get(name, CRL_SIZE_MAX)
        if octets is None:
            return None
        try:
            return self._admitted(octets, source, path)
        except (BadCrl, BadOcsp):
            return None  # As if it were not there: the place itself is asked.

    def _admitted(self, octets: bytes, source: Source, path: VerifiedPath) -> Status:
        """What was sent, if it is signed by who may say so. Raises BadCrl or BadOcsp."""
        at = int(self._date())
        if source.kind is SourceKind.OCSP:
            answer = OcspAnswer.parse(octets)
            admit_answer(Statuses(), answer, path, at)
            return answer
        issuers = [issuer.public_key for issuer in path.certificates[1:]]
        if len(octets) > UNSIGNED_MAX and not is_signed_by(octets, issuers):
            raise BadCrl(f"a list of {len(octets)} octets that no issuer of this path signed")
        crl = Crl.parse(octets)
        admit_crl(Statuses(), crl, path, at)
        return crl

    def _answers(self, status: Status, source: Source, path: VerifiedPath) -> bool:
        """Is the place no longer needed once this is known?"""
        known = Statuses.of(*(((status,), ()) if isinstance(status, Crl) else ((), (status,))))
        left = needed(path, known, int(self._date()))
        return all(_name(other) != _name(source) for other in left)

    def _keep(self, name: str, status: Status) -> None:
        self._known.pop(name, None)
        self._known[name] = status
        self.learnt += 1
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _failed(self, name: str, source: Source, why: str) -> None:
        before = self._failures.pop(name, None)
        pause_s = RETRY_FIRST_S if before is None else min(RETRY_MAX_S, before.pause_s * 2)
        while len(self._failures) >= SOURCES_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[name] = _Failure(self._clock() + pause_s, pause_s)
        self._record(
            Happening(
                "revocation.failed",
                message=f"{source.kind.upper()} from {source.url}: {why}; "
                f"next try in {pause_s:g} s",
                detail=(("url", source.url), ("reason", why)),
            )
        )


def _name(source: Source) -> str:
    """A place, and what is asked there, as the name of a file."""
    asked = b"\0".join((source.kind.encode(), source.url.encode("utf-8"), source.request))
    return hashlib.sha256(asked).hexdigest()
