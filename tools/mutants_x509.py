#!/usr/bin/env python3
"""Small errors in the certificate verifier, one at a time: the tests must notice (S-14).

`make mutants-x509` takes some minutes. Ends with status 0 unless more mutants live than did before.
"""

import argparse
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.unit.x509 import mutants  # noqa: E402  (found only with the path above)


def main() -> int:
    """Run, list, judge."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore", message="Parsed a serial number")
    count = 0
    alive: list[mutants.Mutant] = []
    for mutant, lives in mutants.survivors():
        count += 1
        if lives:
            alive.append(mutant)
            print(f"lives: {mutant.module}.py:{mutant.line} {mutant.function}: {mutant.text}")
    score = (count - len(alive)) / count
    print(f"{count} mutants, {count - len(alive)} noticed ({score:.1%}), {len(alive)} live")
    failed = len(alive) > mutants.SURVIVORS_MAX
    print("FAILED" if failed else "PASSED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
