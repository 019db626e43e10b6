"""Small errors put into the verifier, one at a time, to see whether the tests of R-05 notice.

Comparisons are turned or moved by one, `and` and `or` swapped, `not` dropped, numbers moved by one,
conditions turned. Each mutant is run against what enters its function, until one comes out
otherwise: the cases of R-05, the paths of PKITS, and the tests of this folder. One that none
notices lives; those that nothing could notice are in `equivalent.EQUIVALENT`, each with its reason.
"""

import ast
import importlib
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from time import perf_counter
from types import CodeType, FrameType, ModuleType

import pytest

from . import (
    pkits,
    test_certificate,
    test_constraints,
    test_crl,
    test_der,
    test_identity,
    test_judgement,
    test_ocsp,
    test_path,
    test_readers,
    test_revocation,
)
from .disabling import PACKAGE, functions, parsed, replaced
from .equivalent import EQUIVALENT
from .test_disabling import Judged, everything, outcome
from .test_pkits import verdict

MODULES = (
    "identity",
    "algorithm",
    "certificate",
    "der",
    "extensions",
    "general_name",
    "name",
    "rules",
    "walk",
    "usage",
    "constraints",
    "policies",
    "path",
    "scope",
    "revocation",
    "crl",
    "ocsp",
)
TESTS = (
    test_certificate,
    test_constraints,
    test_crl,
    test_der,
    test_identity,
    test_judgement,
    test_ocsp,
    test_path,
    test_readers,
    test_revocation,
)

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


@dataclass(frozen=True)
class Mutant:
    """One error: where, which of that function's, and what it looks like."""

    module: str
    function: str
    index: int
    line: int
    text: str
    """`before -> after`: as little around it as makes it the only one of its function."""

    @property
    def key(self) -> str:
        """A name that lasts while lines move: what `EQUIVALENT` knows it by."""
        return f"{self.module}.{self.function}: {self.text}"


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, object]]:
    """Places of a function, and what could stand there instead: (node, field, value)."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(ops=ops):
                for position, op in enumerate(ops):
                    for other in _COMPARED[type(op)]:
                        fresh = [*ops]
                        fresh[position] = other()
                        yield node, "ops", fresh
            case ast.BoolOp(op=ast.And()):
                yield node, "op", ast.Or()
            case ast.BoolOp(op=ast.Or()):
                yield node, "op", ast.And()
            case ast.UnaryOp(op=ast.Not()):
                yield node, "operand", ast.UnaryOp(ast.Not(), node.operand)
            case ast.IfExp() | ast.If():
                yield node, "test", ast.UnaryOp(ast.Not(), node.test)
            case ast.Constant(value=int() as value) if not isinstance(value, bool):
                yield node, "value", value + 1
                yield node, "value", value - 1
            case ast.Constant(value=bool() as value):
                yield node, "value", not value


def mutants() -> list[Mutant]:
    """All of them."""
    found: list[Mutant] = []
    for short in MODULES:
        for name, function in functions(importlib.import_module(f"{PACKAGE}.{short}")):
            tree = parsed(function)
            changes = list(_changes(tree))
            for index, text in enumerate(_texts(tree, changes)):
                line = getattr(changes[index][0], "lineno", 0)
                found.append(Mutant(short, name, index, line, text))
    return found


def _texts(tree: ast.Module, changes: list[tuple[ast.AST, str, object]]) -> list[str]:
    """What each change looks like, with so much around it that no two look the same."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    views: list[list[str]] = []
    for node, attribute, value in changes:
        places: list[ast.AST] = [node]
        while not isinstance(places[-1], ast.stmt):
            places.append(parents[places[-1]])
        before = [_shown(place) for place in places]
        old = getattr(node, attribute)
        setattr(node, attribute, value)
        after = [_shown(place) for place in places]
        setattr(node, attribute, old)
        views.append([f"{one} -> {other}" for one, other in zip(before, after, strict=True)])
    depths = [0] * len(views)
    while True:
        texts = [view[depth] for view, depth in zip(views, depths, strict=True)]
        seen = Counter(texts)
        vague = [n for n, text in enumerate(texts) if seen[text] > 1]
        wider = [n for n in vague if depths[n] + 1 < len(views[n])]
        if not wider:
            break
        for n in wider:
            depths[n] += 1
    counted: Counter[str] = Counter()
    for n in vague:
        # The same statement twice in one function: told apart by their order alone.
        counted[texts[n]] += 1
        texts[n] += f" ({counted[texts[n]]})"
    return texts


