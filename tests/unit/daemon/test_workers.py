"""Slow jobs end as events, within bounds."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest
from tests.exchanges.pki import private

from isthmus.credentials.xauth import Users
from isthmus.crypto import agreement
from isthmus.crypto.entropy import SeededEntropy
from isthmus.crypto.signature import MemoryKey, verify
from isthmus.daemon import workers
from isthmus.daemon.workers import QUICK_METHODS, Workers, is_quick
from isthmus.ike.core.effects import (
    Agree,
    CheckLogin,
    Compute,
    Job,
    MakeKey,
    MakeKeyAndAgree,
    Resolve,
    Sign,
)
from isthmus.ike.core.events import ComputeFinished
from isthmus.values.errors import LocalFault
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.signature import Scheme, schemes_of


async def no_route(remote: str) -> str | None:
    """A machine without routes."""
    return None


async def answer(
    job: Job, resolve: Callable[[str], Awaitable[str | None]] = no_route
) -> ComputeFinished:
    """What becomes of one job."""
    finished: asyncio.Queue[ComputeFinished] = asyncio.Queue()
    pool = Workers(SeededEntropy(3), finished.put_nowait, resolve)
    try:
        pool.start(Compute(9, job))
        assert finished.empty()  # never before `start` has returned
        async with asyncio.timeout(10):
            return await finished.get()
    finally:
        pool.close()


@pytest.mark.parametrize(
    "method", [KeMethod.CURVE25519, KeMethod.ECP_256, KeMethod.ECP_384, KeMethod.MODP_2048]
)
def test_two_sides_agree(method: KeMethod) -> None:
    made = asyncio.run(answer(MakeKey(method)))
    assert made.ticket == 9 and made.result is not None
    private, public = made.result
    assert isinstance(private, Secret) and isinstance(public, bytes)
    both = asyncio.run(answer(MakeKeyAndAgree(method, public)))
    assert both.result is not None
    their_public, shared = both.result
    assert isinstance(their_public, bytes)
    ours = asyncio.run(answer(Agree(method, private, their_public)))
    assert ours.result == (shared,)


@pytest.mark.parametrize("method", [KeMethod.CURVE25519, KeMethod.ECP_384])
def test_a_bad_value_is_refused_with_a_reason(method: KeMethod) -> None:
    zero = bytes(agreement.public_size(method))
    refused = asyncio.run(answer(MakeKeyAndAgree(method, zero)))
    assert refused.result is None and refused.failure


def test_quick_methods_are_quick_by_their_own_room() -> None:
    assert not any(agreement.is_slow(method) for method in QUICK_METHODS)


@pytest.mark.parametrize(("kind", "quick"), [("p256", True), ("ed25519", True), ("p384", False)])
def test_a_signature_comes_the_same_from_the_loop_and_from_a_thread(kind: str, quick: bool) -> None:
    key = MemoryKey(private(kind))
    job = Sign(key, schemes_of(key.public.kind)[0], b"octets to prove")
    assert is_quick(job) is quick
    signed = asyncio.run(answer(job))
    assert signed.ticket == 9 and signed.result is not None
    (signature,) = signed.result
    assert isinstance(signature, bytes)
    verify(key.public, job.scheme, job.octets, signature)
    refused = asyncio.run(answer(Sign(key, Scheme.RSA_PKCS1_SHA256, b"octets to prove")))
    assert refused.result is None and "cannot sign" in refused.failure


def test_what_was_closed_hears_of_no_quick_job_any_more() -> None:
    async def scene() -> None:
        done: list[ComputeFinished] = []
        pool = Workers(SeededEntropy(3), done.append, no_route)
        pool.start(Compute(1, MakeKey(KeMethod.CURVE25519)))
        assert pool.waiting == 1
        pool.close()
        await asyncio.sleep(0)
        assert (done, pool.waiting) == ([], 0)

    asyncio.run(scene())


async def all_ended(pool: Workers, done: list[ComputeFinished], count: int) -> None:
    """Every job has said how it ended."""
    async with asyncio.timeout(10):
        while len(done) < count or pool.waiting:
            await asyncio.sleep(0.001)


def test_too_many_jobs_are_shed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "JOBS_MAX", 2)

    async def run() -> None:
        done: list[ComputeFinished] = []
        pool = Workers(SeededEntropy(3), done.append, no_route)
        for ticket in range(4):
            pool.start(Compute(ticket, MakeKey(KeMethod.ECP_384), sheddable=True))
        assert (pool.shed, pool.waiting) == (2, 2)
        await all_ended(pool, done, 4)
        assert {d.ticket for d in done if d.result is None} == {2, 3}
        pool.close()

    asyncio.run(run())


def test_a_flood_of_strangers_sheds_no_job_of_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal that was refused for want of room would end a tunnel that stands."""
    monkeypatch.setattr(workers, "JOBS_MAX", 2)

    async def run() -> None:
        done: list[ComputeFinished] = []
        pool = Workers(SeededEntropy(3), done.append, no_route)
        for ticket in range(10):
            pool.start(Compute(ticket, MakeKey(KeMethod.ECP_384), sheddable=ticket % 2 == 0))
        assert pool.shed == 4, "of five that may be shed one found room"
        await all_ended(pool, done, 10)
        assert {d.ticket for d in done if d.result is None} == {2, 4, 6, 8}
        pool.close()

    asyncio.run(run())


