"""`isthmus log`: the last events, and those to come."""

import json

import click

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, complete_tunnel, settings
from isthmus.cli.render import event_line, print_lines
from isthmus.cli.text import Paint
from isthmus.management.api import EVENTS_MAX, SCHEMA, EventReply, Log
from isthmus.management.client import GRACE_S


@click.command()
@click.argument("name", required=False, shell_complete=complete_tunnel)
@click.option("-f", "--follow", is_flag=True, help="Go on with the events to come.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, EVENTS_MAX),
    default=100,
    show_default=True,
    help="How many of the last events.",
)
@common
def log(name: str | None, follow: bool, lines: int) -> int:
    """The last events of every tunnel or of one, one line each.

    \b
    isthmus log -f office
    isthmus log --json -n 1000
    """
    given = settings()
    paint = Paint(given.colour)
    request = Log(schema=SCHEMA, tunnel=name, limit=lines, follow=follow)
    with daemon_errors(), given.client(None if follow else GRACE_S) as client:
        for reply in client.stream(request):
            if not isinstance(reply, EventReply):
                break
            if given.json:
                print_lines([json.dumps(reply.event, separators=(",", ":"))])
            else:
                print_lines([event_line(reply.event, paint)])
    return Exit.OK
