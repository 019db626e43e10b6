"""Small errors put into the verifier, one at a time, to see whether the cases of R-05 notice.

Comparisons are turned or moved by one, `and` and `or` swapped, `not` dropped, numbers moved by one,
conditions turned. Each mutant is run against the cases and the paths of PKITS that enter its
function, until one comes out otherwise; those that none notices are listed. What is left changes
a message, a bound by one, or nothing (counters compared with 0 alone, indices of what is equal), or
is noticed only by tests that take parameters, which are not run here.
"""

import ast
import copy
import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from . import pkits, test_certificate, test_crl, test_path, test_revocation
from .disabling import PACKAGE, functions, parsed, replaced
from .test_disabling import Judged, everything, outcome
from .test_pkits import verdict

SURVIVORS_MAX = 100
"""As many as were left when this was written, each looked at; one more is a missing scene."""
MODULES = (
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

    @property
    def key(self) -> str:
        """A name that lasts while lines move."""
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
                yield node, "op", ast.UAdd()  # `+ flag` is as true as the flag.
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
            for index, (node, attribute, value) in enumerate(_changes(tree)):
                fresh = copy.copy(node)
                setattr(fresh, attribute, value)
                ast.fix_missing_locations(fresh)
                text = f"{_shown(node)} -> {_shown(fresh)}"
                found.append(Mutant(short, name, index, getattr(node, "lineno", 0), text))
    return found


def _shown(node: ast.AST) -> str:
    node = node.test if isinstance(node, ast.If) else node
    return ast.unparse(node).replace("\n", " ")[:100]


class Refused(Exception):
    """A path of PKITS that does not hold."""


def _pkits(test: pkits.Test) -> None:
    if not verdict(test):
        raise Refused


def _entered() -> dict[str, list[tuple[str, Judged]]]:
    """The cases that enter each function of the room, by its code's name."""
    found: dict[str, list[tuple[str, Judged]]] = defaultdict(list)
    suite = [
        (test.name, "accepted" if verdict(test) else Refused.__name__, partial(_pkits, test))
        for test in pkits.tests()
    ]
    tests = [
        (name, "accepted", test)
        for module in (test_certificate, test_crl, test_path, test_revocation)
        for name, test in vars(module).items()
        if name.startswith("test_") and not inspect.signature(test).parameters
    ]
    for _, expected, judged in (*everything(), *suite, *tests):
        seen: set[str] = set()

        def profile(frame: object, event: str, _: object, seen: set[str] = seen) -> None:
            code = frame.f_code  # type: ignore[attr-defined]
            if event == "call" and "/x509/" in code.co_filename:
                seen.add(f"{code.co_filename.rpartition('/')[2][:-3]}.{code.co_qualname}")

        sys.setprofile(profile)
        try:
            result = outcome(judged)
        finally:
            sys.setprofile(None)
        assert result == expected
        for name in seen:
            found[name].append((result, judged))
    return found


def survivors() -> Iterator[tuple[Mutant, bool]]:
    """Every mutant, and whether it lives."""
    entered = _entered()
    for mutant in mutants():

        def rewrite(tree: ast.Module, mutant: Mutant = mutant) -> ast.Module:
            node, attribute, value = list(_changes(tree))[mutant.index]
            setattr(node, attribute, value)
            return tree

        cases = entered.get(f"{mutant.module}.{mutant.function}", [])
        with replaced(mutant.module, mutant.function, rewrite):
            yield mutant, all(outcome(judged) == result for result, judged in cases)
