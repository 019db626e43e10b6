"""isthmusd as a gateway of a lab: its configuration file, its life, and asking it things.

Everything goes through what a user has: the configuration format, the `isthmusd` and `isthmus`
commands, and the control socket's JSON lines (docs/commands.md), which answer faster than a command
starts.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from isthmus.lab.namespaces import LabError
from isthmus.lab.server import Server

_START_S: Final = 20.0
_TUNNELS_OF_FILE: Final = 2000
_SCHEMA: Final = "isthmus/v1"
Reply: TypeAlias = dict[str, Any]
KEYS_VARIABLE: Final = "ISTHMUS_LAB_KEYS"


def command(name: str) -> list[str]:
    """The installed `isthmusd` or `isthmus` beside this interpreter, or the module behind it."""
    script = Path(sys.executable).with_name(name)
    if script.exists():
        return [str(script)]
    module = {"isthmusd": "isthmus.daemon.main", "isthmus": "isthmus.cli.main"}[name]
    return [sys.executable, "-m", module]


class DaemonRefused(LabError):
    """The daemon answered a request with an error."""

    def __init__(self, verb: str, reply: Reply) -> None:
        super().__init__(f"{verb}: {reply['what']} {reply['why']} {reply['fix']}".strip())
        self.kind = str(reply["kind"])
        self.code = str(reply.get("code", ""))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a tunnel in policy mode."""

    name: str
    local: tuple[str, ...]
    remote: tuple[str, ...]
    proposals: tuple[str, ...] = ()
    """Empty: the suite's."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Other keys of the rule's table, values in TOML."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One tunnel, as it goes into the configuration file; empty means not written."""

    name: str
    peer: str
    psk: str = field(repr=False)
    local_id: str = ""
    remote_id: str = ""
    rules: tuple[Rule, ...] = ()
    """With rules the tunnel is policy-based, without them route-based."""
    inside: str = ""
    routes: tuple[str, ...] = ()
    start: str = ""
    proposals: tuple[str, ...] = ()
    """Phase 1 proposals; empty: the suite's."""
    phase2_proposals: tuple[str, ...] = ()
    """Phase 2 proposals of a route-based tunnel."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Other keys of the tunnel's table, values in TOML."""

    def toml(self, psk_file: Path) -> str:
        """The tunnel's tables."""
        lines = [
            f"[tunnel.{self.name}]",
            f"peer = {_toml(self.peer)}",
            f"psk = {{ file = {_toml(str(psk_file))} }}",
            f"mode = {_toml('policy' if self.rules else 'route')}",
        ]
        for key in ("local_id", "remote_id", "inside", "start"):
            if value := getattr(self, key):
                lines.append(f"{key} = {_toml(value)}")
        if self.routes:
            lines.append(f"routes = {_toml(self.routes)}")
        lines += [f"{key} = {value}" for key, value in self.settings.items()]
        if self.phase2_proposals:
            lines.append(f"proposals = {_toml(self.phase2_proposals)}")
        if self.proposals:
            lines += ["", f"[tunnel.{self.name}.phase1]", f"proposals = {_toml(self.proposals)}"]
        for rule in self.rules:
            lines += [
                "",
                f"[tunnel.{self.name}.rule.{rule.name}]",
                f"local = {_toml(rule.local)}",
                f"remote = {_toml(rule.remote)}",
            ]
            if rule.proposals:
                lines.append(f"proposals = {_toml(rule.proposals)}")
            lines += [f"{key} = {value}" for key, value in rule.settings.items()]
        return "\n".join(lines) + "\n"


def _toml(value: str | Sequence[str]) -> str:
    # JSON's strings and lists of strings are also TOML's.
    return json.dumps(value if isinstance(value, str) else list(value))


