"""Fetches revocation lists and OCSP answers over HTTP, in a process of its own.

`python -m isthmus.daemon.fetcher --parent PID [--loopback]` reads one JSON line for each question
from standard input, `{"id", "url", "body", "octets_max", "timeout_s"}`, and writes for each, in any
order, one JSON line `{"id", "size", "error"}` and `size` octets. A server that hangs, lies or sends
without end costs the IKE process nothing; what it may cost this one is bounded. It has no rights
beyond the user's and keeps nothing.
"""

import argparse
import asyncio
import base64
import json
import os
import resource
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

from isthmus.daemon.process import die_with_parent, drop_privileges, keep_memory_private
from isthmus.daemon.status import EXIT_OK

AT_ONCE = 32
OF_SERVER_AT_ONCE = 4
"""A server that hangs has the questions to itself wait, and no others."""
SERVERS_MAX = 1024
"""Servers whose questions are counted."""
REDIRECTS_MAX = 3
HEAD_MAX = 16_384
LINE_MAX = 65_536
MEMORY_MAX = 1 << 30
"""Octets of address space: Python, and as many lists at once as anybody would ever fetch."""
PORT = 80
OCSP_REQUEST = "application/ocsp-request"


class Refused(Exception):
    """A server's answer is not taken; the sentence is for the log."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing to fetch: by GET, or by POST of `body` if there is one."""

    url: str
    body: bytes
    octets_max: int
    timeout_s: float
    loopback: bool = False
    """Addresses of this machine may be asked."""


async def fetch(asked: Asked) -> bytes:
    """What the server sends, within size and time, redirects included. Raises Refused."""
    try:
        async with asyncio.timeout(asked.timeout_s):
            url = asked.url
            for _ in range(REDIRECTS_MAX + 1):
                answer, onward = await _exchange(url, asked)
                if onward is None:
                    return answer
                url = urljoin(url, onward)
            raise Refused(f"more than {REDIRECTS_MAX} redirects")
    except TimeoutError:
        raise Refused(f"no answer within {asked.timeout_s:g} s") from None
    except socket.gaierror:
        raise Refused("its name has no address") from None
    except OSError as error:
        raise Refused(error.strerror or type(error).__name__) from None
    except (ValueError, UnicodeError, asyncio.IncompleteReadError):
        raise Refused("what the server says is no HTTP") from None


async def _exchange(url: str, asked: Asked) -> tuple[bytes, str | None]:
    """The body, or where it is instead."""
    parts = urlsplit(url)
    if parts.scheme.lower() != "http" or not parts.hostname or parts.username is not None:
        raise Refused("only plain http:// is fetched")
    address = await _resolved(parts.hostname, parts.port or PORT, asked.loopback)
    reader, writer = await asyncio.open_connection(*address, limit=HEAD_MAX)
    try:
        writer.write(_request(parts.netloc, parts.path, parts.query, asked.body))
        await writer.drain()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise Refused(f"the answer's head has more than {HEAD_MAX} octets") from None
        status, fields = _read_head(head)
        if status in (301, 302, 303, 307, 308) and "location" in fields:
            return b"", fields["location"]
        if status != 200:
            raise Refused(f"the server answers {status}")
        if fields.get("content-encoding", "identity").lower() != "identity":
            raise Refused("the answer is compressed, which was not asked for")
        return await _read_body(reader, fields, asked.octets_max), None
    finally:
        writer.close()


async def _resolved(host: str, port: int, loopback: bool) -> tuple[str, int]:
    """An address that may be asked: whoever names a host could mean this machine's own services, or
    those that clouds offer on link-local addresses."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        ip = ip_address(str(address[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        local = ip.is_link_local or ip.is_multicast or ip.is_unspecified
        if not local and (loopback or not ip.is_loopback):
            return str(address[0]), port
    raise Refused(
        f"{host} is at no address that is asked: neither loopback nor link-local ones are"
    )


def _request(host: str, path: str, query: str, body: bytes) -> bytes:
    target = (path or "/") + (f"?{query}" if query else "")
    lines = [
        f"{'POST' if body else 'GET'} {target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: isthmus",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    if body:
        lines += [f"Content-Type: {OCSP_REQUEST}", f"Content-Length: {len(body)}"]
    if any(not line.isascii() or not line.isprintable() for line in lines):
        raise Refused("the address holds characters that have no place there")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields, names in lower case. Raises ValueError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("another protocol")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip()
    return int(status), fields


async def _read_body(
    reader: asyncio.StreamReader, fields: dict[str, str], octets_max: int
) -> bytes:
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader, octets_max)
    length = fields.get("content-length")
    if length is not None:
        size = int(length)
        if not 0 <= size <= octets_max:
            raise Refused(f"it has more than {octets_max} octets")
        return await reader.readexactly(size)
    return await _read_to_end(reader, octets_max)


async def _read_to_end(reader: asyncio.StreamReader, octets_max: int) -> bytes:
    found = bytearray()
    while piece := await reader.read(65_536):
        found += piece
        if len(found) > octets_max:
            raise Refused(f"it has more than {octets_max} octets")
    return bytes(found)


async def _read_chunks(reader: asyncio.StreamReader, octets_max: int) -> bytes:
    found = bytearray()
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            raise Refused("a chunk's size is too long") from None
        size = int(line.split(b";")[0].strip(), 16)
        if not 0 <= size <= octets_max - len(found):
            raise Refused(f"it has more than {octets_max} octets")
        if size == 0:
            return bytes(found)
        found += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Refused("a chunk has another size than it says")


async def serve(loopback: bool) -> None:
    """Answer until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    room = asyncio.Semaphore(AT_ONCE)
    servers: dict[str, asyncio.Semaphore] = {}
    saying = asyncio.Lock()
    tasks: set[asyncio.Task[None]] = set()

    async def answer(number: int, asked: Asked) -> None:
        octets, error = b"", ""
        if len(servers) > SERVERS_MAX:
            servers.clear()
        own = servers.setdefault(_server(asked.url), asyncio.Semaphore(OF_SERVER_AT_ONCE))
        try:
            async with asyncio.timeout(asked.timeout_s), own, room:
                octets = await fetch(asked)
        except Refused as refusal:
            error = str(refusal)
        except TimeoutError:
            error = f"no answer within {asked.timeout_s:g} s"
        head = json.dumps({"id": number, "size": len(octets), "error": error}).encode("ascii")
        async with saying:
            # A pipe whose reader is slow must not stop the other fetches.
            await asyncio.to_thread(_write, head + b"\n" + octets)

    while line := await reader.readline():
        said = json.loads(line)
        asked = Asked(
            said["url"],
            base64.b64decode(said["body"]),
            said["octets_max"],
            said["timeout_s"],
            loopback,
        )
        task = asyncio.create_task(answer(said["id"], asked))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _server(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _write(octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


def main(arguments: Sequence[str]) -> int:
    """Serve until the IKE process closes our input. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="isthmus-fetcher")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--loopback", action="store_true")
    said = parser.parse_args(arguments)
    die_with_parent(said.parent)
    keep_memory_private()
    drop_privileges()
    die_with_parent(said.parent)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    os.nice(10)
    asyncio.run(serve(said.loopback))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
