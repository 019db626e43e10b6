"""Floors 0 to 3 keep their promise: no sockets, threads, clocks, chance or files of their own.

And the bans that hold everywhere, as tests so that they hold without a linter: no silent `except`,
no `assert` on input in `wire`, no pickle and no eval, no `==` on secrets, no overlong files.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .source import PACKAGE, PYTHON, Module, dotted, modules, outside_imports

PURE_ROOMS = ("values", "wire", "crypto", "policy", "x509", "credentials", "config", "ike")
FORBIDDEN_MODULES = frozenset(
    {
        "asyncio", "concurrent", "ctypes", "fcntl", "http", "io", "mmap", "multiprocessing", "os",
        "pathlib", "queue", "random", "sched", "secrets", "select", "selectors", "shutil", "signal",
        "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
        "uuid",
    }
)  # fmt: skip
READS_FILES = frozenset({"os", "pathlib", "io"})
EXCEPTIONS: dict[str, frozenset[str]] = {
    # The one place where the program draws entropy; it is handed to everyone else.
    "crypto.entropy": frozenset({"secrets"}),
    # Reads key files and asks the commands that a user names for a secret, within a time limit.
    "credentials.load": READS_FILES | {"selectors", "signal", "subprocess", "time"},
    # Has a program that holds a private key sign, within a time limit.
    "credentials.key_process": frozenset(
        {"os", "selectors", "signal", "subprocess", "threading", "time"}
    ),
    # Reads the configuration file.
    "config.load": READS_FILES,
}
CLOCKS = frozenset({"now", "utcnow", "today"})
DANGEROUS_MODULES = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle"})
DANGEROUS_CALLS = frozenset({"eval", "exec", "compile"})
LINES_MAX = 700


def impurities(module: Module) -> Iterator[str]:
    """What a module of floors 0 to 3 uses that only edges may use."""
    room = module.name.removeprefix(f"{PACKAGE}.")
    excused = EXCEPTIONS.get(room, frozenset())
    for name in sorted(outside_imports(module)):
        top = name.split(".")[0]
        if top in FORBIDDEN_MODULES and top not in excused:
            yield f"imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name == "open" and not excused & READS_FILES:
                yield f"line {node.lineno}: opens a file"
            front, _, last = name.rpartition(".")
            if last in CLOCKS and front.rpartition(".")[2] in ("datetime", "date"):
                yield f"line {node.lineno}: reads the clock"
            if last in ("import_module", "__import__") and not isinstance(
                node.args[0] if node.args else None, ast.Constant
            ):
                yield f"line {node.lineno}: imports a computed name"


def silent_handlers(module: Module) -> Iterator[str]:
    """`except` without a type, and handlers that do nothing at all."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield f"line {node.lineno}: except without a type"
            if all(isinstance(step, ast.Pass) or _is_ellipsis(step) for step in node.body):
                yield f"line {node.lineno}: an exception is dropped without a word"


def _is_ellipsis(step: ast.stmt) -> bool:
    return (
        isinstance(step, ast.Expr)
        and isinstance(step.value, ast.Constant)
        and step.value.value is ...
    )


def dangers(module: Module) -> Iterator[str]:
    """Ways to run what somebody else wrote."""
    for name in sorted(outside_imports(module)):
        if name.split(".")[0] in DANGEROUS_MODULES:
            yield f"imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in DANGEROUS_CALLS:
                yield f"line {node.lineno}: calls {node.func.id}"
            shell = [k for k in node.keywords if k.arg == "shell"]
            if shell:
                yield f"line {node.lineno}: hands a line to a shell"


def asserts(module: Module) -> Iterator[str]:
    """Assertions, which vanish under -O and are no answer to a stranger's octets."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"


def secret_names(module: Module) -> set[str]:
    """Names that are annotated as Secret: parameters, variables, fields."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.AnnAssign(target=target, annotation=annotation):
                if _says_secret(annotation):
                    found.add(dotted(target).rpartition(".")[2])
            case ast.arg(arg=name, annotation=ast.expr() as annotation):
                if _says_secret(annotation):
                    found.add(name)
    return found


def _says_secret(annotation: ast.expr) -> bool:
    """`Secret`, `Secret | None` and the like, not a container of secrets nor a call's result."""
    match annotation:
        case ast.BinOp(left=left, right=right):
            return _says_secret(left) or _says_secret(right)
        case ast.Constant(value=str() as text):
            return text.split("|")[0].strip() == "Secret"
        case _:
            return dotted(annotation).rpartition(".")[2] == "Secret"


