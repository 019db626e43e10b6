"""Speak to a daemon from a plain program: connect, ask, read replies.

Needs no asyncio and nothing of the daemon, so that a command starts fast.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from isthmus.management.api import (
    REPLY_MAX,
    AnyReply,
    AnyRequest,
    DoneReply,
    ErrorReply,
    EventReply,
    Which,
    WhichReply,
)
from isthmus.management.codec import BadLine, decode_reply, encode

if TYPE_CHECKING:
    from isthmus.policy.connection import Configuration

DEFAULT_SOCKET = "/run/isthmus/control.sock"
SOCKET_VARIABLE = "ISTHMUS_SOCKET"
CONNECT_TIMEOUT_S = 5.0
GRACE_S = 10.0
"""How much longer than the daemon's own limit a client waits."""

RECEIVE_MAX = 1 << 18
"""Octets taken from the socket at a time."""

R = TypeVar("R")


class ClientError(Exception):
    """No answer could be had. `why` and `fix` are sentences for the user."""

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix


class NotRunning(ClientError):
    """No daemon answers on the socket."""


class NotAllowed(ClientError):
    """The socket may not be opened by this user."""


class Refused(Exception):
    """The daemon answered with an error."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.what)
        self.reply = reply


def socket_path(given: str | None = None) -> Path:
    """The socket to use: as given, else from the environment, else the system's."""
    return Path(given or os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)


class Client:
    """One connection to a daemon. Use it as a context manager.

    `timeout_s` bounds the wait for each reply; None waits for ever (to follow events).
    """

    def __init__(self, path: Path, timeout_s: float | None = GRACE_S) -> None:
        self._path = path
        self._socket = _connect(path)
        self._socket.settimeout(timeout_s)
        self._waiting = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave; what was asked for and goes on is ended by the daemon."""
        self._socket.close()

    def wait_up_to(self, timeout_s: float | None) -> None:
        """Wait this long for each reply from now on."""
        self._socket.settimeout(timeout_s)

    def ask(self, request: AnyRequest, kind: type[R]) -> R:
        """Send a request that has one answer, of this type.

        Raises Refused if the daemon says no, ClientError if no answer can be had.
        """
        self._send(request)
        reply = self._receive()
        if isinstance(reply, ErrorReply):
            raise Refused(reply)
        if not isinstance(reply, kind):
            raise ClientError(
                "The daemon's answer is not what was asked for.",
                f"{type(reply).__name__} came in place of {kind.__name__}.",
                "Use the isthmus command of the same version as the daemon.",
            )
        return reply

    def stream(self, request: AnyRequest) -> Iterator[EventReply | DoneReply]:
        """Send a request that is answered by events; the last reply is a DoneReply.

        Raises as `ask` does.
        """
        self._send(request)
        while True:
            reply = self._receive()
            if isinstance(reply, ErrorReply):
                raise Refused(reply)
            if isinstance(reply, EventReply):
                yield reply
            elif isinstance(reply, DoneReply):
                yield reply
                return

    def _send(self, request: AnyRequest) -> None:
        try:
            self._socket.sendall(encode(request))
        except OSError:
            # The daemon may have said why before it closed; `_receive` finds that.
            return

    def _receive(self) -> AnyReply:
        looked_at = 0
        while (end := self._waiting.find(b"\n", looked_at)) < 0:
            looked_at = len(self._waiting)
            if looked_at > REPLY_MAX:
                raise _broken(self._path, "it sent a line without an end")
            try:
                octets = self._socket.recv(RECEIVE_MAX)
            except TimeoutError:
                raise _broken(self._path, "it did not answer in time") from None
            except OSError as error:
                raise _broken(self._path, str(error.strerror or error)) from None
            if not octets:
                raise _broken(self._path, "it closed the connection")
            self._waiting += octets
        line = bytes(self._waiting[:end])
        del self._waiting[: end + 1]
        try:
            return decode_reply(line)
        except BadLine as bad:
            raise ClientError(
                "The daemon's answer could not be read.", bad.reply.why, bad.reply.fix
            ) from None


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        connection.connect(os.fspath(path))
    except PermissionError:
        connection.close()
        raise NotAllowed(
            f"You may not open {path}.",
            "It is for root and for members of the group isthmus.",
            "Use sudo, or let root run: usermod -aG isthmus USER",
        ) from None
    except OSError as error:
        connection.close()
        raise NotRunning(
            "The daemon is not running.",
            f"Nothing answers on {path}: {error.strerror or error}.",
            "Start it with `systemctl start isthmus` or `isthmusd -c FILE`; another socket is "
            "named with --socket.",
        ) from None
    return connection


def _broken(path: Path, why: str) -> ClientError:
    return ClientError(
        "The connection to the daemon broke off.",
        f"On {path}: {why}.",
        "Look at the daemon's log, and try again.",
    )


def which_in(configuration: "Configuration", request: Which) -> WhichReply:
    """What a daemon under this configuration would answer. Raises Refused as `Client.ask` does."""
    # Imported here because asking a daemon needs none of what it imports.
    from isthmus.management.which import answer

    reply = answer(request, configuration)
    if isinstance(reply, ErrorReply):
        raise Refused(reply)
    return reply