def test_jobs_of_peers_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "JOBS_OF_PEERS_MAX", 3)

    async def run() -> None:
        done: list[ComputeFinished] = []
        pool = Workers(SeededEntropy(3), done.append, no_route)
        for ticket in range(5):
            pool.start(Compute(ticket, MakeKey(KeMethod.ECP_384)))
        assert (pool.shed, pool.waiting) == (2, 3)
        await all_ended(pool, done, 5)
        pool.close()

    asyncio.run(run())


def test_an_address_resolves_to_itself_and_ours() -> None:
    async def route(remote: str) -> str | None:
        return "192.0.2.1" if remote == "192.0.2.2" else None

    found = asyncio.run(answer(Resolve("192.0.2.2", None), route))
    assert found.result == (b"192.0.2.1", b"192.0.2.2")


def test_a_local_address_that_is_given_is_taken() -> None:
    found = asyncio.run(answer(Resolve("192.0.2.2", "192.0.2.7")))
    assert found.result == (b"192.0.2.7", b"192.0.2.2")


def test_a_name_is_looked_up() -> None:
    async def route(remote: str) -> str | None:
        return "127.0.0.1" if remote == "127.0.0.1" else None

    found = asyncio.run(answer(Resolve("localhost", None), route))
    assert found.result == (b"127.0.0.1", b"127.0.0.1")


def test_every_address_of_a_name_is_given_and_the_last_ones_while_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F-37: asked anew each time; a resolver that fails takes no tunnel with it."""
    lists = [["192.0.2.2", "2001:db8::2", "192.0.2.2"], ["192.0.2.3"], None, ["192.0.2.4"]]

    def getaddrinfo(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        found = lists.pop(0) if name == "vpn.example.net" else None
        if found is None:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(0, 0, 0, "", (address, 0)) for address in found]

    async def route(remote: str) -> str | None:
        return "2001:db8::1" if ":" in remote else "192.0.2.1"

    async def run() -> list[ComputeFinished]:
        found: asyncio.Queue[ComputeFinished] = asyncio.Queue()
        workers = Workers(SeededEntropy(1), found.put_nowait, route)
        answers = []
        for name, local in (
            *[("vpn.example.net", None)] * 3,
            ("other.example.net", None),
            ("vpn.example.net", "2001:db8::7"),
        ):
            workers.start(Compute(1, Resolve(name, local)))
            answers.append(await found.get())
        workers.close()
        return answers

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    first, second, third, unknown, other_family = asyncio.run(run())
    ours, theirs = (b"192.0.2.1", b"2001:db8::1"), (b"192.0.2.2", b"2001:db8::2")
    assert first.result == (ours[0], theirs[0], ours[1], theirs[1])
    assert second.result == third.result == (ours[0], b"192.0.2.3")
    assert unknown.failure == "other.example.net has no address: try again"
    assert other_family.failure == "there is no route to 192.0.2.4"


def test_no_route_and_no_plane_are_failures_with_a_sentence() -> None:
    async def no_plane(remote: str) -> str | None:
        raise LocalFault("there is no data plane")

    no_way = asyncio.run(answer(Resolve("192.0.2.2", None)))
    assert (no_way.result, no_way.failure) == (None, "there is no route to 192.0.2.2")
    nobody = asyncio.run(answer(Resolve("192.0.2.2", None), no_plane))
    assert (nobody.result, nobody.failure) == (None, "there is no data plane")


def test_passwords_are_tried_one_at_a_time_and_hold_nobody_else_up() -> None:
    async def run() -> None:
        done: list[ComputeFinished] = []
        trying: list[str] = []
        go_on = threading.Event()

        class Slow(Users):
            def admits(self, user: str, password: Secret) -> bool:
                trying.append(user)
                assert go_on.wait(10)
                trying.remove(user)
                return not trying and password == Secret(b"right")

        users = Slow({})
        pool = Workers(SeededEntropy(3), done.append, no_route)
        for ticket, password in enumerate((b"right", b"wrong", b"right")):
            pool.start(Compute(ticket, CheckLogin(users, f"user{ticket}", Secret(password))))
        pool.start(Compute(9, MakeKey(KeMethod.ECP_384)))
        async with asyncio.timeout(10):
            while not done or not trying:
                await asyncio.sleep(0.001)
        assert [d.ticket for d in done] == [9] and trying == ["user0"]
        go_on.set()
        await all_ended(pool, done, 4)
        assert {d.ticket: d.result for d in done[1:]} == {0: (b"user0",), 1: None, 2: (b"user2",)}
        assert [d.code for d in done if d.result is None] == ["E170"]
        pool.close()

    asyncio.run(run())
