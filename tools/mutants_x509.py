#!/usr/bin/env python3
"""Small errors in the certificate verifier, one at a time: the tests must notice (S-14, R-05).

`make mutants-x509` takes some minutes. Ends with status 0 only when every mutant is noticed but
those that nothing can notice, which tests/unit/x509/equivalent.py lists with their reasons.
`--only walk --only crl.Crl` takes some of them, `--again FILE` those that lived in the run whose
output is in FILE.
"""

import argparse
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from tests.unit.x509 import mutants  # noqa: E402  (found only with the path above)
from tests.unit.x509.equivalent import EQUIVALENT  # noqa: E402

LIVES = "lives: "


def main() -> int:
    """Run, list, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], help="mutants whose name begins so, such as crl.Crl"
    )
    parser.add_argument("--again", type=Path, help="mutants that lived, by the output of a run")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Parsed a serial number")
    chosen = mutants.mutants()
    if options.only:
        chosen = [mutant for mutant in chosen if mutant.key.startswith(tuple(options.only))]
    if options.again is not None:
        lines = options.again.read_text().splitlines()
        lived = {line.removeprefix(LIVES) for line in lines if line.startswith(LIVES)}
        chosen = [mutant for mutant in chosen if mutant.key in lived]
    if not chosen:
        parser.error("no mutant is called so")
    failed = [f"no such mutant: {key}" for key in mutants.strays()]
    for line in failed:
        print(line)
    alive = 0
    for mutant, lives in mutants.living(chosen):
        alive += lives
        complaint = mutants.complaint(mutant, lives)
        if complaint:
            failed.append(complaint)
            print(complaint, flush=True)
    noticed = len(chosen) - alive
    others = sum(mutant.key not in EQUIVALENT for mutant in chosen)
    score = noticed / others if others else 1
    print(
        f"{len(chosen)} mutants, {len(chosen) - others} of them equivalent: "
        f"{noticed} noticed ({score:.1%} of the others), {alive} live"
    )
    print("FAILED" if failed else "PASSED")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
