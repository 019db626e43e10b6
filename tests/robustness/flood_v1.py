"""First messages of IKEv1 from addresses that nobody has, as a program in a namespace.

It reads its orders as one JSON line on standard input and prints one JSON line when it is done.
"""

import json
import sys
import time

from tests.exchanges.v1 import two_sites

from isthmus.ike.core.commands import Initiate

from .hostile_peer import Forger

SPOOFED = "100.64."
"""RFC 6598's network: the lab has nothing in it."""


def main() -> None:
    """One flood."""
    orders = json.loads(sys.stdin.readline())
    pair = two_sites()
    pair.left.command(Initiate("site-b"))
    first = bytearray(pair.left.out[0].octets)
    forger = Forger(str(orders["victim"]))
    count, rate = int(orders["count"]), float(orders["rate"])
    started = time.monotonic()
    for number in range(count):
        first[0:8] = (number + 1).to_bytes(8, "big")
        source = f"{SPOOFED}{number // 250}.{number % 250 + 1}"
        forger.lie_udp("first", source, 500, bytes(first))
        ahead = number / rate - (time.monotonic() - started)
        if ahead > 0.002:
            time.sleep(ahead)
    seconds = time.monotonic() - started
    print(json.dumps({"octets": count * len(first), "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
