"""`isthmus plan`: what a reload would do, before it does it."""

import sys
from collections.abc import Sequence

import click

from isthmus.cli.errors import daemon_errors
from isthmus.cli.exits import Exit
from isthmus.cli.options import Settings, common, settings
from isthmus.cli.render import as_json, print_lines, reply_json
from isthmus.cli.text import Cell, Paint, count, safe, table
from isthmus.management.api import SCHEMA, ErrorReply, Kind, Plan, PlanReply
from isthmus.management.client import Refused

READ_TIMEOUT_S = 60.0
"""A command that gives a secret may take its time."""
_ROLES = {"keep": "dim", "rekey": "busy", "restart": "bad", "add": "good", "remove": "bad"}


@click.command()
@common
def plan() -> int:
    """What a reload would do, tunnel by tunnel, with the gap to expect. Nothing changes.

    \b
    isthmus plan
    Exit code 3 if the configuration is invalid; every error is told.
    """
    given = settings()
    with daemon_errors(), given.client(READ_TIMEOUT_S) as client:
        try:
            reply = client.ask(Plan(schema=SCHEMA), PlanReply)
        except Refused as refused:
            return tell_refusal(given, refused)
    if given.json:
        print_lines([reply_json(reply)])
    elif not given.quiet:
        lines = plan_lines(reply, Paint(given.colour))
        print_lines([*lines, _last(reply)])
    return Exit.OK


def plan_lines(reply: PlanReply, paint: Paint) -> list[str]:
    """One line a tunnel that changes; those that stay as they are in one line."""
    changes = [entry for entry in reply.tunnels if entry.fate != "keep" or entry.text]
    rows = [
        (Cell(safe(e.tunnel)), Cell(e.fate, _ROLES.get(e.fate, "")), Cell(_text(e.fate, e.text)))
        for e in changes
    ]
    lines = table(("TUNNEL", "", "WHY"), rows, paint) if rows else []
    kept = len(reply.tunnels) - len(changes)
    if kept:
        lines.append(f"{count(kept, 'tunnel')} as before.")
    return [*lines, *(safe(other) for other in reply.others)]


def _text(fate: str, text: str) -> str:
    return safe(f"({text})" if fate == "keep" else text)


def secrets_line(secrets: Sequence[str]) -> str:
    """Which secrets are others, never what they are."""
    shown = "value not shown" if len(secrets) == 1 else "values not shown"
    return f"Secrets changed: {safe(', '.join(secrets))} ({shown})" if secrets else ""


def _last(reply: PlanReply) -> str:
    if not (reply.others or any(e.fate != "keep" or e.text for e in reply.tunnels)):
        return "Nothing to apply: the file says what runs."
    line = "Apply with: isthmus reload"
    return f"{line}        {secrets_line(reply.secrets)}" if reply.secrets else line


def tell_refusal(given: Settings, refused: Refused) -> int:
    """Every error of a configuration on standard error. Raises `refused` if it is another kind."""
    reply = refused.reply
    if reply.kind != Kind.CONFIG_INVALID:
        raise refused
    if given.json:
        print(_as_json(reply), file=sys.stderr)
        return Exit.CONFIG_INVALID
    paint = Paint(given.colour and sys.stderr.isatty())
    for fault in reply.faults:
        where = f"{fault.file}:{fault.line}:{fault.column}" if fault.line else fault.file
        print(f"{paint('bad', 'error:')} {safe(where)}: {safe(fault.what)}", file=sys.stderr)
        print(f"why:   {safe(fault.why)}", file=sys.stderr)
        print(f"do:    {safe(fault.fix)}", file=sys.stderr)
    print(f"{count(len(reply.faults), 'error')}; nothing was changed.", file=sys.stderr)
    return Exit.CONFIG_INVALID


def _as_json(reply: ErrorReply) -> str:
    errors = [
        {"file": f.file, "line": f.line, "column": f.column}
        | {"what": f.what, "why": f.why, "fix": f.fix}
        for f in reply.faults
    ]
    error = {"what": reply.what, "why": reply.why, "fix": reply.fix, "code": reply.code}
    return as_json(
        {"schema": SCHEMA, "error": error | {"exit": int(Exit.CONFIG_INVALID), "errors": errors}}
    )
