"""`isthmus reload`: run under what the configuration says now."""

import click

from isthmus.cli.commands.plan import READ_TIMEOUT_S, plan_lines, secrets_line, tell_refusal
from isthmus.cli.errors import CliError, daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, seconds, settings
from isthmus.cli.render import print_lines, reply_json
from isthmus.cli.text import Paint, duration
from isthmus.management.api import SCHEMA, Confirm, DoneReply, PlanReply, Reload
from isthmus.management.client import Refused


@click.command()
@click.option("--wait", is_flag=True, help="Wait until the changed tunnels stand again.")
@click.option("--timeout", default="30s", show_default=True, help="How long --wait waits.")
@click.option(
    "--rollback-after",
    "rollback_after",
    metavar="TIME",
    help="Go back to the earlier configuration unless `isthmus reload --confirm` comes in time.",
)
@click.option("--confirm", is_flag=True, help="Keep what a reload with --rollback-after brought.")
@common
def reload(wait: bool, timeout: str, rollback_after: str | None, confirm: bool) -> int:
    """Run under what the configuration says now. Unchanged tunnels notice nothing.

    \b
    isthmus reload
    isthmus reload --rollback-after 2m      and, if you still get in:
    isthmus reload --confirm
    Exit code 3 if the configuration is invalid: then nothing has changed.
    """
    given = settings()
    if confirm:
        if wait or rollback_after is not None:
            raise CliError(
                "--confirm goes alone.",
                "It reads no file; it keeps what runs.",
                "isthmus reload --confirm",
                Exit.USAGE,
            )
        with daemon_errors(), given.client() as client:
            done = client.ask(Confirm(schema=SCHEMA), DoneReply)
        if given.json:
            print_lines([reply_json(done)])
        elif not given.quiet:
            print_lines(["Confirmed: the new configuration stays."])
        return Exit.OK
    wait_s = seconds(timeout) if wait else None
    request = Reload(
        schema=SCHEMA,
        rollback_after_s=None if rollback_after is None else seconds(rollback_after),
        wait_s=wait_s,
    )
    with daemon_errors(), given.client(READ_TIMEOUT_S + (wait_s or 0.0)) as client:
        try:
            reply = client.ask(request, PlanReply)
        except Refused as refused:
            return tell_refusal(given, refused)
    if given.json:
        print_lines([reply_json(reply)])
    elif not given.quiet:
        print_lines(_lines(reply, Paint(given.colour)))
    return Exit.OK


def _lines(reply: PlanReply, paint: Paint) -> list[str]:
    lines = plan_lines(reply, paint)
    if reply.secrets:
        lines.append(secrets_line(reply.secrets))
    took = f" in {reply.elapsed_s * 1000:.0f} ms" if reply.elapsed_s is not None else ""
    lines.append(f"Applied{took}.")
    if reply.rollback_after_s is not None:
        after = duration(reply.rollback_after_s)
        lines.append(f"Comes back after {after} unless you run: isthmus reload --confirm")
    return lines
