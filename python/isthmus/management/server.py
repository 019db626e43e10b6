"""The management socket: a Unix socket whose clients are known by their peer credentials.

Reading verbs are for root, the daemon's own user and the group `isthmus`; writing verbs for root,
the daemon's own user and the group `isthmus-admin` (SECURITY-GUIDE S-21). The file mode is the
first guard; the credentials that the kernel reports are the one that counts.
"""

import asyncio
import errno
import grp
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from isthmus.management.api import (
    LINE_MAX,
    WRITE_VERBS,
    AnyReply,
    AnyRequest,
    ErrorReply,
    Kind,
    Log,
)
from isthmus.management.codec import BadLine, decode_request, encode, too_long
from isthmus.management.service import Service
from isthmus.values.errors import LocalFault

READ_GROUP = "isthmus"
WRITE_GROUP = "isthmus-admin"
CLIENTS_MAX = 64
READERS_MAX = 48
"""Clients without the right to write have these places only, so they cannot lock root out."""
REPLY_TIMEOUT_S = 30.0
"""A client that does not read its replies for so long is cut off."""
SOCKET_MODE = 0o660
PATH_MAX = 107
"""Octets of a Unix socket's path that Linux takes, without the final zero."""
_SO_PEERGROUPS = 59
"""Linux 4.13, socket(7): the supplementary groups of the peer. Not named by `socket`."""
_GROUPS_OCTETS_MAX = 1024
"""As much as Python's getsockopt gives: 256 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel saw it at connect time."""

    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do what. `None` for a group that this system does not have."""

    own_uid: int
    read_group: int | None
    write_group: int | None

    @classmethod
    def of_system(cls) -> "Rights":
        """From this process's user and the system's groups."""
        return cls(os.geteuid(), _group(READ_GROUP), _group(WRITE_GROUP))

    def may_write(self, peer: Peer) -> bool:
        """True for root, the daemon's own user and members of the writing group."""
        return peer.uid in (0, self.own_uid) or self.write_group in peer.groups

    def may_read(self, peer: Peer) -> bool:
        """True for who may write and for members of the reading group."""
        return self.may_write(peer) or self.read_group in peer.groups


class Server:
    """Serves one socket from `start` to `close`."""

    def __init__(self, service: Service, path: Path, rights: Rights | None = None) -> None:
        self._service = service
        self._path = path
        self._rights = rights or Rights.of_system()
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._readers = 0
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Open the socket. Raises LocalFault if another daemon answers there, or it cannot be
        made."""
        try:
            listening = self._bind()
        except OSError as error:
            raise LocalFault(f"cannot open {self._path}: {error.strerror or error}") from None
        self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=LINE_MAX)

    async def close(self) -> None:
        """Stop listening, end every client, and remove the socket if it is still ours."""
        if self._server is not None:
            self._server.close()
        for client in tuple(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) == self._inode:
            self._path.unlink()

    def _bind(self) -> socket.socket:
        path = os.fspath(self._path)
        if len(os.fsencode(path)) > PATH_MAX:
            raise LocalFault(f"the socket path {path} is longer than {PATH_MAX} octets")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(self._path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # No moment with a wider mode: the mask is set before the file comes to be.
            mask = os.umask(0o777 & ~SOCKET_MODE)
            try:
                listening.bind(path)
            finally:
                os.umask(mask)
            group = self._rights.read_group
            if group is not None and os.geteuid() == 0:
                os.chown(path, -1, group)
            made = os.lstat(path)
            self._inode = (made.st_dev, made.st_ino)
        except BaseException:
            listening.close()
            raise
        return listening

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._client(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counted = False
        try:
            peer = peer_of(writer.get_extra_info("socket"))
            counted = not self._rights.may_write(peer)
            self._readers += counted
            await self._admit(peer, reader, writer)
        except (ConnectionError, TimeoutError):
            # The client has gone, or does not read what it asked for: nobody is left to tell.
            writer.transport.abort()
        finally:
            self._readers -= counted
            writer.close()

    async def _admit(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not self._rights.may_read(peer):
            await _send(writer, _not_permitted(peer, READ_GROUP, "Reading"))
            return
        crowded = len(self._clients) > CLIENTS_MAX or self._readers > READERS_MAX
        if crowded and peer.uid != 0:
            await _send(
                writer,
                ErrorReply(
                    kind=Kind.FAILED,
                    what="The daemon has too many clients.",
                    why=f"It serves {CLIENTS_MAX} at a time, {READERS_MAX} of them readers.",
                    fix="End a program that follows `isthmus log`, and try again.",
                ),
            )
            return
        await self._converse(peer, reader, writer)

    async def _converse(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer line by line. The next line is awaited while one is answered, so that a client
        that leaves ends the events it follows. Anything else is answered to its end: a script may
        have closed its writing side and still read."""
        coming = asyncio.create_task(_line(reader))
        answering: asyncio.Task[None] | None = None
        try:
            while line := await coming:
                coming = asyncio.create_task(_line(reader))
                try:
                    request = decode_request(line)
                except BadLine as bad:
                    await _send(writer, bad.reply)
                    continue
                answering = asyncio.create_task(self._answer(peer, request, writer))
                await asyncio.wait({answering, coming}, return_when=asyncio.FIRST_COMPLETED)
                if isinstance(request, Log) and not answering.done() and not _has_line(coming):
                    return
                await answering
        except _TooLong:
            await _send(writer, too_long())
        finally:
            for task in (coming, answering):
                if task is not None:
                    task.cancel()
            await asyncio.gather(
                *(task for task in (coming, answering) if task is not None),
                return_exceptions=True,
            )

    async def _answer(self, peer: Peer, request: AnyRequest, writer: asyncio.StreamWriter) -> None:
        if isinstance(request, WRITE_VERBS) and not self._rights.may_write(peer):
            await _send(writer, _not_permitted(peer, WRITE_GROUP, "This verb", request.id))
            return

        async def send(reply: AnyReply) -> None:
            await _send(writer, reply)

        try:
            await self._service.handle(request, send)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            # A bug of ours must end one request, not the daemon; it goes to the loop's handler,
            # which logs it.
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"management request {type(request).__name__}", "exception": error}
            )
            await _send(writer, _internal(request, error))


