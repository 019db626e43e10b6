"""`isthmus policy`: the data plane's policies."""

import click

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import policy_lines, print_lines, reply_json
from isthmus.cli.text import Paint
from isthmus.management.api import SCHEMA, Policy, PolicyReply


@click.command()
@common
def policy() -> int:
    """The data plane's policies, in order of match, with the packets that wait.

    \b
    isthmus policy
    """
    given = settings()
    with daemon_errors(), given.client() as client:
        reply = client.ask(Policy(schema=SCHEMA), PolicyReply)
    print_lines([reply_json(reply)] if given.json else policy_lines(reply, Paint(given.colour)))
    return Exit.OK
