"""The program's source as the architecture tests see it: modules, their trees, their imports."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PYTHON = Path(__file__).parents[2] / "python"
PACKAGE = "isthmus"
NATIVE = "isthmus._dataplane"
"""The extension module: Rust, so no source here."""


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted and without the `__init__` of packages."""

    name: str
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.text)

    @property
    def inside(self) -> str:
        """The package that the module's relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by name."""
    found = {}
    for path in sorted(PYTHON.glob(f"{PACKAGE}/**/*.py")):
        parts = path.relative_to(PYTHON).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = Module(name, path.read_text(), is_package)
    return found


def imports(module: Module, known: frozenset[str] | None = None) -> set[str]:
    """The modules of our own that a module imports, wherever the statement stands.

    Functions, classes and `if TYPE_CHECKING` are looked into as well, and so are calls of
    `import_module` and `__import__` with a name written out. `known` names all modules there are.
    """
    names = frozenset(modules()) | {NATIVE} if known is None else known
    found: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                base = _base(module, node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    found.add(inner if inner in names else base)
            case ast.Call(args=[ast.Constant(value=str() as name), *_]) if _imports(node):
                found.add(name)
    return {name for name in found if name.split(".")[0] == PACKAGE}


def outside_imports(module: Module) -> set[str]:
    """Dotted names that a module imports from elsewhere: `os`, `time.monotonic`."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom(level=0):
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
            case ast.Call(args=[ast.Constant(value=str() as name), *_]) if _imports(node):
                found.add(name)
    return {name for name in found if name.split(".")[0] != PACKAGE}


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of attributes of a name, else an empty string."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            front = dotted(value)
            return f"{front}.{name}" if front else ""
        case _:
            return ""


def _imports(call: ast.Call) -> bool:
    return dotted(call.func).rpartition(".")[2] in ("import_module", "__import__")


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.inside.split(".")
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])