@dataclass(slots=True)
class Isthmus(Server):
    """One isthmusd in one network namespace."""

    GRACE_S = 6.0
    keys_exported: bool = False
    """Whether the daemon writes its ESP keys to `keys` (for `lab capture --decrypt`)."""

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.directory / "isthmus.toml"

    @property
    def control(self) -> Path:
        """The daemon's control socket."""
        return self.directory / "control.sock"

    @property
    def log(self) -> Path:
        """What the daemon printed."""
        return self.directory / "isthmusd.log"

    @property
    def keys(self) -> Path:
        """Directory of exported ESP keys, mode 0700."""
        return self.directory / "keys"

    def write(self, *tunnels: Tunnel, others: str = "") -> None:
        """Write the configuration file and the secrets it names, for the owner's eyes only; what is
        too much for one file goes into `conf.d`.

        `others` is TOML that stands behind the tunnels.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        parts = []
        for tunnel in tunnels:
            secret = self.directory / f"{tunnel.name}.psk"
            _write_private(secret, tunnel.psk + "\n")
            parts.append(tunnel.toml(secret))
        _write_private(self.configuration, "\n".join([*parts[:_TUNNELS_OF_FILE], others]))
        beside = self.directory / "conf.d"
        for earlier in beside.glob("*.toml"):
            earlier.unlink()
        for start in range(_TUNNELS_OF_FILE, len(parts), _TUNNELS_OF_FILE):
            beside.mkdir(mode=0o700, exist_ok=True)
            more = parts[start : start + _TUNNELS_OF_FILE]
            _write_private(beside / f"{start:06d}.toml", "\n".join(more))

    def start(
        self, *, environment: Mapping[str, str] | None = None, patience_s: float = _START_S
    ) -> None:
        """Start the daemon and wait until it answers. Raises LabError with the end of its log."""
        extra = dict(environment or {})
        if self.keys_exported:
            self.keys.mkdir(mode=0o700, exist_ok=True)
            extra[KEYS_VARIABLE] = str(self.keys)
        # The private /run of the namespace is shared by all gateways of a world, and may hold
        # runtime files of a fixed name.
        with self.log.open("a", encoding="utf-8") as log:
            process = self.world.start(
                self.namespace,
                [
                    *command("isthmusd"),
                    "-c",
                    str(self.configuration),
                    "--socket",
                    str(self.control),
                ],
                stdout=log,
                environment=extra,
            )
        self._await(process, "isthmusd", patience_s)

    def ask(self, *words: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run `isthmus --socket ... words` as a user would; the caller looks at the status."""
        return subprocess.run(
            [*command("isthmus"), "--socket", str(self.control), *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
        )

    def do(self, *words: str, timeout_s: float = 30.0) -> str:
        """As `ask`, but raises LabError unless it ended with status 0."""
        done = self.ask(*words, timeout_s=timeout_s)
        if done.returncode != 0:
            said = (done.stderr + done.stdout).strip()
            raise LabError(f"isthmus {' '.join(words)} ended with {done.returncode}: {said}")
        return done.stdout

    def request(self, verb: str, *, timeout_s: float = 30.0, **fields: object) -> list[Reply]:
        """One request on the control socket; the replies up to the one that ends it.

        Raises LabError with the daemon's sentences when the answer is an error.
        """
        asked = {"verb": verb, "schema": _SCHEMA, "id": 1} | fields
        replies: list[Reply] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.control))
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    reply: Reply = json.loads(line)
                    replies.append(reply)
                    if reply["type"] == "error":
                        raise DaemonRefused(verb, reply)
                    if reply["type"] != "event":
                        return replies
        raise LabError(f"isthmusd closed the connection before it answered {verb!r}")

    def status(self) -> Reply:
        """The daemon's status: `tunnels`, each with `phase1` and `rules`."""
        return self.request("status")[-1]

    def tunnel(self) -> Reply:
        """The status of the only tunnel."""
        (found,) = self.status()["tunnels"]
        assert isinstance(found, dict)
        return found

    def events(self, limit: int = 1000) -> list[Reply]:
        """The daemon's recent events, oldest first."""
        replies = self.request("log", limit=limit)
        return [reply["event"] for reply in replies if reply["type"] == "event"]

    def answers(self) -> bool:
        """Whether it answers on its control socket."""
        try:
            self.request("status", timeout_s=5.0)
        except (OSError, LabError):
            return False
        return True


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
