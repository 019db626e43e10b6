"""Who may import whom: the table of ARCHITECTURE.md section 3, and no cycles."""

import pytest

from .source import NATIVE, PACKAGE, Module, imports, modules

FLOORS_0_TO_2 = ("values", "wire", "crypto", "policy", "x509", "credentials")
BELOW_HOSTS = (
    *FLOORS_0_TO_2,
    "config",
    "ike",
    "backends",
    "state",
    "observe",
    "management",
    "_dataplane",
)

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "values": (),
    "wire": ("values",),
    "crypto": ("values", "_dataplane"),
    "policy": ("values",),
    "x509": ("values", "crypto"),
    "credentials": ("values", "crypto", "x509"),
    "config": ("values", "policy", "x509", "credentials"),
    "ike.core": FLOORS_0_TO_2,
    "ike.auth": (*FLOORS_0_TO_2, "ike.core"),
    "ike.lifecycle": (*FLOORS_0_TO_2, "ike.core"),
    "ike.v1": (*FLOORS_0_TO_2, "ike.core", "ike.auth", "ike.lifecycle"),
    "ike.v2": (*FLOORS_0_TO_2, "ike.core", "ike.auth", "ike.lifecycle"),
    "ike": (*FLOORS_0_TO_2, "ike"),
    "backends": ("values", "policy", "ike.core", "_dataplane"),
    "state": ("values", "policy", "ike.core"),
    "observe": ("values", "policy", "ike.core"),
    "authority": ("values", "crypto", "x509"),
    "management": ("values", "policy", "config", "ike.core"),
    "daemon": BELOW_HOSTS,
    "simulator": BELOW_HOSTS,
    "cli": (
        "values",
        "config",
        "authority",
        "credentials.psk",
        "credentials.xauth",
        "crypto.entropy",
        "management.api",
        "management.client",
        "management.codec",
        "simulator.run",
        "lab",
    ),
    "web": ("values", "management.api", "management.client"),
    "lab": ("values", "wire", "crypto", "management.api", "management.client"),
}
"""A room and what it may import beside itself. The longest name that fits counts for a module.

Beyond the guide's table: `crypto` asks `_dataplane` for MODP arithmetic, which holds no state and
does no I/O; `lab` is a room of floor 6 (namespaces, peers, captures and what reads them), which
`cli` shows to users. `isthmus` itself (its version) may be imported from anywhere.
"""


def room_of(name: str) -> str:
    """The row of the table that a module belongs to; empty for the package itself."""
    parts = name.split(".")[1:]
    for size in range(len(parts), 0, -1):
        room = ".".join(parts[:size])
        if room in MAY_IMPORT:
            return room
    return parts[0] if parts else ""


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def wrong_arrows(module: Module, known: frozenset[str] | None = None) -> list[str]:
    """The imports of a module that the table does not allow."""
    room = room_of(module.name)
    allowed = (room, *MAY_IMPORT.get(room, ()))
    wrong = []
    for target in sorted(imports(module, known)):
        inner = target.removeprefix(f"{PACKAGE}.")
        if target == PACKAGE:
            continue
        if not any(within(inner, prefix) for prefix in allowed):
            wrong.append(f"{module.name} imports {target}")
    return wrong


def cycles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected sets of more than one module (or one that imports itself).

    Tarjan's algorithm, without recursion deeper than the graph's longest path.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(arrows.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1 or name in arrows.get(name, ()):
                found.append(sorted(component))

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return found


def test_every_room_has_a_row_in_the_table() -> None:
    rooms = {room_of(name) for name in modules()} - {""}
    assert rooms <= set(MAY_IMPORT), rooms - set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    wrong = [
        arrow
        for name, module in modules().items()
        if room_of(name) == room
        for arrow in wrong_arrows(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other() -> None:
    names = set(modules())
    arrows = {name: imports(module) & names for name, module in modules().items()}
    assert cycles(arrows) == []


def test_the_table_itself_has_no_cycle() -> None:
    rows = {
        room: {
            other
            for other in MAY_IMPORT
            for prefix in allowed
            if other != room
            and (within(other, prefix) or within(prefix, other))
            and not within(other, room)
        }
        for room, allowed in MAY_IMPORT.items()
    }
    assert cycles(rows) == []


def test_ike_versions_and_hosts_do_not_know_each_other() -> None:
    for one, other in (("ike.v1", "ike.v2"), ("daemon", "simulator"), ("wire", "crypto")):
        assert other not in MAY_IMPORT[one] and one not in MAY_IMPORT[other]


KNOWN = frozenset(
    {
        f"{PACKAGE}.{name}"
        for name in ("wire", "wire.v2", "wire.v2.a", "crypto.prf", "values", "ike.v1.b", "ike.v2.b")
    }
    | {NATIVE}
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("wire.v2.a", "from isthmus.crypto import prf", ["crypto.prf"]),
        ("wire.v2.a", "import isthmus.crypto.prf", ["crypto.prf"]),
        ("wire.v2.a", "def f():\n  from isthmus.crypto.prf import x", ["crypto.prf"]),
        ("wire.v2.a", "if TYPE_CHECKING:\n  import isthmus.crypto.prf as p", ["crypto.prf"]),
        ("wire.v2.a", "from ...crypto import prf", ["crypto.prf"]),
        ("wire.v2.a", "x = importlib.import_module('isthmus.crypto.prf')", ["crypto.prf"]),
        ("wire.v2.a", "from isthmus._dataplane import modp", ["_dataplane"]),
        ("wire.v2.a", "from isthmus import values, __version__\nimport isthmus.wire.v2", []),
        ("ike.v1.b", "from isthmus.ike.v2 import b", ["ike.v2.b"]),
        ("ike.v1.b", "from isthmus.ike import engine", ["ike"]),
        ("ike.engine", "from isthmus.ike.v2.b import x", []),
        ("policy.a", "from isthmus.wire.v2.a import x", ["wire.v2.a"]),
    ],
)
def test_a_wrong_arrow_is_seen(name: str, text: str, expected: list[str]) -> None:
    """The check is checked: each way to import is found, in the room where it is wrong."""
    module = Module(f"{PACKAGE}.{name}", text)
    wanted = [f"{PACKAGE}.{name} imports {PACKAGE}.{target}" for target in expected]
    assert wrong_arrows(module, KNOWN) == wanted


def test_a_cycle_is_seen() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert cycles(arrows) == [["b", "c"], ["e"]]
