"""`isthmus sa`: the security associations as they are."""

import click

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, complete_tunnel, settings
from isthmus.cli.render import print_lines, reply_json, sa_lines
from isthmus.cli.text import Paint
from isthmus.management.api import SCHEMA, Sa, SaReply


@click.command()
@click.argument("name", required=False, shell_complete=complete_tunnel)
@common
def sa(name: str | None) -> int:
    """The security associations of phase 1 and phase 2, without their keys.

    \b
    isthmus sa office
    """
    given = settings()
    with daemon_errors(), given.client() as client:
        reply = client.ask(Sa(schema=SCHEMA, tunnel=name), SaReply)
    print_lines([reply_json(reply)] if given.json else sa_lines(reply, Paint(given.colour)))
    return Exit.OK
