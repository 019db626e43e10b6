"""`isthmus status`: what is up, idle, failing, and why."""

import time

import click

from isthmus.cli.errors import CliError, daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import Settings, common, complete_tunnel, settings
from isthmus.cli.render import print_lines, status_json, status_lines, tunnel_lines
from isthmus.cli.text import Paint
from isthmus.management.api import SCHEMA, Status, StatusReply

FOLLOW_EVERY_S = 1.0


@click.command()
@click.argument("name", required=False, shell_complete=complete_tunnel)
@click.option("-w", "--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option(
    "--expect",
    metavar="STATE",
    help="Exit 8 unless every tunnel (or NAME) is `healthy`, or every rule is in this state.",
)
@common
def status(name: str | None, watch: bool, expect: str | None) -> int:
    """What is up, idle, failing, and why.

    \b
    isthmus status                   every tunnel, one line each
    isthmus status office            one tunnel, with its rules and SPIs
    isthmus status --expect healthy  for scripts: exit code 8 if not
    """
    given = settings()
    while True:
        reply = _ask(given, name)
        if not given.quiet:
            if watch and given.colour:
                click.clear()
            print_lines(_lines(given, name, reply))
        if not watch:
            break
        time.sleep(FOLLOW_EVERY_S)
    if expect is not None:
        _check_expected(reply, expect)
    return Exit.OK


def _ask(given: Settings, name: str | None) -> StatusReply:
    with daemon_errors(), given.client() as client:
        return client.ask(Status(schema=SCHEMA, tunnel=name), StatusReply)


def _lines(given: Settings, name: str | None, reply: StatusReply) -> list[str]:
    if given.json:
        return [status_json(reply)]
    paint = Paint(given.colour)
    lines = (
        status_lines(reply.tunnels, paint, reply.groups)
        if name is None
        else tunnel_lines(reply.tunnels[0], paint)
    )
    if reply.plane != "ok":
        lines.append(f"Counters are missing: {reply.plane}")
    return lines


def _check_expected(reply: StatusReply, expect: str) -> None:
    """Raises CliError with exit code 8 unless everything is as expected."""
    for tunnel in reply.tunnels:
        if expect == "healthy":
            if not tunnel.healthy:
                raise _not_as_expected(tunnel.name, "not healthy", expect)
            continue
        for rule in tunnel.rules:
            if rule.state != expect:
                raise _not_as_expected(f"{tunnel.name}/{rule.name}", rule.state, expect)


def _not_as_expected(name: str, state: str, expect: str) -> CliError:
    return CliError(
        f"{name} is {state}.",
        f"--expect asked for {expect}.",
        f"`isthmus status {name.partition('/')[0]}` shows why.",
        Exit.NOT_AS_EXPECTED,
    )
