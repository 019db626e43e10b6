"""Writes down what passes through a namespace: a packet capture in a few lines.

Run as a program (`python -I sniff.py`) in the namespace to watch. With `--file` it writes a pcap
file that Wireshark opens; otherwise one line a packet, `SECONDS INTERFACE HEX`. It ends after
`--count` packets or when standard input closes, and then prints what it saw and what the kernel
dropped as JSON. Standard library only.
"""

import argparse
import json
import select
import socket
import struct
import sys
import time
from typing import TextIO

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33
_LINKTYPE_ETHERNET = 1
_BUFFER_OCTETS = 64 << 20
# After the last wish to stop, what the kernel has queued is still written down.
_DRAIN_S = 0.05


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interface", default="", help="only this one")
    parser.add_argument("--both", action="store_true", help="what is sent from here as well")
    parser.add_argument("--file", default="")
    parser.add_argument("--snap", type=int, default=65535)
    parser.add_argument("--count", type=int, default=0)
    asked = parser.parse_args(argv)
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
    if asked.interface:
        raw.bind((asked.interface, _ETH_P_ALL))
    raw.setblocking(False)
    # Open for as long as the program runs; a with block would wrap all of it.
    file = open(asked.file, "wb") if asked.file else None  # noqa: SIM115
    if file is not None:
        header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, asked.snap, _LINKTYPE_ETHERNET)
        file.write(header)
        file.flush()
    print("ready", flush=True)
    buffer = memoryview(bytearray(65536 + 64))
    seen = 0
    watched: list[socket.socket | TextIO] = [raw, sys.stdin]
    closing = False
    while not (asked.count and seen >= asked.count):
        readable, _, _ = select.select(watched, [], [], _DRAIN_S if closing else None)
        if sys.stdin in readable:
            closing, watched = True, [raw]
        if raw not in readable:
            if closing:
                break
            continue
        # A burst is read without asking select for each packet.
        while not (asked.count and seen >= asked.count):
            try:
                size, address = raw.recvfrom_into(buffer)
            except BlockingIOError:
                break
            interface, kind = address[0], address[2]
            if interface == "lo" or (kind == _PACKET_OUTGOING and not asked.both):
                continue
            now = time.time_ns()
            kept = min(size, asked.snap)
            if file is not None:
                stamp = (now // 10**9, now % 10**9 // 1000, kept, size)
                file.write(struct.pack("<IIII", *stamp))
                file.write(buffer[:kept])
            else:
                print(f"{now / 1e9:.6f} {interface} {buffer[:kept].hex()}", flush=True)
            seen += 1
    _, dropped = struct.unpack("II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    if file is not None:
        file.close()
    print(json.dumps({"packets": seen, "dropped": dropped}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
