"""Taking single refusals out of the verifier, to see whether a test notices (S-14).

A mutant is one `raise` statement of one function replaced by nothing. The function is compiled
anew with the names of its own module, and put wherever the old one is known.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from types import FunctionType, ModuleType

PACKAGE = "isthmus.x509"
MODULES = (
    "algorithm",
    "certificate",
    "constraints",
    "crl",
    "der",
    "extensions",
    "general_name",
    "name",
    "ocsp",
    "path",
    "policies",
    "revocation",
    "rules",
    "scope",
    "usage",
    "walk",
)
HIT = "_a_refusal_was_reached"
_WRAPPERS = (classmethod, property, cached_property)


@dataclass(frozen=True)
class Refusal:
    """One raise statement: its function, and which one of that function's."""

    module: str
    function: str
    index: int
    line: int

    @property
    def key(self) -> str:
        """A name that lasts while lines move."""
        return f"{self.module}.{self.function} {self.index}"

    def __str__(self) -> str:
        return self.key


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Functions and methods that are written in a module, by qualified name."""
    for name, value in vars(module).items():
        if inspect.isfunction(value) and value.__module__ == module.__name__:
            yield name, value
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            for inner, member in vars(value).items():
                plain = _plain(member)
                if inspect.isfunction(plain) and plain.__code__.co_filename == module.__file__:
                    yield f"{name}.{inner}", plain


def _plain(member: object) -> object:
    """The function inside a class method or a property."""
    for attribute in ("__func__", "fget", "func"):
        member = getattr(member, attribute, member)
    return member


@cache
def _source(function: FunctionType) -> tuple[str, int]:
    lines, first = inspect.getsourcelines(function)
    return textwrap.dedent("".join(lines)), first


def parsed(function: FunctionType) -> ast.Module:
    """The tree of a function's source, with its own line numbers."""
    text, first = _source(function)
    tree = ast.parse(text)
    ast.increment_lineno(tree, first - 1)
    return tree


def raises(tree: ast.AST) -> list[ast.Raise]:
    """Raise statements in their order; one that passes on what it caught is no refusal."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None]
    return sorted(found, key=lambda node: node.lineno)


@cache
def refusals() -> tuple[Refusal, ...]:
    """Every raise statement of the verifier."""
    found: list[Refusal] = []
    for short in MODULES:
        for name, function in functions(importlib.import_module(f"{PACKAGE}.{short}")):
            nodes = raises(parsed(function))
            found += [Refusal(short, name, n, node.lineno) for n, node in enumerate(nodes)]
    return tuple(found)


class _Rewriter(ast.NodeTransformer):
    def __init__(self, change: Callable[[ast.Raise], list[ast.stmt]]) -> None:
        self._change = change

    def visit_Raise(self, node: ast.Raise) -> list[ast.stmt]:
        return self._change(node)


Rewrite = Callable[[ast.Module], ast.Module]
"""What is done to the tree of a function's source."""


@contextmanager
def replaced(short: str, qualified: str, rewrite: Rewrite) -> Iterator[None]:
    """While this lasts, a function is what `rewrite` makes of it."""
    module = importlib.import_module(f"{PACKAGE}.{short}")
    owner_name, _, name = qualified.rpartition(".")
    owner = getattr(module, owner_name) if owner_name else module
    old = vars(owner)[name]
    plain = _plain(old)
    assert isinstance(plain, FunctionType)
    tree = rewrite(parsed(plain))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    scope: dict[str, object] = {}
    code = compile(ast.fix_missing_locations(tree), module.__file__ or "", "exec")
    exec(code, vars(module), scope)  # noqa: S102  (our own source, with one statement changed)
    fresh = scope[name]
    new = type(old)(fresh) if isinstance(old, _WRAPPERS) else fresh
    if isinstance(new, cached_property):
        new.__set_name__(owner, name)
    places = [(owner, name)]
    tables: list[tuple[dict[object, object], object]] = []
    if owner is module:
        for key, other in list(sys.modules.items()):
            # Tests import some functions by name; the last part of their package is the room's.
            if "x509." in key and "cryptography" not in key:
                names = [alias for alias, value in vars(other).items() if value is old]
                places += [(other, alias) for alias in names]
        held = [value for value in vars(module).values() if isinstance(value, dict)]
        tables = [(table, key) for table in held for key in table if table[key] is old]
    try:
        _put(places, tables, new)
        yield
    finally:
        _put(places, tables, old)


Change = Callable[[ast.Raise, int], list[ast.stmt]]


def _of_raises(change: Change) -> Rewrite:
    """`change` gets each raise statement and which one it is; -1 for those that pass on."""

    def rewrite(tree: ast.Module) -> ast.Module:
        order = {id(node): index for index, node in enumerate(raises(tree))}
        rewriter = _Rewriter(lambda node: change(node, order.get(id(node), -1)))
        return ast.Module(rewriter.visit(tree).body, [])

    return rewrite


def _put(
    places: list[tuple[object, str]],
    tables: list[tuple[dict[object, object], object]],
    value: object,
) -> None:
    for place, name in places:
        setattr(place, name, value)
    for table, key in tables:
        table[key] = value


@contextmanager
def disabled(refusal: Refusal) -> Iterator[None]:
    """While this lasts, one refusal does not happen."""

    def change(node: ast.Raise, index: int) -> list[ast.stmt]:
        return [ast.copy_location(ast.Pass(), node) if index == refusal.index else node]

    with replaced(refusal.module, refusal.function, _of_raises(change)):
        yield


@contextmanager
def watched(reached: Callable[[Refusal], None]) -> Iterator[None]:
    """While this lasts, `reached` is told of each refusal that is about to happen."""
    by_function: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in refusals():
        by_function.setdefault((refusal.module, refusal.function), []).append(refusal)

    def hit(number: int) -> None:
        reached(refusals()[number])

    with ExitStack() as stack:
        for short in MODULES:
            module = importlib.import_module(f"{PACKAGE}.{short}")
            setattr(module, HIT, hit)
            stack.callback(delattr, module, HIT)
        for (short, function), each in by_function.items():

            def change(node: ast.Raise, index: int, each: list[Refusal] = each) -> list[ast.stmt]:
                if index < 0:
                    return [node]
                number = refusals().index(each[index])
                call = ast.Call(ast.Name(HIT, ast.Load()), [ast.Constant(number)], [])
                return [ast.copy_location(ast.Expr(call), node), node]

            stack.enter_context(replaced(short, function, _of_raises(change)))
        yield
