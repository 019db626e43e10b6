"""`isthmus version`: what runs."""

import platform

import click

from isthmus import __version__
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import as_json, print_lines
from isthmus.cli.text import duration
from isthmus.management.api import SCHEMA, Version, VersionReply
from isthmus.management.client import ClientError, Refused


@click.command()
@common
def version() -> int:
    """The versions of this command and of the daemon, if one runs.

    \b
    isthmus version --json
    """
    given = settings()
    daemon: VersionReply | None = None
    try:
        with given.client() as client:
            daemon = client.ask(Version(schema=SCHEMA), VersionReply)
    except (ClientError, Refused) as error:
        # That no daemon answers is an answer here, not a failure.
        why = str(error)
    if given.json:
        document = {
            "schema": SCHEMA,
            "isthmus": __version__,
            "isthmusd": daemon.version if daemon else None,
            "uptime_s": daemon.uptime_s if daemon else None,
            "python": platform.python_version(),
            "kernel": platform.release(),
        }
        print_lines([as_json(document)])
        return Exit.OK
    lines = [f"isthmus   {__version__}"]
    if daemon is not None:
        lines.append(f"isthmusd  {daemon.version}, running for {duration(daemon.uptime_s)}")
    else:
        lines.append(f"isthmusd  {why}")
    print_lines(lines)
    return Exit.OK
