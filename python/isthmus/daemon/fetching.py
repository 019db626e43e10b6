"""The IKE process's side of the fetcher: questions in, octets out, never for longer than asked."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import sys

from isthmus.values.errors import LocalFault
from isthmus.values.time import Seconds

GRACE_S = 2.0
"""How much longer than a fetch may take its answer is waited for."""
HEAD_MAX = 4096


class NotFetched(LocalFault):
    """Nothing came; the sentence says why."""


class Fetcher:
    """Asks a child process, which is started with the first question, and again if it has ended."""

    def __init__(self, *, loopback: bool = False) -> None:
        """`loopback`: addresses of this machine may be asked, too."""
        self._options = ("--loopback",) if loopback else ()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child; None before it was started."""
        return self._process.pid if self._process is not None else None

    async def fetch(self, url: str, body: bytes, octets_max: int, timeout_s: Seconds) -> bytes:
        """GET, or POST of `body` if it is not empty. Raises NotFetched."""
        number = next(self._numbers)
        waited: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        question = {
            "id": number,
            "url": url,
            "body": base64.b64encode(body).decode("ascii"),
            "octets_max": octets_max,
            "timeout_s": timeout_s,
        }
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                process = await self._running()
                assert process.stdin is not None, "it was started with a pipe"
                self._waiting[number] = waited
                process.stdin.write(json.dumps(question).encode("ascii") + b"\n")
                await process.stdin.drain()
                return await waited
        except TimeoutError:
            raise NotFetched(f"no answer within {timeout_s:g} s") from None
        except OSError as error:
            raise NotFetched(f"the fetcher: {error.strerror}") from None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the child."""
        if self._reading is not None:
            self._reading.cancel()
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._reading is None or self._reading.done():
                await self._end()
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "isthmus.daemon.fetcher",
                    "--parent",
                    str(os.getpid()),
                    *self._options,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
                assert self._process.stdout is not None
                self._reading = asyncio.create_task(self._read(self._process.stdout))
            return self._process

    async def _read(self, answers: asyncio.StreamReader) -> None:
        """Hand each answer to whoever waits for it."""
        why = "the fetcher has ended"
        try:
            while line := await answers.readline():
                head = json.loads(line)
                octets = await answers.readexactly(head["size"])
                waited = self._waiting.get(head["id"])
                if waited is None or waited.done():
                    continue
                if head["error"]:
                    waited.set_exception(NotFetched(head["error"]))
                else:
                    waited.set_result(octets)
        except asyncio.IncompleteReadError:
            why = "the fetcher ended in the middle of an answer"
        for waited in self._waiting.values():
            if not waited.done():
                waited.set_exception(NotFetched(why))
