"""A small client of the plane protocol (version 1), independent of the product's own.

One blocking call per command; notices that come in between are kept in order.
"""

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

Message = dict[str, Any]

FRAME_OCTETS_MAX = 131_072


class Refused(Exception):
    """The plane refused a command; the text is its reason."""


class PlaneClient:
    """A connection to a plane's control socket."""

    def __init__(self, path: str, *, hello: bool = True) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10.0)
        self._socket.connect(path)
        self._ticket = 0
        self.notices: list[Message] = []
        if hello:
            self.greeting = self.ask("hello", version=1)

    def close(self) -> None:
        """Close the connection; the plane goes on."""
        self._socket.close()

    def send_raw(self, frame: bytes) -> None:
        """Send octets as one frame, whatever they are."""
        self._socket.send(frame)

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message that has no answer."""
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def receive(self, timeout_s: float = 10.0) -> Message:
        """The next frame; raises TimeoutError, or ConnectionError at the end."""
        self._socket.settimeout(timeout_s)
        octets = self._socket.recv(FRAME_OCTETS_MAX + 1)
        if not octets:
            raise ConnectionError("the plane closed the connection")
        message: Message = msgspec.msgpack.decode(octets)
        return message

    def ask(self, kind: str, **fields: Any) -> Message:
        """Send a command and wait for the answer with its ticket; raises Refused."""
        self._ticket += 1
        self.send(kind, ticket=self._ticket, **fields)
        return self.answer()

    def answer(self) -> Message:
        """The answer to the last command; notices before it are kept."""
        while True:
            message = self.receive()
            if "ticket" not in message:
                self.notices.append(message)
                continue
            assert message["ticket"] in (self._ticket, 0), message
            if message["type"] == "refused":
                raise Refused(message["reason"])
            return message

    def query(self, what: str) -> list[Message]:
        """All items of a query that comes in frames."""
        reply = self.ask("query", what=what)
        items: list[Message] = list(reply[what])
        while reply.get("more", False):
            reply = self.answer()
            items.extend(reply[what])
        return items

    def counters(self) -> dict[str, int]:
        """All counters by name."""
        counters: dict[str, int] = self.ask("query", what="counters")["counters"]
        return counters

    def wait_notice(
        self, kind: str, timeout_s: float = 10.0, where: Callable[[Message], bool] = lambda _: True
    ) -> Message:
        """The first notice of this kind that came or comes; it is taken out of the list."""
        end = time.monotonic() + timeout_s
        while True:
            for index, notice in enumerate(self.notices):
                if notice["type"] == kind and where(notice):
                    return self.notices.pop(index)
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {kind}; had {[n['type'] for n in self.notices]}")
            self.notices.append(self.receive(left))

    def drain_notices(self, quiet_s: float = 0.2) -> list[Message]:
        """Every notice until none came for a while."""
        while True:
            try:
                self.notices.append(self.receive(quiet_s))
            except TimeoutError:
                taken, self.notices = self.notices, []
                return taken


def ts(start: str, end: str, protocol: int = 0, ports: tuple[int, int] = (0, 65535)) -> Message:
    """One traffic selector."""
    return {
        "start": start,
        "end": end,
        "protocol": protocol,
        "port_start": ports[0],
        "port_end": ports[1],
    }


def selectors(local: Iterable[Message], remote: Iterable[Message]) -> Message:
    """The selectors of a policy or SA."""
    return {"local": list(local), "remote": list(remote)}


def endpoint(address: str, port: int) -> Message:
    """An address and a port."""
    return {"address": address, "port": port}
