#!/usr/bin/env python3
"""200,000 mutated datagrams against a running isthmusd (`make mutate`).

In namespaces of its own, with root: a tunnel carries pings meanwhile, and afterwards the daemon has
to be as it was: no fault, no restart, no growth, no SA left over. Ends with status 0 only then.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.robustness import campaign  # noqa: E402  (found only with the path above)
from tools.verdict import holds, status  # noqa: E402


def main() -> int:
    """Run, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200_000, help="mutants after warm-up")
    parser.add_argument("--warm-up", type=int, default=30_000, help="mutants before measuring")
    parser.add_argument("--rate", type=float, default=1500.0, help="mutants a second at most")
    parser.add_argument("--growth-max", type=int, default=5 * 1024, help="KiB of resident set")
    parser.add_argument("--version", type=int, default=2, choices=(1, 2), help="of IKE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isth-") as directory:
        report = campaign.run(
            Path(directory),
            asked.count,
            warm_up=asked.warm_up,
            steps=8,
            rate=asked.rate,
            version=asked.version,
            say=lambda line: print(line, flush=True),
        )
    return status(holds(report, asked.growth_max))


if __name__ == "__main__":
    sys.exit(main())
