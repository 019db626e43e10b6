"""`isthmus down`: close a tunnel, or phase 2 of one rule."""

import click

from isthmus.cli.commands.follow import follow
from isthmus.cli.options import common, complete_tunnel, seconds, settings, target
from isthmus.management.api import SCHEMA, Down


@click.command()
@click.argument("name", metavar="NAME[/RULE]", shell_complete=complete_tunnel)
@click.option(
    "--hold/--rearm",
    default=True,
    help="Stay down in spite of traffic until `isthmus up` (the default), or wait for traffic.",
)
@click.option("--timeout", default="30s", show_default=True, help="How long to wait for it.")
@common
def down(name: str, hold: bool, timeout: str) -> int:
    """Close a tunnel, or with /RULE phase 2 of that rule only.

    \b
    isthmus down office           it stays down until `isthmus up office`
    isthmus down office --rearm   the next packet brings it up again
    """
    tunnel, rule = target(name)
    timeout_s = seconds(timeout)
    request = Down(schema=SCHEMA, tunnel=tunnel, rule=rule, hold=hold, timeout_s=timeout_s)
    return follow(settings(), request)