def _shown(node: ast.AST) -> str:
    """A node's source on one line; of a statement with others inside, its head."""
    match node:
        case ast.If() | ast.While():
            return f"if {ast.unparse(node.test)}"
        case ast.For():
            return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
        case ast.FunctionDef():
            return f"def {node.name}({ast.unparse(node.args)})"
        case ast.match_case():
            return f"case {ast.unparse(node.pattern)}"
    return " ".join(ast.unparse(node).split())


class Refused(Exception):
    """A path of PKITS that does not hold."""


def _pkits(test: pkits.Test) -> None:
    if not verdict(test):
        raise Refused


def _calls(module: ModuleType) -> Iterator[tuple[str, Judged]]:
    """The tests of a module, once for each of their parameters, without pytest around them."""
    for name, test in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        if not marks:
            yield name, partial(_run, test, {})
        for mark in marks:
            names, values = mark.args
            for value in values:
                each = (
                    {names: value}
                    if isinstance(names, str)
                    else dict(zip(names, value, strict=True))
                )
                yield f"{name}[{value}]", partial(_run, test, each)


def _run(test: Callable[..., object], arguments: dict[str, object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if "monkeypatch" in test.__code__.co_varnames[: test.__code__.co_argcount]:
            arguments = {**arguments, "monkeypatch": patch}
        try:
            test(**arguments)
        except pytest.fail.Exception as error:
            # Not among `Exception`, so that what a test catches does not hide its own failure.
            raise AssertionError(error) from error


def _entered(wanted: Collection[str]) -> dict[str, list[tuple[str, Judged]]]:
    """What enters each of these functions, by module and name, the quickest first."""
    found: dict[str, list[tuple[float, str, Judged]]] = defaultdict(list)
    suite = [
        (test.name, "accepted" if verdict(test) else Refused.__name__, partial(_pkits, test))
        for test in pkits.tests()
    ]
    tests = [(name, "accepted", judged) for module in TESTS for name, judged in _calls(module)]
    for name, expected, judged in (*everything(), *tests, *suite):
        seen: set[CodeType] = set()

        def profile(frame: FrameType, event: str, _: object, seen: set[CodeType] = seen) -> None:
            if event == "call":
                seen.add(frame.f_code)

        began = perf_counter()
        sys.setprofile(profile)
        try:
            result = outcome(judged)
        finally:
            sys.setprofile(None)
        took = perf_counter() - began
        assert result == expected, f"{name}: {result} instead of {expected}"
        for code in seen:
            room, _, file = code.co_filename.rpartition("/")
            function = f"{file.removesuffix('.py')}.{code.co_qualname}"
            if room.endswith("/x509") and function in wanted:
                found[function].append((took, result, judged))
    return {
        function: [(result, judged) for _, result, judged in sorted(each, key=itemgetter(0))]
        for function, each in found.items()
    }


def living(chosen: Iterable[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Each of these mutants, and whether it lives."""
    several = list(chosen)
    entered = _entered({f"{mutant.module}.{mutant.function}" for mutant in several})
    for mutant in several:

        def rewrite(tree: ast.Module, mutant: Mutant = mutant) -> ast.Module:
            node, attribute, value = list(_changes(tree))[mutant.index]
            setattr(node, attribute, value)
            return tree

        cases = entered.get(f"{mutant.module}.{mutant.function}", [])
        with replaced(mutant.module, mutant.function, rewrite):
            noticed = next(
                (n for n, (was, judged) in enumerate(cases) if outcome(judged) != was), -1
            )
        if noticed > 0:
            # What noticed one error of a function is likely to notice the next.
            cases.insert(0, cases.pop(noticed))
        yield mutant, noticed < 0


def complaint(mutant: Mutant, lives: bool) -> str:
    """What is wrong with this verdict; empty if nothing is."""
    if lives and mutant.key not in EQUIVALENT:
        return f"lives: {mutant.key}"
    if not lives and mutant.key in EQUIVALENT:
        return f"is not equivalent, something notices it: {mutant.key}"
    return ""


def strays() -> list[str]:
    """Entries of `EQUIVALENT` that are no mutant (any more)."""
    return sorted(EQUIVALENT.keys() - {mutant.key for mutant in mutants()})
