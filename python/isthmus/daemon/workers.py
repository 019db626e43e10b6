"""Slow jobs of the engine, away from the event loop."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address
from typing import TypeVar, assert_never

from isthmus.crypto import agreement
from isthmus.crypto.entropy import Entropy
from isthmus.crypto.signature import MemoryKey
from isthmus.ike.auth import judging
from isthmus.ike.core.effects import (
    Agree,
    CheckLogin,
    Compute,
    Job,
    JudgePeer,
    MakeKey,
    MakeKeyAndAgree,
    Resolve,
    Sign,
)
from isthmus.ike.core.events import ComputeFinished
from isthmus.values.errors import IsthmusError, LocalFault, NotAuthenticated
from isthmus.values.registry.ikev2 import KeMethod, NotifyType
from isthmus.values.secret import Secret
from isthmus.values.signature import KeyKind
from isthmus.x509.certificate import CERTIFICATE_SIZE_MAX
from isthmus.x509.revocation import Statuses

JOBS_MAX = 64
"""Jobs that wait or run; what strangers ask beyond is refused at once and counted."""
JOBS_OF_PEERS_MAX = 16_384
"""Jobs for authenticated peers and for ourselves: a flood of strangers must not stop renewals."""
THREADS = 2
RESOLVE_TIMEOUT_S = 5.0
ADDRESSES_MAX = 8
"""Addresses of one name that are tried."""
NAMES_MAX = 4096
"""Names whose last addresses are remembered."""
FETCH_TIMEOUT_S = 5.0
ASKING_MAX = 256
"""Jobs that wait for an answer from the network; beyond that no stranger's certificate is
fetched."""

QUICK_METHODS = frozenset({KeMethod.CURVE25519, KeMethod.ECP_256})
"""Well under a millisecond: a thread would cost more than the job."""

QUICK_KINDS = frozenset({KeyKind.EC_P256, KeyKind.ED25519})
"""Keys in our memory that sign in less time than a thread takes to wake up."""

T = TypeVar("T")
Answer = tuple[Secret | bytes, ...]
Fetch = Callable[[str, bytes, int, float], Awaitable[bytes]]
"""Address, body, octets and seconds at most."""
Learn = Callable[[tuple[judging.Question, ...], Statuses], Awaitable[Statuses]]
ResolveLocal = Callable[[str], Awaitable[str | None]]


class Workers:
    """Takes jobs and hands each one's `ComputeFinished` to `finished`, never before `start` has
    returned."""

    def __init__(
        self,
        entropy: Entropy,
        finished: Callable[[ComputeFinished], None],
        resolve_local: ResolveLocal,
        date: Callable[[], float] = time.time,
        learn: Learn | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        """`date` is Unix time in seconds, which certificates are judged by; `learn` asks those who
        know what was revoked, within its own bounds, and never raises; `fetch` gets certificates by
        their address."""
        self._entropy = entropy
        self._date = date
        self._learn = learn
        self._fetch = fetch
        self._finished = finished
        self._resolve_local = resolve_local
        self._last_good: dict[str, list[str]] = {}
        """By name; a resolver that is away for a while takes no tunnel with it."""
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="isthmus-job")
        # A key in another process may be slow to sign: nobody else is to wait for it.
        self._signers = ThreadPoolExecutor(THREADS, thread_name_prefix="isthmus-signer")
        # A password is checked slowly and in much memory: one at a time.
        self._doorman = ThreadPoolExecutor(1, thread_name_prefix="isthmus-doorman")
        self._jobs: set[asyncio.Task[None]] = set()
        self._asking = 0
        self._closed = False
        self._quick = 0
        """Quick jobs whose turn comes as soon as the event at hand is over."""
        self.shed = 0
        """Jobs refused because too many waited."""

    def start(self, compute: Compute) -> None:
        """Begin a job, or refuse it."""
        if self.working >= (JOBS_MAX if compute.sheddable else JOBS_OF_PEERS_MAX):
            self.shed += 1
            refusal = ComputeFinished(compute.ticket, None, "too many jobs wait")
            self._loop.call_soon(self._finished, refusal)
            return
        if is_quick(compute.job):
            self._quick += 1
            self._loop.call_soon(self._at_once, compute)
            return
        task = self._loop.create_task(self._run(compute))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def close(self) -> None:
        """Forget what has not been finished."""
        self._closed = True
        for task in tuple(self._jobs):
            task.cancel()
        for pool in (self._pool, self._signers, self._doorman):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Jobs that wait or run."""
        return len(self._jobs) + self._quick

    @property
    def working(self) -> int:
        """Those of them that do not just wait for somebody on the network."""
        return len(self._jobs) + self._quick - self._asking

    def _at_once(self, compute: Compute) -> None:
        """A quick job, between two events of the loop."""
        self._quick -= 1
        if self._closed:
            return
        match compute.job:
            case Sign() as job:
                outcome = judging.answer(compute.ticket, job, 0)
            case MakeKey() | Agree() | MakeKeyAndAgree() as job:
                try:
                    outcome = ComputeFinished(compute.ticket, agree(job, self._entropy))
                except IsthmusError as error:
                    outcome = ComputeFinished(compute.ticket, None, str(error))
            case _:
                raise AssertionError("no other job is quick")
        self._finished(outcome)

    async def _run(self, compute: Compute) -> None:
        try:
            outcome = await self._outcome(compute)
        except NotAuthenticated as refusal:
            outcome = ComputeFinished(
                compute.ticket, None, refusal.reason, refusal.code, refusal.hint
            )
        except (IsthmusError, OSError, TimeoutError) as error:
            outcome = ComputeFinished(compute.ticket, None, str(error) or type(error).__name__)
        self._finished(outcome)

    async def _outcome(self, compute: Compute) -> ComputeFinished:
        job, run = compute.job, self._loop.run_in_executor
        match job:
            case Sign():
                at = int(self._date())
                job = await self._vouching(job, at)
                return await run(self._signers, judging.answer, compute.ticket, job, at)
            case JudgePeer():
                at = int(self._date())
                job = await self._fetched(job)
                if self._learn is not None:
                    # One way to a worker and back where nobody has to be asked.
                    found = await run(self._pool, judging.answer_or_ask, compute.ticket, job, at)
                    if isinstance(found, ComputeFinished):
                        return found
                    known = await self._ask(self._learn(found, job.statuses))
                    job = replace(job, statuses=known)
                return await run(self._pool, judging.answer, compute.ticket, job, at)
            case CheckLogin():
                return await run(self._doorman, judging.answer, compute.ticket, job, 0)
            case Resolve():
                return ComputeFinished(compute.ticket, await self._resolve(job))
            case MakeKey() | Agree() | MakeKeyAndAgree():
                answer = await run(self._pool, agree, job, self._entropy)
                return ComputeFinished(compute.ticket, answer)
            case _:
                assert_never(job)

    async def _ask(self, asked: Awaitable[T]) -> T:
        """Wait for somebody on the network: no thread is held, so others are not shed for it."""
        self._asking += 1
        try:
            return await asked
        finally:
            self._asking -= 1

    async def _fetched(self, job: JudgePeer) -> JudgePeer:
        """With the certificates that the peer has sent by their address, where that is allowed.

        Raises NotAuthenticated when one cannot be had.
        """
        if self._fetch is None:
            return job
        fetched: dict[int, bytes] = {}
        for number, url in judging.addresses(job).items():
            if self._asking >= ASKING_MAX:
                raise LocalFault("too many certificates are being fetched")
            asked = self._fetch(url, b"", CERTIFICATE_SIZE_MAX, FETCH_TIMEOUT_S)
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    fetched[number] = await self._ask(asked)
            except (IsthmusError, TimeoutError) as error:
                raise NotAuthenticated(
                    f"the peer's certificate cannot be fetched from {url}: {error or 'too slow'}",
                    notify=NotifyType.AUTHENTICATION_FAILED,
                    code="E133",
                ) from None
        return judging.with_fetched(job, fetched)

    async def _vouching(self, job: Sign, at: int) -> Sign:
        """With an OCSP answer about our own certificate, where the peer asks for it."""
        vouch = job.vouch
        if vouch is None or self._learn is None:
            return job
        run = self._loop.run_in_executor
        question = await run(self._pool, judging.own_question, vouch, at)
        if question is None:
            return job
        statuses = await self._ask(self._learn((question,), vouch.statuses))
        return replace(job, vouch=replace(vouch, statuses=statuses))

    async def _resolve(self, job: Resolve) -> Answer:
        """Raises OSError for a name that has no address, or an address that has no route."""
        remotes = [job.peer] if _is_address(job.peer) else await self._addresses(job.peer)
        ways: list[bytes] = []
        for remote in remotes:
            local = job.local
            if local is None:
                local = await self._resolve_local(remote)
            elif ip_address(local).version != ip_address(remote).version:
                continue
            if local is not None:
                ways += local.encode(), remote.encode()
        if not ways:
            raise OSError(f"there is no route to {', '.join(remotes)}")
        return tuple(ways)

    async def _addresses(self, name: str) -> list[str]:
        """The addresses of a name, asked anew; those of the last time while nobody knows."""
        try:
            found = await self._look_up(name)
        except (OSError, TimeoutError) as error:
            known = self._last_good.get(name)
            if known is None:
                raise OSError(f"{name} has no address: {error or 'no answer'}") from None
            return known
        if len(self._last_good) >= NAMES_MAX:
            self._last_good.clear()
        self._last_good[name] = found
        return found

    async def _look_up(self, name: str) -> list[str]:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            try:
                found = await self._loop.getaddrinfo(name, 0, type=socket.SOCK_DGRAM)
            except socket.gaierror as error:
                raise OSError(error.strerror) from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))[:ADDRESSES_MAX]


def is_quick(job: Job) -> bool:
    """Is it done sooner than another thread would have begun with it?"""
    match job:
        case MakeKey(method) | Agree(method) | MakeKeyAndAgree(method):
            return method in QUICK_METHODS
        case Sign(MemoryKey() as key, _, _, None):
            return key.public.kind in QUICK_KINDS
        case _:
            return False


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def agree(job: MakeKey | Agree | MakeKeyAndAgree, entropy: Entropy) -> Answer:
    """Carry out a key agreement. Raises BadPublicValue for a peer's value that is refused."""
    match job:
        case MakeKey(method):
            return agreement.generate(method, entropy)
        case Agree(method, private, peer):
            return (agreement.agree(method, private, peer),)
        case MakeKeyAndAgree(method, peer):
            return agreement.generate_and_agree(method, entropy, peer)
        case _:
            assert_never(job)
