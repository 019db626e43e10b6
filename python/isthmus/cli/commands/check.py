"""`isthmus check`: everything that is wrong with a configuration, before it is used."""

import sys
import time
from pathlib import Path

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import Settings, common, settings
from isthmus.cli.render import as_json, print_lines
from isthmus.cli.text import Paint, count, safe
from isthmus.config.errors import ConfigErrors
from isthmus.config.explain import Effective, explain_defaults
from isthmus.config.load import Loaded, load
from isthmus.management.api import SCHEMA

DEFAULT_FILE = "/etc/isthmus/isthmus.toml"


@click.command()
@click.argument("file", default=DEFAULT_FILE)
@click.option(
    "--explain-defaults", "explain", is_flag=True, help="Print every setting that is in force."
)
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@common
def check(file: str, explain: bool, strict: bool) -> int:
    """Check a configuration, its conf.d and its secrets, without using it.

    \b
    isthmus check
    isthmus check ./isthmus.toml --explain-defaults
    Exit code 3 if anything is wrong; every error is told at once.
    """
    given = settings()
    try:
        at = int(time.time())
        loaded = load(Path(file), at=at)
    except ConfigErrors as errors:
        _tell_errors(given, file, errors)
        return Exit.CONFIG_INVALID
    refused = strict and bool(loaded.warnings)
    if given.json:
        print_lines([_as_json(file, loaded, explain, at)])
    elif not given.quiet:
        print_lines(_lines(file, loaded, explain, at, Paint(given.colour)))
    return Exit.CONFIG_INVALID if refused else Exit.OK


def load_file(file: str) -> Loaded:
    """A configuration for a command that only reads it. Raises CliError with exit code 3."""
    try:
        return load(Path(file))
    except ConfigErrors as errors:
        first = errors.errors[0]
        more = len(errors.errors) - 1
        fix = f"{first.hint}; `isthmus check {file}` shows {count(more, 'more error')}"
        raise CliError(
            f"{first.where}: {first.message}",
            first.why,
            fix if more else first.hint,
            Exit.CONFIG_INVALID,
        ) from None


def _tell_errors(given: Settings, file: str, errors: ConfigErrors) -> None:
    if given.json:
        document = {
            "schema": SCHEMA,
            "ok": False,
            "file": file,
            "errors": [
                {
                    "file": e.file,
                    "line": e.line,
                    "column": e.column,
                    "what": e.message,
                    "why": e.why,
                    "fix": e.hint,
                }
                for e in errors.errors
            ],
            "warnings": [],
        }
        print_lines([as_json(document)])
        return
    paint = Paint(given.colour and sys.stderr.isatty())
    for error in errors.errors:
        print(
            f"{paint('bad', 'error:')} {safe(error.where)}: {safe(error.message)}", file=sys.stderr
        )
        print(f"why:   {safe(error.why)}", file=sys.stderr)
        print(f"do:    {safe(error.hint)}", file=sys.stderr)
    print(f"{file}: {count(len(errors.errors), 'error')}; nothing of it is used.", file=sys.stderr)


def _lines(file: str, loaded: Loaded, explained: bool, at: int, paint: Paint) -> list[str]:
    lines = [f"{paint('busy', 'warning:')} {safe(warning)}" for warning in loaded.warnings]
    if explained:
        lines += _explained(explain_defaults(loaded))
    lines += [
        f"{safe(one.tunnel)}: {safe(one.what)}, until {one.ends_on[:10]},"
        f" {count(one.days_left(at), 'day')} left"
        for one in loaded.certificates()
        if one.days_left(at) >= 0
    ]
    connections = loaded.configuration.connections
    rules = sum(len(connection.rules) for connection in connections)
    sums = f"{count(len(connections), 'tunnel')}, {count(rules, 'rule')}"
    warned = f", {count(len(loaded.warnings), 'warning')}" if loaded.warnings else ""
    return [*lines, f"{file}: ok ({sums}{warned})."]


def _explained(settings_: tuple[Effective, ...]) -> list[str]:
    lines: list[str] = []
    section = ""
    for setting in settings_:
        if setting.section != section:
            section = setting.section
            lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        lines.append(safe(str(setting)))
    return [*lines, ""]


def _as_json(file: str, loaded: Loaded, explained: bool, at: int) -> str:
    document: dict[str, object] = {
        "schema": SCHEMA,
        "ok": True,
        "file": file,
        "tunnels": [connection.name for connection in loaded.configuration.connections],
        "errors": [],
        "warnings": list(loaded.warnings),
        "certificates": [
            {
                "tunnel": one.tunnel,
                "role": one.role.value,
                "subject": one.certificate.subject_text,
                "not_after": one.certificate.not_after,
                "days_left": one.days_left(at),
            }
            for one in loaded.certificates()
        ],
    }
    if explained:
        document["settings"] = [
            {
                "section": setting.section,
                "key": setting.key,
                "value": setting.value,
                "is_default": setting.set_at is None,
                "about": setting.about,
            }
            for setting in explain_defaults(loaded)
        ]
    return as_json(document)
