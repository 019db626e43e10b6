"""Options that every command has, and what they say."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.management.client import GRACE_S, Client, socket_path

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What the common options said; filled while the command line is read."""

    socket: str | None = None
    json: bool = False
    no_color: bool = False
    quiet: bool = False

    @property
    def colour(self) -> bool:
        """Colour only on a terminal, and only if nothing speaks against it (no-color.org)."""
        if self.no_color or self.json or os.environ.get("NO_COLOR"):
            return False
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def client(self, timeout_s: float | None = GRACE_S) -> Client:
        """Connect to the daemon. Raises ClientError: use it inside `daemon_errors`."""
        return Client(socket_path(self.socket), timeout_s)


def settings() -> Settings:
    """The settings of the command line that is being carried out."""
    found = click.get_current_context().find_root().ensure_object(Settings)
    return found


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.find_root().ensure_object(Settings), name, value)

    return callback


_OPTIONS = (
    click.option(
        "--socket",
        metavar="PATH",
        expose_value=False,
        callback=_remember("socket"),
        help="The daemon's socket (else ISTHMUS_SOCKET, else /run/isthmus/control.sock).",
    ),
    click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember("json"),
        help="Answer as JSON, schema isthmus/v1.",
    ),
    click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=_remember("no_color"),
        help="No colour (NO_COLOR does the same).",
    ),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_remember("quiet"),
        help="Say nothing but errors.",
    ),
)


def common(command: F) -> F:
    """Give a command the options that every command has."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def target(name: str) -> tuple[str, str | None]:
    """`NAME` or `NAME/RULE` taken apart. Raises CliError for anything else."""
    tunnel, slash, rule = name.partition("/")
    if not tunnel or (slash and not rule) or "/" in rule:
        raise CliError(
            f"{name} is no tunnel and no rule.",
            "A tunnel is written NAME, one of its rules NAME/RULE.",
            "`isthmus status` lists both.",
            Exit.USAGE,
        )
    return tunnel, rule or None


def seconds(text: str) -> float:
    """A duration such as `30s`, `2m`, `1h` or `1.5`. Raises CliError for anything else."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise CliError(
            f"{text} is no duration.",
            "It must be above 0 and at most one hour.",
            "Write it like 30s, 2m or 1h.",
            Exit.USAGE,
        )
    return value


def complete_tunnel(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Tunnel and rule names for the shell; none when the daemon cannot be asked."""
    from isthmus.management.api import SCHEMA, Status, StatusReply
    from isthmus.management.client import ClientError, Refused

    try:
        with Client(socket_path(context.find_root().ensure_object(Settings).socket), 1.0) as client:
            tunnels = client.ask(Status(schema=SCHEMA), StatusReply).tunnels
    except (ClientError, Refused):
        return []
    names = [tunnel.name for tunnel in tunnels]
    if "/" in incomplete and "/RULE" in str(parameter.metavar):
        names = [f"{tunnel.name}/{rule.name}" for tunnel in tunnels for rule in tunnel.rules]
    return [name for name in names if name.startswith(incomplete)]
