"""An HTTP server on loopback that behaves as the path that is asked for says, well or badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

PIECE = b"\0" * 65_536


@dataclass
class Web:
    """Serves `pages` under their paths; some paths misbehave whatever stands under them."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """`GET /path` and `POST /path`, in order."""
    sent: int = 0
    """Octets of bodies that were sent."""
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
                method, path, _ = head.split(" ", 2)
                self.asked.append(f"{method} {path}")
                await self._say(path, writer)
                await writer.drain()
            finally:
                writer.close()

    async def _say(self, path: str, writer: asyncio.StreamWriter) -> None:
        match path:
            case "/hang":
                await asyncio.sleep(3600)
            case "/drip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case "/gigabyte":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
            case "/endless":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._pour(writer, PIECE)
            case "/chunks":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await self._pour(writer, b"10000\r\n" + PIECE + b"\r\n")
            case "/chunked":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")
            case "/head":
                writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
            case "/garbage":
                writer.write(b"\x16\x03\x01\x02\r\n\r\n")
            case "/gzip":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b")
            case "/cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            case "/loop":
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n")
            case "/file":
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n")
            case "/moved":
                writer.write(b"HTTP/1.1 301 Moved\r\nLocation: page\r\n\r\n")
            case _ if path in self.pages:
                body = self.pages[path]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            case _:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async def _pour(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        while True:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)


@asynccontextmanager
async def web() -> AsyncIterator[Web]:
    """A server that ends with the block."""
    found = Web()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
