"""`isthmus which`: the rule that a packet takes."""

import click

from isthmus.cli.errors import CliError, daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import print_lines, reply_json, which_lines
from isthmus.cli.text import Paint
from isthmus.management.api import SCHEMA, Which, WhichReply

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "sctp": 132}


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.argument("protocol", metavar="[PROTO[/PORT]]", required=False, default="")
@click.option("-c", "--config", metavar="FILE", help="Answer from this file, without a daemon.")
@common
def which(source: str, destination: str, protocol: str, config: str | None) -> int:
    """Which rule a packet takes, and why the others do not.

    \b
    isthmus which 10.1.10.9 172.16.5.4 tcp/1433
    isthmus which 10.1.10.9 172.16.5.4 -c isthmus.toml
    """
    given = settings()
    number, port = parse_protocol(protocol)
    request = Which(
        schema=SCHEMA, source=source, destination=destination, protocol=number, port=port
    )
    if config is not None:
        from isthmus.cli.commands.check import load_file
        from isthmus.management.client import which_in

        with daemon_errors():
            reply = which_in(load_file(config).configuration, request)
    else:
        with daemon_errors(), given.client() as client:
            reply = client.ask(request, WhichReply)
    print_lines([reply_json(reply)] if given.json else which_lines(reply, Paint(given.colour)))
    return Exit.OK


def parse_protocol(text: str) -> tuple[int, int]:
    """`tcp/443`, `icmp`, `47` as numbers; (0, 0) for nothing. Raises CliError."""
    name, slash, port = text.partition("/")
    number = 0 if not text else PROTOCOLS.get(name.lower(), -1)
    if number < 0 and name.isascii() and name.isdigit():
        number = int(name)
    port_number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    ported = number in (6, 17, 132)
    if not 0 <= number <= 255 or port_number > 65_535 or (slash and not (port_number and ported)):
        raise CliError(
            f"{text} is no protocol.",
            "A protocol is a name or number, with a port for tcp, udp and sctp.",
            "Write it like tcp/443, udp/53, icmp or 47.",
            Exit.USAGE,
        )
    return number, port_number
