"""Published cases as values: where the files are, what a case is, how a file is gone through.

A file dropped into one of the folders is tested without a change here, as long as it has the
shape that README.md describes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.values.proposal import Transform
from isthmus.values.registry.ikev2 import Encr, Integ, KeMethod, Prf, TransformType
from isthmus.values.signature import Scheme

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One published case. `check` raises AssertionError when we do not agree with it."""

    name: str
    check: Callable[[], None]
    covers: tuple[Transform | Scheme, ...] = ()
    """Algorithms for which this case gives the right answer (cases of refusal cover nothing)."""


@dataclass(frozen=True, slots=True)
class NotUsed:
    """A case about something that IPsec does not have; the reason is printed with its number."""

    name: str
    reason: str


AnyCase = Case | NotUsed


def files(folder: str) -> list[Path]:
    """The JSON files of one folder, by name."""
    return sorted((HERE / folder).glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    """The content of one file."""
    with path.open(encoding="utf-8") as stream:
        content: dict[str, Any] = json.load(stream)
    return content


def run(cases: Iterable[AnyCase], record_property: Callable[[str, object], None]) -> Counter[str]:
    """Run every case, fail with the names of those that disagree, and report the numbers."""
    wrong: list[str] = []
    counts: Counter[str] = Counter()
    for case in cases:
        if isinstance(case, NotUsed):
            counts[f"not used: {case.reason}"] += 1
            continue
        counts["run"] += 1
        try:
            case.check()
        except Exception as failure:  # an exception of any kind is a wrong answer here
            wrong.append(f"{case.name}: {type(failure).__name__}: {failure}")
    if wrong:
        pytest.fail(f"{len(wrong)} of {counts['run']} cases wrong:\n" + "\n".join(wrong[:20]))
    record_property("vector_cases", dict(counts))
    return counts


def encr(number: Encr, bits: int | None = None) -> Transform:
    """The cipher's transform."""
    return Transform(TransformType.ENCR, number, bits)


def integ(number: Integ) -> Transform:
    """The integrity algorithm's transform."""
    return Transform(TransformType.INTEG, number)


def prf_transform(number: Prf) -> Transform:
    """The PRF's transform."""
    return Transform(TransformType.PRF, number)


def ke(number: KeMethod) -> Transform:
    """The key exchange method's transform."""
    return Transform(TransformType.KE, number)


def same_octets(found: bytes, expected: bytes) -> None:
    """Equal, or an AssertionError that shows both (vectors hold no secrets)."""
    assert found == expected, f"{found.hex()} and not {expected.hex()}"


def refused(action: Callable[[], object], *kinds: type[Exception]) -> None:
    """`action` raises one of `kinds`."""
    with pytest.raises(kinds):
        action()