class _TooLong(Exception):
    """A line has no end within LINE_MAX."""


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line, empty at the end. Raises _TooLong."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        raise _TooLong from None
    except ConnectionError:
        return b""


def _has_line(coming: "asyncio.Task[bytes]") -> bool:
    """The client sent something more, and has not just gone."""
    return coming.exception() is not None or bool(coming.result())


async def _send(writer: asyncio.StreamWriter, reply: AnyReply) -> None:
    """Raises ConnectionError or TimeoutError when the client has gone or does not read."""
    try:
        line = encode(reply)
    except BadLine as bad:
        line = encode(bad.reply)
    writer.write(line)
    async with asyncio.timeout(REPLY_TIMEOUT_S):
        await writer.drain()


def peer_of(connected: socket.socket) -> Peer:
    """SO_PEERCRED and the supplementary groups of the process that connected."""
    size = struct.calcsize("3i")
    _, uid, gid = struct.unpack(
        "3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    try:
        octets = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_OCTETS_MAX)
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.ERANGE):
            raise
        # An old kernel, or a user in more groups than fit: fewer rights, never more.
        octets = b""
    groups = struct.unpack(f"{len(octets) // 4}I", octets)
    return Peer(uid, frozenset((gid, *groups)))


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody answers on. Raises LocalFault if somebody does."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise LocalFault(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        refused = probe.connect_ex(os.fspath(path))
    if refused not in (errno.ECONNREFUSED, errno.ENOENT):
        raise LocalFault(f"another isthmusd answers on {path}")
    path.unlink(missing_ok=True)


def _group(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _not_permitted(peer: Peer, group: str, what: str, id: int = 0) -> ErrorReply:
    return ErrorReply(
        id=id,
        kind=Kind.NOT_PERMITTED,
        what=f"{what} is not permitted to user {peer.uid}.",
        why=f"It needs root, the daemon's user, or the group {group}.",
        fix=f"Use sudo, or let root run: usermod -aG {group} USER",
    )


def _internal(request: AnyRequest, error: Exception) -> ErrorReply:
    return ErrorReply(
        id=request.id,
        kind=Kind.FAILED,
        what="The daemon made a mistake.",
        why=f"{type(error).__name__} while answering; its log has the details.",
        fix="Report this as a bug, with the daemon's log.",
    )
