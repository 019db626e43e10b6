#!/usr/bin/env python3
"""100,000 mutated certificates, revocation lists and OCSP answers (`make mutate-x509`).

No exception but our own may come out, none may take over 50 ms of CPU time, and memory is bounded.
Ends with status 0 only then. `--seed 4711 --count 1` makes one mutant again.
"""

import argparse
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.unit.x509 import campaign  # noqa: E402  (found only with the path above)
from tools.verdict import holds, status  # noqa: E402


def main() -> int:
    """Run, report, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="mutants")
    parser.add_argument("--seed", type=int, default=0, help="the first mutant's seed")
    parser.add_argument("--growth-max", type=int, default=16 * 1024, help="KiB of resident set")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", message="Parsed a serial number")
    report = campaign.run(asked.count, seed=asked.seed)
    return status(holds(report, asked.growth_max))


if __name__ == "__main__":
    sys.exit(main())
