"""Traffic made inside a lab: pings that count every loss, and transfers that check every octet.

Run as a program in a host's namespace (`python -I traffic.py ping|serve|send ...`); it prints one
JSON line at the end. Standard library only, so that it starts at once. measure.py asks for it.
"""

import argparse
import errno
import hashlib
import json
import os
import select
import socket
import struct
import sys
import time
from typing import TextIO

_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PAYLOAD = struct.Struct("!16sIQ")  # a tag of ours, sequence, nanoseconds when sent
_CHUNK_OCTETS = 1 << 20
_SEND_RETRY = (errno.ENOBUFS, errno.EAGAIN, errno.EPERM)


def _checksum(octets: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _echo(family: socket.AddressFamily, identifier: int, sequence: int, payload: bytes) -> bytes:
    kind = _ECHO_REQUEST[family]
    head = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence & 0xFFFF)
    # The kernel fills in ICMPv6's checksum, not ICMP's.
    check = _checksum(head + payload) if family == socket.AF_INET else 0
    return struct.pack("!BBHHH", kind, 0, check, identifier, sequence & 0xFFFF) + payload


def ping(
    addresses: list[str], count: int, interval_s: float, size: int, wait_s: float, text: str
) -> dict[str, object]:
    """Echo requests at a steady rate; `count` 0 means until standard input closes.

    Several addresses of one family are asked in turn: request n goes to number n modulo their
    count. Waits up to `wait_s` after the last request for late replies. Every request has its own
    number in the payload, so a reply counts once and for the right request.
    """
    family = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if ":" in addresses[0] else socket.IPPROTO_ICMP
    raw = socket.socket(family, socket.SOCK_RAW, protocol)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if len(addresses) == 1:
        raw.connect((addresses[0], 0))  # then ICMP errors show as errors of the socket
    raw.setblocking(False)
    tag, identifier = os.urandom(16), int.from_bytes(os.urandom(2), "big")
    padding = text.encode().ljust(max(0, size - _PAYLOAD.size), b"\0")
    round_trips_ms: dict[int, float] = {}
    duplicates = sent = errors = 0
    start = time.monotonic()
    finishing_at: float | None = None
    print("ready", flush=True)
    watched: list[socket.socket | TextIO] = [raw] if count else [raw, sys.stdin]
    while True:
        now = time.monotonic()
        if finishing_at is None and count and sent >= count:
            finishing_at = now + wait_s
        if finishing_at is not None:
            if now >= finishing_at or len(round_trips_ms) >= sent:
                break
            timeout = finishing_at - now
        else:
            due = start + sent * interval_s
            if now >= due:
                payload = _PAYLOAD.pack(tag, sent, time.monotonic_ns()) + padding
                try:
                    request = _echo(family, identifier, sent, payload)
                    if len(addresses) == 1:
                        raw.send(request)
                    else:
                        raw.sendto(request, (addresses[sent % len(addresses)], 0))
                except OSError as error:
                    # An earlier ICMP error or a full queue; the request counts as sent and lost.
                    errors += 1
                    if error.errno in _SEND_RETRY:
                        time.sleep(0.001)
                sent += 1
                continue
            timeout = due - now
        readable, _, _ = select.select(watched, [], [], timeout)
        if sys.stdin in readable:
            finishing_at = time.monotonic() + wait_s
            watched = [raw]
        if raw not in readable:
            continue
        try:
            octets = raw.recv(65536)
        except OSError:
            errors += 1
            continue
        message = octets[(octets[0] & 15) * 4 :] if family == socket.AF_INET else octets
        if len(message) < 8 + _PAYLOAD.size or message[0] != _ECHO_REPLY[family]:
            continue
        found, sequence, sent_ns = _PAYLOAD.unpack_from(message, 8)
        if found != tag:
            continue
        if sequence in round_trips_ms:
            duplicates += 1
        round_trips_ms.setdefault(sequence, (time.monotonic_ns() - sent_ns) / 1e6)
    return {
        "sent": sent,
        "received": len(round_trips_ms),
        "duplicates": duplicates,
        "errors": errors,
        "lost": [n for n in range(sent) if n not in round_trips_ms],
        "round_trips_ms": [round(value, 3) for _, value in sorted(round_trips_ms.items())],
        "seconds": round(time.monotonic() - start, 3),
    }


def serve(address: str, port: int) -> dict[str, object]:
    """Take one connection, digest what it sends, answer with the digest."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    digest, octets = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_CHUNK_OCTETS))
    with connection:
        while size := connection.recv_into(buffer):
            digest.update(buffer[:size])
            octets += size
        connection.sendall(digest.digest())
    return {"octets": octets, "sha256": digest.hexdigest()}


def send(address: str, port: int, octets: int, timeout_s: float) -> dict[str, object]:
    """Send random octets and compare the far end's digest with ours."""
    digest, left = hashlib.sha256(), octets
    random = os.urandom(_CHUNK_OCTETS - 8)
    start = time.monotonic()
    with socket.create_connection((address, port), timeout=timeout_s) as connection:
        number = 0
        while left > 0:
            chunk = (struct.pack("!Q", number) + random)[:left]
            digest.update(chunk)
            connection.sendall(chunk)
            left -= len(chunk)
            number += 1
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(64):
            answer += piece
    return {
        "octets": octets,
        "seconds": round(time.monotonic() - start, 6),
        "match": answer == digest.digest(),
        "sha256": digest.hexdigest(),
    }


def main(argv: list[str]) -> int:
    """The command line; prints one JSON line."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("ping")
    verb.add_argument("addresses", nargs="+", metavar="address")
    verb.add_argument("--count", type=int, default=0)
    verb.add_argument("--interval", type=float, default=0.2)
    verb.add_argument("--size", type=int, default=56)
    verb.add_argument("--wait", type=float, default=1.0)
    verb.add_argument("--text", default="", help="carried at the end of each request")
    verb = verbs.add_parser("serve")
    verb.add_argument("address")
    verb.add_argument("port", type=int)
    verb = verbs.add_parser("send")
    verb.add_argument("address")
    verb.add_argument("port", type=int)
    verb.add_argument("octets", type=int)
    verb.add_argument("--timeout", type=float, default=20.0)
    asked = parser.parse_args(argv)
    if asked.verb == "ping":
        result = ping(
            asked.addresses, asked.count, asked.interval, asked.size, asked.wait, asked.text
        )
    elif asked.verb == "serve":
        result = serve(asked.address, asked.port)
    else:
        result = send(asked.address, asked.port, asked.octets, asked.timeout)
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
