"""Signing and judging as jobs: the date is the worker's, what must be asked is asked first, and a
key that is slow to sign holds up nobody else."""

import asyncio
import hashlib
import threading
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from cryptography import x509
from tests.exchanges.pair import DATE, Keys, Pair
from tests.exchanges.pki import Node, issue, ocsp_answer, private, trust
from tests.exchanges.test_certificates import CERT, left_side, right_side

from isthmus.crypto.entropy import SeededEntropy
from isthmus.crypto.signature import MemoryKey, PublicKey, verify
from isthmus.daemon import workers
from isthmus.daemon.workers import Workers
from isthmus.ike.auth import judging, signature
from isthmus.ike.auth.judging import Question
from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import Compute, JudgePeer, MakeKey, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Judged
from isthmus.values.errors import LocalFault, NotAuthenticated
from isthmus.values.registry.ikev2 import AuthMethod, CertEncoding, KeMethod
from isthmus.values.signature import AnyScheme, Scheme
from isthmus.values.trust import RevocationMode
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate, HashAndUrl
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.revocation import Statuses

Done = asyncio.Queue[ComputeFinished]
ROOT = issue("Root")
LEFT_NAMES = ("fqdn:left.example.org",)
LEFT = issue("left", ROOT, private("p256", 100), names=LEFT_NAMES)
RIGHT = issue("right", ROOT, private("p256", 200), names=("fqdn:right.example.org",))


async def nobody(remote: str) -> str | None:
    """A machine without routes."""
    return None


def judge_job(mode: RevocationMode = RevocationMode.SOFT, left: Node = LEFT) -> JudgePeer:
    """What the responder asks its workers when the left has signed."""
    stores = [Keys(owns={"own": n.own()}, trusts={"trust": trust(ROOT)}) for n in (left, RIGHT)]
    remote = replace(CERT[1], revocation=mode)
    pair = Pair(left_side(*CERT), right_side(CERT[0], remote), stores[0], stores[1])
    pair.right.held_computes = []
    pair.left.command(Initiate("site-b"))
    for _ in range(4):
        pair.settle()
        for compute in pair.right.held_computes:
            if isinstance(compute.job, JudgePeer):
                return compute.job
        while pair.right.held_computes:
            pair.right.compute(pair.right.held_computes.pop(0))
    raise AssertionError("nothing was to be judged")


async def answer(
    pool: Workers, done: "asyncio.Queue[ComputeFinished]", job: Sign | JudgePeer
) -> ComputeFinished:
    """What becomes of one job."""
    pool.start(Compute(5, job))
    async with asyncio.timeout(20):
        return await done.get()


def test_a_signature_is_made_in_a_thread() -> None:
    async def run() -> ComputeFinished:
        done: Done = asyncio.Queue()
        pool = Workers(SeededEntropy(3), done.put_nowait, nobody)
        try:
            return await answer(pool, done, Sign(MemoryKey(LEFT.key), Scheme.ECDSA_SHA256, b"x"))
        finally:
            pool.close()

    made = asyncio.run(run())
    assert made.result is not None and isinstance(made.result[0], bytes)
    verify(MemoryKey(LEFT.key).public, Scheme.ECDSA_SHA256, b"x", made.result[0])


@pytest.mark.parametrize("days, code", [(0, ""), (365 * 40, "E141"), (-365 * 20, "E144")])
def test_a_peer_is_judged_by_the_date_of_the_worker(days: int, code: str) -> None:
    job = judge_job()

    async def run() -> ComputeFinished:
        done: Done = asyncio.Queue()
        date = DATE + 86_400.0 * days
        pool = Workers(SeededEntropy(3), done.put_nowait, nobody, lambda: date)
        try:
            return await answer(pool, done, job)
        finally:
            pool.close()

    found = asyncio.run(run())
    assert found.code == code, found.failure
    assert (found.result is None) == bool(code)
    if found.result is not None:
        assert isinstance(found.result[0], Judged)


def test_what_is_not_known_is_asked_before_the_verdict() -> None:
    """Strict, and the certificate names a list: what comes of the question counts."""
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://ca.example.org/list.crl")], None, None, None
    )
    extensions = ((x509.CRLDistributionPoints([point]), False),)
    named = issue("left", ROOT, LEFT.key, names=LEFT_NAMES, extensions=extensions)
    job = judge_job(RevocationMode.STRICT, named)
    answered = OcspAnswer.parse(ocsp_answer(named, good=True))
    asked: list[tuple[Question, ...]] = []

    async def learn(questions: tuple[Question, ...], statuses: Statuses) -> Statuses:
        asked.append(questions)
        return statuses.with_answer(answered)

    async def run(learning: bool) -> ComputeFinished:
        done: Done = asyncio.Queue()
        pool = Workers(
            SeededEntropy(3), done.put_nowait, nobody, lambda: DATE, learn if learning else None
        )
        try:
            return await answer(pool, done, job)
        finally:
            pool.close()

    assert asyncio.run(run(False)).code == "E160"
    assert asyncio.run(run(True)).result is not None
    ((question,),) = asked
    assert [source.url for source in question.sources] == ["http://ca.example.org/list.crl"]
    assert question.path.leaf == named.read