def secret_comparisons(module: Module) -> Iterator[str]:
    """`==`, `!=` and `in` on secrets or on what they reveal: `crypto.compare` is for that."""
    secrets = secret_names(module)
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
            continue
        for side in (node.left, *node.comparators):
            revealed = isinstance(side, ast.Call) and dotted(side.func).endswith(".reveal")
            if revealed or dotted(side).rpartition(".")[2] in secrets:
                yield f"line {node.lineno}: compares a secret"


def in_rooms(*rooms: str) -> list[Module]:
    return [
        module
        for name, module in modules().items()
        if name.removeprefix(f"{PACKAGE}.").split(".")[0] in rooms
    ]


def findings(check: Callable[[Module], Iterator[str]], looked_at: list[Module]) -> list[str]:
    return [f"{module.name}: {finding}" for module in looked_at for finding in check(module)]


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_floors_0_to_3_touch_no_world(room: str) -> None:
    found = findings(impurities, in_rooms(room))
    assert not found, "\n".join(found)


def test_no_exception_is_dropped_without_a_word() -> None:
    found = findings(silent_handlers, list(modules().values()))
    assert not found, "\n".join(found)


def test_nobody_runs_what_somebody_else_wrote() -> None:
    found = findings(dangers, list(modules().values()))
    assert not found, "\n".join(found)


def test_wire_asserts_nothing() -> None:
    """S-09: no `assert` on input."""
    found = findings(asserts, in_rooms("wire"))
    assert not found, "\n".join(found)


def test_secrets_are_compared_in_constant_time() -> None:
    """S-30."""
    others = [m for m in modules().values() if m.name != f"{PACKAGE}.values.secret"]
    found = findings(secret_comparisons, others)
    assert not found, "\n".join(found)


def test_no_file_is_too_long_to_read() -> None:
    tests = Path(__file__).parents[1]
    files = [*PYTHON.glob(f"{PACKAGE}/**/*.py"), *tests.glob("**/*.py")]
    sizes = {str(path): path.read_text().count("\n") for path in files}
    long = {name: size for name, size in sizes.items() if size > LINES_MAX}
    assert len(sizes) > 40
    assert not long


def test_every_file_says_what_it_is_for() -> None:
    silent = [m.name for m in modules().values() if not ast.get_docstring(m.tree)]
    assert not silent


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (impurities, "import socket"),
        (impurities, "def f():\n  import random"),
        (impurities, "from os import urandom"),
        (impurities, "from time import time"),
        (impurities, "import concurrent.futures"),
        (impurities, "from datetime import datetime\nx = datetime.now()"),
        (impurities, "import datetime\nx = datetime.datetime.utcnow()"),
        (impurities, "x = open('f').read()"),
        (impurities, "from pathlib import Path"),
        (impurities, "m = importlib.import_module('threading')"),
        (impurities, "m = importlib.import_module(name)"),
        (silent_handlers, "try:\n  x\nexcept:\n  y"),
        (silent_handlers, "try:\n  x\nexcept OSError:\n  pass"),
        (silent_handlers, "try:\n  x\nexcept OSError:\n  ..."),
        (dangers, "import pickle"),
        (dangers, "def f():\n  return eval('1')"),
        (asserts, "assert octets"),
        (secret_comparisons, "def f(key: Secret):\n  return key == b''"),
        (secret_comparisons, "def f(key: 'Secret | None', o):\n  return o != key"),
        (secret_comparisons, "class C:\n  key: Secret\ndef f(c, o):\n  return c.key == o"),
        (secret_comparisons, "x = a.reveal() == b"),
    ],
)
def test_each_ban_bites(check: Callable[[Module], Iterator[str]], text: str) -> None:
    """The checks are checked."""
    assert list(check(Module(f"{PACKAGE}.ike.example", text)))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (impurities, "from datetime import timedelta\nimport struct\ny = cipher.open(x)"),
        (silent_handlers, "try:\n  x\nexcept OSError as error:\n  raise LocalFault from error"),
        (dangers, "import json\nx = evaluate()"),
        (secret_comparisons, "def f(key: Secret, n):\n  return len(key) == n and key is None"),
        (secret_comparisons, "def f(keys: dict[str, Secret], n):\n  return n in keys"),
    ],
)
def test_no_ban_bites_where_it_should_not(
    check: Callable[[Module], Iterator[str]], text: str
) -> None:
    assert not list(check(Module(f"{PACKAGE}.ike.example", text)))
