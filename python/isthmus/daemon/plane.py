"""The entry of the data plane's process:
`python -m isthmus.daemon.plane SOCKET [PARENT_PID [TALLIES_FD]]`.

All it does is to run the Rust engine, which listens on the socket and handles packets.
"""

import importlib
import sys

from isthmus.daemon.process import (
    CAP_NET_ADMIN,
    CAP_NET_BIND_SERVICE,
    CAP_NET_RAW,
    die_with_parent,
    drop_privileges,
    keep_memory_private,
)

NEEDED = (CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE)
"""TUN queues and packet marks, ESP and bypass by raw sockets, UDP 500."""


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. Returns the process's exit status."""
    if not 1 <= len(arguments) <= 3:
        print(
            "usage: python -m isthmus.daemon.plane SOCKET [PARENT_PID [TALLIES_FD]]",
            file=sys.stderr,
        )
        return 2
    keep_memory_private()
    drop_privileges(NEEDED)
    if len(arguments) >= 2:
        die_with_parent(int(arguments[1]))
    tallies = int(arguments[2]) if len(arguments) == 3 else None
    importlib.import_module("isthmus._dataplane").serve(arguments[0], tallies=tallies)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