@pytest.mark.parametrize("case", ["off", "on", "other octets", "no answer"])
def test_a_certificate_by_its_address_is_read_only_where_that_is_allowed(case: str) -> None:
    """RFC 7296 §3.6: encoding 12, the SHA-1 of the certificate and an HTTP address."""
    job = judge_job()
    (sent,) = job.certificates
    digest = hashlib.sha1(sent.data).digest()
    told = HashAndUrl(digest, "http://ca.example.org/left.der")
    by_url = Certificate(CertEncoding.HASH_AND_URL_X509, told.encode())
    terms = tuple(
        replace(term, auth=replace(term.auth, by_url=case != "off")) for term in job.terms
    )
    job = replace(job, certificates=(by_url,), terms=terms)
    asked: list[str] = []

    async def fetch(url: str, body: bytes, octets_max: int, timeout_s: float) -> bytes:
        asked.append(url)
        if case == "no answer":
            raise LocalFault("the server answers 404")
        return RIGHT.der if case == "other octets" else sent.data

    async def run() -> ComputeFinished:
        done: Done = asyncio.Queue()
        pool = Workers(SeededEntropy(3), done.put_nowait, nobody, lambda: DATE, None, fetch)
        try:
            return await answer(pool, done, job)
        finally:
            pool.close()

    found = asyncio.run(run())
    assert asked == ([] if case == "off" else [told.url])
    assert found.code == ("" if case == "on" else "E133"), found.failure
    assert (found.result is not None) == (case == "on")


def test_a_list_that_does_not_come_sheds_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Acceptance 6 of the issue: handshakes beside a hanging server go on."""
    monkeypatch.setattr(workers, "JOBS_MAX", 3)
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://ca.example.org/list.crl")], None, None, None
    )
    extensions = ((x509.CRLDistributionPoints([point]), False),)
    named = issue("left", ROOT, LEFT.key, names=LEFT_NAMES, extensions=extensions)
    job = judge_job(RevocationMode.SOFT, named)

    async def run() -> None:
        waiting, gate = asyncio.Semaphore(0), asyncio.Event()

        async def learn(questions: tuple[Question, ...], statuses: Statuses) -> Statuses:
            waiting.release()
            await gate.wait()
            return statuses

        done: Done = asyncio.Queue()
        pool = Workers(SeededEntropy(3), done.put_nowait, nobody, lambda: DATE, learn)
        try:
            async with asyncio.timeout(20):
                for ticket in range(6):
                    pool.start(Compute(ticket, job, sheddable=True))
                    await waiting.acquire()
                pool.start(Compute(10, MakeKey(KeMethod.ECP_384), sheddable=True))
                assert (await done.get()).ticket == 10
                gate.set()
                found = [await done.get() for _ in range(6)]
        finally:
            pool.close()
        assert pool.shed == 0 and all(f.result is not None for f in found)

    asyncio.run(run())


def test_whatever_a_peer_sends_is_judged_and_not_more() -> None:
    """S-09, S-15: damaged certificates, proofs and answers; only refusals come of them."""
    job = judge_job()
    (sent,) = job.certificates
    (scheme,) = job.proof.schemes
    assert isinstance(scheme, Scheme)
    choice = signature.Choice(AuthMethod.DIGITAL_SIGNATURE, scheme)
    whole = signature.payload(choice, MemoryKey(LEFT.key).public.kind, job.proof.signature)
    assert signature.read(whole) == job.proof
    chance = Random(11)
    codes: Counter[str] = Counter()
    for _ in range(1500):
        proof, certificate = whole.data, sent.data
        if chance.random() < 0.5:
            proof = _damaged(proof, chance)
        else:
            certificate = _damaged(certificate, chance)
        encoding = chance.choice((sent.encoding, sent.encoding, *CertEncoding))
        method = chance.choice((whole.method, whole.method, *AuthMethod))
        beside = Certificate(CertEncoding.OCSP_CONTENT, _damaged(sent.data, chance))
        try:
            read = signature.read(Authentication(method, proof))
        except NotAuthenticated as refusal:
            codes[refusal.code] += 1
            continue
        damaged = replace(
            job, proof=read, certificates=(Certificate(encoding, certificate), beside)
        )
        found = judging.answer(1, damaged, DATE)
        assert found.result is None and found.code, found
        codes[found.code] += 1
    assert len(codes) >= 6, codes


def _damaged(octets: bytes, chance: Random) -> bytes:
    """Always other octets than those given."""
    at = chance.randrange(len(octets))
    match chance.randrange(4):
        case 0:
            return octets[:at]
        case 1:
            return octets[:at] + chance.randbytes(chance.randrange(1, 5)) + octets[at:]
        case 2:
            return octets[:at] + bytes((octets[at] ^ 1 << chance.randrange(8),)) + octets[at + 1 :]
        case _:
            return octets[:at] + octets[at + 1 :]


class Stuck:
    """A key in a process that does not answer."""

    def __init__(self, gate: threading.Event) -> None:
        self.public: PublicKey = MemoryKey(LEFT.key).public
        self._gate = gate

    def sign(self, scheme: AnyScheme, octets: bytes) -> bytes:
        """Waits, and then fails."""
        self._gate.wait(20)
        raise LocalFault("the token did not answer")


def test_a_key_that_is_stuck_holds_up_nobody_else() -> None:
    job = judge_job()
    gate = threading.Event()

    async def run() -> list[ComputeFinished]:
        done: Done = asyncio.Queue()
        pool = Workers(SeededEntropy(3), done.put_nowait, nobody, lambda: DATE)
        try:
            for ticket in range(4):
                pool.start(Compute(ticket, Sign(Stuck(gate), Scheme.ECDSA_SHA256, b"x")))
            pool.start(Compute(10, job))
            pool.start(Compute(11, MakeKey(KeMethod.MODP_2048)))
            async with asyncio.timeout(20):
                first = [await done.get(), await done.get()]
                gate.set()
                return first + [await done.get() for _ in range(4)]
        finally:
            gate.set()
            pool.close()

    found = asyncio.run(run())
    assert {f.ticket for f in found[:2]} == {10, 11}
    assert all(f.result is not None for f in found[:2])
    assert all(f.result is None and "token" in f.failure and not f.code for f in found[2:])
