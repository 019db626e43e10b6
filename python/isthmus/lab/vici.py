"""A small client of charon's control socket (VICI, strongSwan's configuration interface).

Enough to load configuration, start and stop SAs, list them and hear events. Messages are nested
dictionaries of text, lists of text and dictionaries, as in swanctl's own files.
"""

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from isthmus.lab.namespaces import LabError

Section: TypeAlias = dict[str, "str | list[str] | Section"]

_CMD_REQUEST, _CMD_RESPONSE, _CMD_UNKNOWN = 0, 1, 2
_EVENT_REGISTER, _EVENT_UNREGISTER, _EVENT_CONFIRM, _EVENT_UNKNOWN, _EVENT = 3, 4, 5, 6, 7
_SECTION_START, _SECTION_END, _KEY_VALUE, _LIST_START, _LIST_ITEM, _LIST_END = 1, 2, 3, 4, 5, 6
_PACKET_OCTETS_MAX: Final = 512 * 1024


class ViciError(LabError):
    """charon refused a command, or spoke nonsense."""


def encode(section: Section) -> bytes:
    """Octets of a message body."""
    out = bytearray()
    for key, value in section.items():
        name = struct.pack("!B", len(key)) + key.encode()
        if isinstance(value, dict):
            out += bytes([_SECTION_START]) + name + encode(value) + bytes([_SECTION_END])
        elif isinstance(value, list):
            out += bytes([_LIST_START]) + name
            for item in value:
                out += bytes([_LIST_ITEM]) + struct.pack("!H", len(item)) + item.encode()
            out += bytes([_LIST_END])
        else:
            octets = value.encode()
            out += bytes([_KEY_VALUE]) + name + struct.pack("!H", len(octets)) + octets
    return bytes(out)


def decode(octets: bytes) -> Section:
    """The message in a body. Raises ViciError."""
    root: Section = {}
    stack: list[Section] = [root]
    items: list[str] | None = None
    at = 0

    def text(width: int) -> str:
        nonlocal at
        size = int.from_bytes(octets[at : at + width], "big")
        at += width + size
        return octets[at - size : at].decode(errors="replace")

    while at < len(octets):
        kind = octets[at]
        at += 1
        if kind == _SECTION_START:
            inner: Section = {}
            stack[-1][text(1)] = inner
            stack.append(inner)
        elif kind == _SECTION_END and len(stack) > 1:
            stack.pop()
        elif kind == _KEY_VALUE:
            key = text(1)
            stack[-1][key] = text(2)
        elif kind == _LIST_START:
            items = []
            stack[-1][text(1)] = items
        elif kind == _LIST_ITEM and items is not None:
            items.append(text(2))
        elif kind == _LIST_END:
            items = None
        else:
            raise ViciError(f"unknown VICI element {kind}")
    return root


class Vici:
    """One connection to one charon; not for use by two threads."""

    def __init__(self, path: Path, *, timeout_s: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        self._socket.connect(str(path))
        self._events: list[tuple[str, Section]] = []

    def close(self) -> None:
        """Close the connection; charon goes on."""
        self._socket.close()

    def __enter__(self) -> "Vici":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, command: str, section: Section | None = None) -> Section:
        """One command and its answer. Raises ViciError when charon says `success = no`."""
        self._send(_CMD_REQUEST, command, encode(section or {}))
        while True:
            kind, name, body = self._receive()
            if kind == _EVENT:
                self._events.append((name, decode(body)))
            elif kind == _CMD_RESPONSE:
                break
            else:
                raise ViciError(f"charon does not know the command {command}")
        answer = decode(body)
        if answer.get("success", "yes") != "yes":
            raise ViciError(f"{command}: {answer.get('errmsg', 'refused')}")
        return answer

    def stream(self, command: str, event: str, section: Section | None = None) -> list[Section]:
        """A command whose answer arrives as events, such as list-sas."""
        self.subscribe(event)
        self.request(command, section)
        found = [body for name, body in self._events if name == event]
        self._events = [(name, body) for name, body in self._events if name != event]
        self._register(_EVENT_UNREGISTER, event)
        return found

    def subscribe(self, event: str) -> None:
        """Ask for an event; read it with `events`."""
        self._register(_EVENT_REGISTER, event)

    def events(self, timeout_s: float) -> Iterator[tuple[str, Section]]:
        """Events as they come, until nothing comes for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            while self._events:
                yield self._events.pop(0)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            self._socket.settimeout(left_s)
            try:
                kind, name, body = self._receive()
            except TimeoutError:
                return
            if kind == _EVENT:
                self._events.append((name, decode(body)))

    def _register(self, kind: int, event: str) -> None:
        self._send(kind, event, b"")
        while True:
            answer, name, body = self._receive()
            if answer == _EVENT:
                self._events.append((name, decode(body)))
            elif answer == _EVENT_CONFIRM:
                return
            else:
                raise ViciError(f"charon does not know the event {event}")

    def _send(self, kind: int, name: str, body: bytes) -> None:
        packet = struct.pack("!BB", kind, len(name)) + name.encode() + body
        self._socket.sendall(struct.pack("!I", len(packet)) + packet)

    def _receive(self) -> tuple[int, str, bytes]:
        size = int.from_bytes(self._exactly(4), "big")
        if not 1 <= size <= _PACKET_OCTETS_MAX:
            raise ViciError(f"a VICI packet of {size} octets")
        packet = self._exactly(size)
        if packet[0] in (_EVENT, _CMD_REQUEST, _EVENT_REGISTER, _EVENT_UNREGISTER):
            end = 2 + packet[1]
            return packet[0], packet[2:end].decode(), packet[end:]
        return packet[0], "", packet[1:]

    def _exactly(self, count: int) -> bytes:
        out = bytearray()
        while len(out) < count:
            piece = self._socket.recv(count - len(out))
            if not piece:
                raise ViciError("charon closed its control socket")
            out += piece
        return bytes(out)
