"""`isthmus up`: start now, and print the phases as they come."""

import click

from isthmus.cli.commands.follow import follow
from isthmus.cli.options import common, complete_tunnel, seconds, settings, target
from isthmus.management.api import SCHEMA, Up


@click.command()
@click.argument("name", metavar="NAME[/RULE]", shell_complete=complete_tunnel)
@click.option("--timeout", default="30s", show_default=True, help="How long to wait for it.")
@common
def up(name: str, timeout: str) -> int:
    """Bring a tunnel or one of its rules up, and watch it come.

    \b
    isthmus up office            every rule of the tunnel
    isthmus up partner/payroll   one rule
    Exit codes: 0 up, 6 the negotiation failed (the code says why), 7 too late.
    """
    tunnel, rule = target(name)
    timeout_s = seconds(timeout)
    return follow(settings(), Up(schema=SCHEMA, tunnel=tunnel, rule=rule, timeout_s=timeout_s))
