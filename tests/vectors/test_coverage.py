"""R-06: whatever is offered has published cases, and there are enough of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import dh_cases
import esp_cases
import kdf_cases
import pytest
import wycheproof_cases
from vectorfiles import AnyCase, Case, NotUsed, files

from isthmus.crypto import modp
from isthmus.crypto.agreement import METHODS
from isthmus.crypto.integrity import INTEGS
from isthmus.crypto.prf import PRFS
from isthmus.crypto.suite import ENCRS, key_lengths
from isthmus.values.proposal import Transform
from isthmus.values.registry.ikev2 import TransformType
from isthmus.values.signature import Scheme

CASES_MIN = 5_000
"""SECURITY class R-06."""

READERS: dict[str, Callable[[Path], list[AnyCase]]] = {
    "wycheproof": wycheproof_cases.cases,
    "kdf": kdf_cases.cases,
    "dh": dh_cases.cases,
    "esp": esp_cases.cases,
}


def offered() -> Iterator[Transform]:
    """Every transform that crypto can be asked for, with each of its key lengths."""
    for encr in ENCRS:
        for bits in key_lengths(encr) or (None,):
            yield Transform(TransformType.ENCR, encr, bits)
    yield from (Transform(TransformType.INTEG, number) for number in INTEGS)
    yield from (Transform(TransformType.PRF, number) for number in PRFS)
    yield from (Transform(TransformType.KE, number) for number in METHODS)


@pytest.fixture(scope="module")
def published() -> list[Case]:
    """All cases of all folders that are run."""
    return [
        case
        for folder, reader in READERS.items()
        for path in files(folder)
        for case in reader(path)
        if isinstance(case, Case)
    ]


def test_every_algorithm_has_published_cases(published: list[Case]) -> None:
    covered = Counter(transform for case in published for transform in case.covers)
    bare = {t for t in offered() if not covered[t]}
    # No MODP group has published cases here: unit/crypto/test_modp.py holds them against pow().
    by_oracle = {Transform(TransformType.KE, method) for method in modp.METHODS}
    assert bare <= by_oracle, ", ".join(map(str, sorted(bare - by_oracle)))


def test_every_family_of_signatures_has_published_cases(published: list[Case]) -> None:
    """The other hashes of RSA and of a curve are one table entry each: unit/crypto holds them."""
    covered = {what for case in published for what in case.covers if isinstance(what, Scheme)}
    assert covered == {
        Scheme.RSA_PKCS1_SHA256,
        Scheme.RSA_PKCS1_SHA512,
        Scheme.RSA_PSS_SHA256,
        Scheme.RSA_PSS_SHA512,
        Scheme.ECDSA_SHA256,
        Scheme.ECDSA_SHA384,
        Scheme.ECDSA_SHA512,
        Scheme.ED25519,
        Scheme.ED448,
    }


def test_what_is_left_for_later_is_named(record_property: Callable[[str, object], None]) -> None:
    """Files of which no case runs hold ML-KEM, and their number is printed."""
    later: Counter[str] = Counter()
    for folder, reader in READERS.items():
        for path in files(folder):
            found = reader(path)
            if not any(isinstance(case, Case) for case in found):
                later.update(f"not used: {c.reason}" for c in found if isinstance(c, NotUsed))
    known = wycheproof_cases.LATER
    assert all(any(word in reason for word in known) for reason in later), later
    record_property("vector_cases", dict(later))


def test_there_are_enough_published_cases(published: list[Case]) -> None:
    assert len(published) >= CASES_MIN, len(published)
