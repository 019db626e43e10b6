"""Writes down what passes through a namespace: a packet capture in a few lines.

Run as a program (`python -I sniff.py`) in the namespace to watch. With `--file` it writes a pcap
file that Wireshark opens; otherwise one line a packet, `SECONDS INTERFACE HEX`. It ends after
`--count` packets or when standard input closes, and then prints what it saw and what the kernel
dropped as JSON. Standard library only.

With `--inside NETWORK` (any number of them) the kernel hands over only what should not be on an
internet between two gateways: packets from or to these networks, and whatever is neither IKE nor
ESP. Such a capture misses nothing however fast the rest flows.
"""

import argparse
import ctypes
import ipaddress
import itertools
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
_PACKET_VNET_HDR = 15
_VNET_HEADER = struct.Struct("=BBHHHH")
_GSO_UDP = 5
_GSO_ECN = 0x80
_ETHERNET, _UDP_HEADER = 14, 8
_SO_RCVBUFFORCE = 33
_LINKTYPE_ETHERNET = 1
_BUFFER_OCTETS = 64 << 20
# What was on its way when the wish to stop came is still written down.
_DRAIN_S = 0.05
_BURST = 1000


Instruction = tuple[str | int, int, str, str]  # code or label, operand, label if true, if false

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_HALF_INDEXED, _LOAD_IPV4_HEADER_LENGTH = 0x48, 0xB1
_AND, _JUMP_IF_EQUAL, _JUMP_IF_SET, _RETURN = 0x54, 0x15, 0x45, 0x06
_SO_ATTACH_FILTER = 26
_IKE_PORTS = (500, 4500)
_UDP, _ESP = 17, 50


def strange(networks: list[str]) -> bytes:
    """A classic BPF program for Ethernet frames: see the top of this file."""
    parsed = [ipaddress.ip_network(network) for network in networks]
    program: list[Instruction] = [
        (_LOAD_HALF, 12, "", ""),
        (_JUMP_IF_EQUAL, 0x0800, "v4", ""),
        (_JUMP_IF_EQUAL, 0x86DD, "v6", "drop"),
        ("v4", 0, "", ""),
    ]
    for network in (found for found in parsed if found.version == 4):
        for at in (26, 30):
            program += [
                (_LOAD_WORD, at, "", ""),
                (_AND, int(network.netmask), "", ""),
                (_JUMP_IF_EQUAL, int(network.network_address), "keep", ""),
            ]
    program += [
        (_LOAD_BYTE, 23, "", ""),
        (_JUMP_IF_EQUAL, _ESP, "drop", ""),
        (_JUMP_IF_EQUAL, _UDP, "", "keep"),
        (_LOAD_HALF, 20, "", ""),
        (_JUMP_IF_SET, 0x1FFF, "keep", ""),
        (_LOAD_IPV4_HEADER_LENGTH, 14, "", ""),
    ]
    for at in (14, 16):
        program.append((_LOAD_HALF_INDEXED, at, "", ""))
        program += [(_JUMP_IF_EQUAL, port, "drop", "") for port in _IKE_PORTS]
    program += [(_RETURN, 0xFFFF, "", ""), ("v6", 0, "", "")]
    for number, wide in enumerate(found for found in parsed if found.version == 6):
        words = struct.unpack("!4I", wide.network_address.packed)
        masks = struct.unpack("!4I", wide.netmask.packed)
        for at in (22, 38):
            other = f"not{number}at{at}"
            for index in range(4):
                matched = "keep" if index == 3 else ""
                program += [
                    (_LOAD_WORD, at + 4 * index, "", ""),
                    (_AND, masks[index], "", ""),
                    (_JUMP_IF_EQUAL, words[index], matched, other),
                ]
            program.append((other, 0, "", ""))
    program += [
        (_LOAD_BYTE, 20, "", ""),
        (_JUMP_IF_EQUAL, _ESP, "drop", ""),
        (_JUMP_IF_EQUAL, _UDP, "", "keep"),
    ]
    for at in (54, 56):
        program.append((_LOAD_HALF, at, "", ""))
        program += [(_JUMP_IF_EQUAL, port, "drop", "") for port in _IKE_PORTS]
    program += [
        ("keep", 0, "", ""),
        (_RETURN, 0xFFFF, "", ""),
        ("drop", 0, "", ""),
        (_RETURN, 0, "", ""),
    ]
    return _assemble(program)


