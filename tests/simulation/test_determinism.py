"""R-19: a world is its seed. This test comes first: without it no other failure can be replayed."""

import hashlib
import os
import subprocess
import sys

import pytest

from isthmus.simulator.run import run_seed

SEEDS = (3,)


def trace_of(seed: int) -> list[str]:
    lines: list[str] = []
    run_seed(seed, lines.append)
    return lines


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_same_trace(seed: int) -> None:
    first, second = trace_of(seed), trace_of(seed)
    assert len(first) > 1000
    assert first == second


def test_other_seed_other_trace() -> None:
    assert trace_of(3) != trace_of(7)


def test_same_trace_in_other_processes_with_other_hash_seeds() -> None:
    """Byte for byte what `make sim SEED=7 TRACE=1` prints."""
    expected = hashlib.sha256("".join(f"{line}\n" for line in trace_of(7)).encode()).hexdigest()
    for hash_seed in ("0", "1", "4711"):
        done = subprocess.run(
            (sys.executable, "-m", "isthmus.simulator.run", "--seed", "7", "--trace"),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            timeout=120,
            check=True,
        )
        assert hashlib.sha256(done.stdout).hexdigest() == expected


def test_the_trace_shows_no_secret() -> None:
    """Neither the pre-shared key nor keys in the repr of what holds them."""
    text = "\n".join(trace_of(7))
    assert "the one key of every" not in text
    assert "Secret(" not in text
