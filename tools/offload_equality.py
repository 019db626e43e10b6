#!/usr/bin/env python3
"""A million random packets through two pairs of gateways, one with offloads and one without
(`make offload-equality`).

In namespaces of its own, with root. What the pairs deliver must be the same, octet for octet, and
in the same order within each flow. A quarter of the packets goes in each of the four outer headers
(UDP and ESP over IPv4 and IPv6). Ends with status 0 only then; what differs is shown with the seed
that shows it again.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.plane.offload_gateways import OUTERS, Different, run  # noqa: E402  (see the path above)
from tools.verdict import status  # noqa: E402


def main() -> int:
    """Run, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="packets, delivered")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--outer", choices=tuple(OUTERS), action="append", help="only these")
    parser.add_argument(
        "--workers", type=int, default=0, help="outbound ones; 0: as the plane does"
    )
    asked = parser.parse_args()
    outers = asked.outer or tuple(OUTERS)
    passed, delivered = True, 0
    for index, outer in enumerate(outers):
        with tempfile.TemporaryDirectory(prefix="isth-") as directory:
            try:
                report = run(
                    Path(directory),
                    asked.count // len(outers),
                    asked.seed + index,
                    outer=outer,
                    workers=asked.workers,
                    say=lambda line: print(line, flush=True),
                )
            except Different as error:
                print(f"DIFFERENT: {error}", flush=True)
                passed = False
                continue
        delivered += report.delivered
        complaints = report.complaints()
        passed &= not complaints
        print("\n".join([*report.lines(), *complaints]), flush=True)
    print(f"{delivered} packets delivered alike")
    return status(passed)


if __name__ == "__main__":
    sys.exit(main())
