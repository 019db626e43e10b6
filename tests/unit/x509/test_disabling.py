"""S-14: each refusal of the verifier matters. Without it, a case of R-05 would come out otherwise.

For every `raise` of the room: the cases of R-05 that reach it are found by watching; with that one
statement taken out, at least one of these cases must come out otherwise.
"""

import ast
import importlib
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import isthmus.x509
from isthmus.x509 import der
from isthmus.x509.errors import BadCertificate, BadCrl, BadOcsp, Untrusted

from .disabling import MODULES, PACKAGE, Refusal, disabled, raises, refusals, watched
from .test_one_defect import ACCEPTED, REFUSED

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

Judged = Callable[[], object]

REFUSED_ELSEWHERE = {
    "crl.Crl._from_der 2": "crypto.signature.verify knows no scheme that is None",
    "ocsp.OcspAnswer._from_der 2": "crypto.signature.verify knows no scheme that is None",
    "ocsp._responder 0": "nobody answers to a responder that is None",
}
"""Refusals without which the octets are refused all the same, and by what."""


PROBES: dict[str, Callable[[], object]] = {
    "a time of another type": lambda: der.time(0x0C, b"20270115080000Z"),
    "a tag of several octets": lambda: der.Reader(b"\x1f\x01\x00").any(),
    "a length of five octets": lambda: der.Reader(b"\x04\x85\0\0\0\0\1x").any(),
    "a length that is cut short": lambda: der.Reader(b"\x04\x82\x80").any(),
    "an indefinite length": lambda: der.Reader(b"\x30\x80\0\0").any(),
    "a length past the end": lambda: der.Reader(b"\x04\x02x").any(),
}
"""What the library or the readers above refuse too, asked of the lowest reader itself."""


def outcome(judged: Callable[[], object]) -> str:
    try:
        judged()
    except (BadCertificate, BadCrl, BadOcsp, Untrusted) as error:
        return error.code
    except Exception as error:
        return type(error).__name__
    return "accepted"


@cache
def everything() -> tuple[tuple[str, str, Judged], ...]:
    """Every case and probe: its name, what is to come of it, and how to have it judged."""
    cases = [
        (case.name, case.code or "accepted", case.make().prepare())
        for case in (*REFUSED, *ACCEPTED)
    ]
    return (*cases, *((name, "Malformed", judged) for name, judged in PROBES.items()))


@cache
def reaching() -> dict[Refusal, list[tuple[str, Judged]]]:
    """The cases that come to each refusal, and what becomes of them."""
    found: dict[Refusal, list[tuple[str, Judged]]] = defaultdict(list)
    prepared = everything()
    reached: set[Refusal] = set()
    with watched(reached.add):
        for name, expected, judged in prepared:
            reached.clear()
            result = outcome(judged)
            assert result == expected, name
            for refusal in reached:
                found[refusal].append((result, judged))
    return found


@pytest.mark.parametrize("refusal", refusals(), ids=str)
def test_without_it_something_would_be_accepted_or_named_otherwise(refusal: Refusal) -> None:
    cases = reaching().get(refusal, [])
    with disabled(refusal):
        noticed = any(outcome(judged) != result for result, judged in cases)
    if refusal.key in REFUSED_ELSEWHERE:
        assert not noticed, "it is not refused elsewhere any more"
    else:
        assert noticed, f"{len(cases)} cases come to {refusal.key} and none would notice"


def test_all_refusals_of_the_room_are_among_them() -> None:
    folder = Path(isthmus.x509.__file__).parent
    written = {path.stem for path in folder.glob("*.py")} - {"__init__", "errors", "identity"}
    assert written == set(MODULES)
    for short in MODULES:
        text = Path(importlib.import_module(f"{PACKAGE}.{short}").__file__ or "").read_text()
        known = [refusal for refusal in refusals() if refusal.module == short]
        assert len(raises(ast.parse(text))) == len(known), short
