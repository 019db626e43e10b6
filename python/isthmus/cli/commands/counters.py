"""`isthmus counters`: what the data plane counted."""

import click

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import counter_lines, print_lines, reply_json
from isthmus.management.api import SCHEMA, Counters, CountersReply


@click.command()
@common
def counters() -> int:
    """The data plane's counters, one for each reason to refuse a packet.

    \b
    isthmus counters
    """
    given = settings()
    with daemon_errors(), given.client() as client:
        reply = client.ask(Counters(schema=SCHEMA), CountersReply)
    print_lines([reply_json(reply)] if given.json else counter_lines(reply.counters))
    return Exit.OK