def _assemble(program: list[Instruction]) -> bytes:
    """Octets of `struct sock_filter`s; jumps to a label go forward, to no label to what follows."""
    labels: dict[str, int] = {}
    count = 0
    for code, *_ in program:
        if isinstance(code, str):
            labels[code] = count
        else:
            count += 1
    out, at = bytearray(), 0
    for code, operand, if_true, if_false in program:
        if isinstance(code, str):
            continue
        at += 1
        jumps = [labels[label] - at if label else 0 for label in (if_true, if_false)]
        out += struct.pack("=HBBI", code, *jumps, operand)
    return bytes(out)


def _attach(raw: socket.socket, program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program)
    head = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def _take_nothing_more(raw: socket.socket) -> None:
    """Let the kernel queue no other packet: what it has queued then comes to an end.

    Waiting for a pause would not do: there is none while traffic goes on.
    """
    _attach(raw, _assemble([(_RETURN, 0, "", "")]))


def on_the_wire(vnet: memoryview, frame: memoryview) -> list[memoryview]:
    """The frames that the network carries.

    A sender may hand the kernel several datagrams of one size at once (UDP_SEGMENT), and inside one
    machine they stay together all the way; a network card would cut them here, and so do we.
    Checksums are left as they are.
    """
    _, kind, _, size, start, _ = _VNET_HEADER.unpack(vnet)
    if kind & ~_GSO_ECN != _GSO_UDP or not size or not _ETHERNET < start < len(frame):
        return [frame]
    body = start + _UDP_HEADER
    cut = []
    for at in range(body, len(frame), size):
        piece = bytearray(frame[:body]) + frame[at : at + size]
        length = len(piece) - _ETHERNET
        if piece[_ETHERNET] >> 4 == 4:
            struct.pack_into("!H", piece, _ETHERNET + 2, length)
        else:
            struct.pack_into("!H", piece, _ETHERNET + 4, length - 40)
        struct.pack_into("!H", piece, start + 4, len(piece) - start)
        cut.append(memoryview(piece))
    return cut


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--interface", default="", help="only this one")
    parser.add_argument("--both", action="store_true", help="what is sent from here as well")
    parser.add_argument("--file", default="")
    parser.add_argument("--snap", type=int, default=65535)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--inside", action="append", default=[])
    asked = parser.parse_args(argv)
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    try:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
    except PermissionError:
        # Only root outside may pass the system's limit; a rootless lab's buffer stays small.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
    raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    if asked.inside:
        _attach(raw, strange(asked.inside))
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
    while not closing and not (asked.count and seen >= asked.count):
        readable, _, _ = select.select(watched, [], [])
        closing = sys.stdin in readable
        if closing:
            time.sleep(_DRAIN_S)
            _take_nothing_more(raw)
        # A burst is read without asking select for each packet, and the last one to its end.
        for _ in itertools.count() if closing else range(_BURST):
            if asked.count and seen >= asked.count:
                break
            try:
                size, address = raw.recvfrom_into(buffer)
            except BlockingIOError:
                break
            interface, kind = address[0], address[2]
            if interface == "lo" or (kind == _PACKET_OUTGOING and not asked.both):
                continue
            now = time.time_ns()
            head = _VNET_HEADER.size
            for frame in on_the_wire(buffer[:head], buffer[head:size]):
                kept = min(len(frame), asked.snap)
                if file is not None:
                    stamp = (now // 10**9, now % 10**9 // 1000, kept, len(frame))
                    file.write(struct.pack("<IIII", *stamp))
                    file.write(frame[:kept])
                else:
                    print(f"{now / 1e9:.6f} {interface} {frame[:kept].hex()}", flush=True)
                seen += 1
    _, dropped = struct.unpack("II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    if file is not None:
        file.close()
    print(json.dumps({"packets": seen, "dropped": dropped}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
