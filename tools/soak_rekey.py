#!/usr/bin/env python3
"""1,000 renewals of phase 2 and 100 of phase 1 by both ends at once, under traffic
(`make soak-rekey`).

In namespaces of its own, with root: 2,000 datagrams a second go each way and are counted one by
one; afterwards nothing may have been lost, no SA be left over, and memory not have grown. Then the
same in small against strongSwan. Ends with status 0 only then.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.robustness import renewals  # noqa: E402  (found only with the path above)
from tools.verdict import holds, status  # noqa: E402


def main() -> int:
    """Run, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--phase2", type=int, default=1000, help="rounds of phase 2")
    parser.add_argument("--phase1", type=int, default=100, help="rounds of phase 1")
    parser.add_argument("--mixed", type=int, default=50, help="rounds with one phase at each end")
    parser.add_argument("--peer", choices=("isthmus", "strongswan", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--growth-max", type=int, default=2 * 1024, help="KiB of resident set")
    asked = parser.parse_args()
    passed = True
    for peer in ("isthmus", "strongswan"):
        if asked.peer not in (peer, "both"):
            continue
        part = 1 if peer == "isthmus" or asked.peer == peer else 5
        with tempfile.TemporaryDirectory(prefix="isth-") as directory:
            report = renewals.run(
                Path(directory),
                asked.phase2 // part,
                asked.phase1 // part,
                asked.mixed // part,
                peer=peer,
                seed=asked.seed,
                say=lambda line: print(line, flush=True),
            )
        print(f"--- with {peer} at the other end")
        passed &= holds(report, asked.growth_max)
    return status(passed)


if __name__ == "__main__":
    sys.exit(main())
