"""A one-way flow of numbered datagrams inside a lab, and the sink that counts them exactly.

Run as a program in a host's namespace (`python -I flow.py send|sink ADDRESS PORT`); it prints one
JSON line at the end. Standard library only, so that it starts at once. flows.py asks for it.
"""

import argparse
import json
import select
import socket
import struct
import sys
import time
from typing import TextIO

_NUMBER = struct.Struct("!Q")
_SO_RCVBUFFORCE, _SO_MEMINFO, _MEMINFO_DROPS = 33, 55, 8
_SINK_BUFFER_OCTETS = 32 << 20
_BEHIND_MAX_S = 0.02


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send(address: str, port: int, interval_s: float, size: int) -> dict[str, object]:
    """Numbered datagrams at a steady rate, one way, until standard input closes.

    A sender that was not run for a while sends less rather than all at once: a burst would fill
    queues that the rate asked for does not. What the system refuses to take is not sent.
    """
    sender = socket.socket(_family(address), socket.SOCK_DGRAM)
    sender.connect((address, port))
    padding = bytes(max(0, size - _NUMBER.size))
    sent = errors = 0
    start = due = time.monotonic()
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        if now < due:
            if select.select([sys.stdin], [], [], due - now)[0]:
                break
            continue
        try:
            sender.send(_NUMBER.pack(sent) + padding)
            sent += 1
        except OSError:
            errors += 1
        due = max(due + interval_s, now - _BEHIND_MAX_S)
    return {"sent": sent, "errors": errors, "seconds": round(time.monotonic() - start, 3)}


def sink(address: str, port: int, quiet_s: float) -> dict[str, object]:
    """Count the datagrams of one flow by their numbers, until standard input has closed and then
    nothing has come for `quiet_s`. `dropped_here` came this far and found no room."""
    receiver = socket.socket(_family(address), socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _SINK_BUFFER_OCTETS)
    receiver.bind((address, port))
    receiver.setblocking(False)
    came = bytearray()
    received = duplicates = 0
    watched: list[socket.socket | TextIO] = [receiver, sys.stdin]
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select(watched, [], [], quiet_s if len(watched) == 1 else None)
        if not readable:
            break
        if sys.stdin in readable:
            watched = [receiver]
        if receiver not in readable:
            continue
        octets = receiver.recv(65536)
        if len(octets) < _NUMBER.size:
            continue
        (number,) = _NUMBER.unpack_from(octets)
        if number >= len(came):
            came.extend(bytes(number + 1 - len(came)))
        duplicates += came[number]
        received += not came[number]
        came[number] = 1
    memory = struct.unpack("9I", receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    return {
        "received": received,
        "duplicates": duplicates,
        "highest": len(came) - 1,
        "missing": [n for n, there in enumerate(came) if not there],
        "dropped_here": memory[_MEMINFO_DROPS],
    }


def main(argv: list[str]) -> int:
    """The command line; prints one JSON line."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("send", "sink"):
        verb = verbs.add_parser(name)
        verb.add_argument("address")
        verb.add_argument("port", type=int)
        if name == "send":
            verb.add_argument("--interval", type=float, default=0.001)
            verb.add_argument("--size", type=int, default=200)
        else:
            verb.add_argument("--quiet", type=float, default=1.0)
    asked = parser.parse_args(argv)
    if asked.verb == "send":
        result = send(asked.address, asked.port, asked.interval, asked.size)
    else:
        result = sink(asked.address, asked.port, asked.quiet)
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
