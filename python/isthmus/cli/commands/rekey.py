"""`isthmus rekey`: new keys before the old ones go."""

import click

from isthmus.cli.commands.follow import follow
from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, complete_tunnel, seconds, settings, target
from isthmus.management.api import SCHEMA, Rekey


@click.command()
@click.argument("name", metavar="NAME[/RULE]", shell_complete=complete_tunnel)
@click.option(
    "--phase",
    type=click.Choice(["1", "2"]),
    default="2",
    show_default=True,
    help="Which keys: of phase 1 (IKE SA) or of phase 2 (Child SA).",
)
@click.option("--timeout", default="30s", show_default=True, help="How long to wait for it.")
@common
def rekey(name: str, phase: str, timeout: str) -> int:
    """Make new keys before the old ones go; no packet is lost.

    \b
    isthmus rekey office             phase 2 of every rule
    isthmus rekey office --phase 1   the IKE SA
    """
    tunnel, rule = target(name)
    if phase == "1" and rule is not None:
        raise CliError(
            f"{name} has no phase 1 of its own.",
            "All rules of a tunnel share its phase 1.",
            f"isthmus rekey {tunnel} --phase 1",
            Exit.USAGE,
        )
    request = Rekey(
        schema=SCHEMA,
        tunnel=tunnel,
        rule=rule,
        phase=1 if phase == "1" else 2,
        timeout_s=seconds(timeout),
    )
    return follow(settings(), request)
