"""Fetching in a process of its own: what a server may do, and what it costs."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from isthmus.daemon.fetcher import OF_SERVER_AT_ONCE
from isthmus.daemon.fetching import Fetcher, NotFetched

from .webserver import Web, web

MEBIBYTE = 1 << 20


def play(scene: Callable[[Fetcher, Web], Awaitable[None]]) -> None:
    async def run() -> None:
        async with web() as server:
            fetcher = Fetcher(loopback=True)
            try:
                await asyncio.wait_for(scene(fetcher, server), 120)
            finally:
                await fetcher.close()

    asyncio.run(run())


def test_pages_come_by_get_and_by_post() -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        server.pages["/page"] = b"a page"
        assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 10) == b"a page"
        assert await fetcher.fetch(server.url("/page"), b"asked", MEBIBYTE, 10) == b"a page"
        assert await fetcher.fetch(server.url("/moved"), b"", MEBIBYTE, 10) == b"a page"
        assert await fetcher.fetch(server.url("/chunked"), b"", MEBIBYTE, 10) == b"hello world"
        server.pages["/large"] = bytes(range(256)) * 4096 * 10
        large = await fetcher.fetch(server.url("/large"), b"", 10 * MEBIBYTE, 20)
        assert large == server.pages["/large"]
        assert server.asked[:2] == ["GET /page", "POST /page"]

    play(scene)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/hang", "no answer within"),
        ("/drip", "no answer within"),
        ("/gigabyte", "more than 1048576 octets"),
        ("/endless", "more than 1048576 octets"),
        ("/chunks", "more than 1048576 octets"),
        ("/head", "the answer's head"),
        ("/garbage", "no HTTP"),
        ("/gzip", "compressed"),
        ("/cut", "no HTTP"),
        ("/loop", "redirects"),
        ("/file", "only plain http"),
        ("/none", "answers 404"),
    ],
)
def test_a_server_that_misbehaves_is_refused_within_bounds(path: str, why: str) -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        server.pages["/page"] = b"a page"
        waits = "no answer" in why
        with pytest.raises(NotFetched, match=why):
            await fetcher.fetch(server.url(path), b"", MEBIBYTE, 0.5 if waits else 30)
        assert server.sent < 16 * MEBIBYTE, "what was sent beyond the bound lies in buffers"
        assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 30) == b"a page"

    play(scene)


@pytest.mark.parametrize(
    "url", ["https://example.net/", "file:///etc/passwd", "http://a:b@c/", "x", "http://[x/"]
)
def test_other_addresses_are_not_asked(url: str) -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        with pytest.raises(NotFetched, match=r"only plain http|no HTTP"):
            await fetcher.fetch(url, b"", MEBIBYTE, 30)

    play(scene)


def test_others_are_served_while_one_hangs() -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        server.pages["/page"] = b"a page"
        hanging = asyncio.create_task(fetcher.fetch(server.url("/hang"), b"", MEBIBYTE, 60))
        endless = asyncio.create_task(fetcher.fetch(server.url("/endless"), b"", 10 * MEBIBYTE, 60))
        for _ in range(20):
            assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 30) == b"a page"
        assert not hanging.done()
        with pytest.raises(NotFetched, match="more than"):
            await endless
        hanging.cancel()

    play(scene)


def test_a_server_that_hangs_has_only_its_own_questions_wait() -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        async with web() as other:
            server.pages["/page"] = other.pages["/page"] = b"a page"
            hanging = [
                asyncio.create_task(fetcher.fetch(other.url("/hang"), b"", MEBIBYTE, 60))
                for _ in range(40)
            ]
            assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 30) == b"a page"
            with pytest.raises(NotFetched, match="no answer within"):
                await fetcher.fetch(other.url("/page"), b"", MEBIBYTE, 0.5)
            assert len(other.asked) == OF_SERVER_AT_ONCE
            for task in hanging:
                task.cancel()

    play(scene)


def test_a_fetcher_that_was_killed_is_started_again() -> None:
    async def scene(fetcher: Fetcher, server: Web) -> None:
        server.pages["/page"] = b"a page"
        waiting = asyncio.create_task(fetcher.fetch(server.url("/hang"), b"", MEBIBYTE, 60))
        assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 30) == b"a page"
        assert fetcher.pid is not None
        os.kill(fetcher.pid, signal.SIGKILL)
        with pytest.raises(NotFetched, match="ended"):
            await waiting
        assert await fetcher.fetch(server.url("/page"), b"", MEBIBYTE, 30) == b"a page"

    play(scene)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "localhost",
        "169.254.169.254",
        "[fe80::1]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_and_its_links_are_not_asked(host: str) -> None:
    """S-37: whoever names an address in a certificate must not reach what only we can reach."""

    async def run() -> None:
        async with web() as server:
            fetcher = Fetcher()
            try:
                with pytest.raises(NotFetched, match="neither loopback nor link-local"):
                    await fetcher.fetch(f"http://{host}:{server.port}/page", b"", MEBIBYTE, 30)
            finally:
                await fetcher.close()
            assert server.asked == []

    asyncio.run(run())
