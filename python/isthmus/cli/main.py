"""The command line: finds the verb, and tells every error in the same three lines."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import Settings, common
from isthmus.cli.render import error_json, error_lines

VERBS: dict[str, tuple[str, str]] = {
    "status": ("status", "What is up, idle, failing, and why."),
    "up": ("up", "Bring a tunnel or one of its rules up, and watch it come."),
    "down": ("down", "Close a tunnel, or phase 2 of one rule."),
    "rekey": ("rekey", "Make new keys before the old ones go."),
    "which": ("which", "Which rule a packet takes, and why the others do not."),
    "check": ("check", "Check a configuration without using it."),
    "plan": ("plan", "What a reload would do, tunnel by tunnel."),
    "reload": ("reload", "Run under what the configuration says now."),
    "sa": ("sa", "The security associations, as they are."),
    "policy": ("policy", "The data plane's policies, in order of match."),
    "counters": ("counters", "The data plane's counters."),
    "log": ("log", "The last events, and with -f those to come."),
    "psk": ("psk", "Make and check pre-shared keys."),
    "xauth": ("xauth", "Make users who log in behind phase 1 of IKEv1."),
    "ca": ("ca", "An own certificate authority in a folder."),
    "lab": ("lab", "Two sites on this one machine, to try everything out."),
    "completion": ("completion", "Completion for bash, zsh or fish."),
    "version": ("version", "What runs."),
}
"""Verb: its module in `commands` (which holds a command of the verb's name) and its summary."""


class Verbs(click.Group):
    """A group that imports a verb when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"isthmus.cli.commands.{VERBS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise _unknown_verb(args[0])
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@common
@click.pass_context
def cli(context: click.Context) -> None:
    """Isthmus, an IPsec VPN that explains itself.

    \b
    isthmus status                 how every tunnel is, and why
    isthmus up office              bring a tunnel up and watch it come
    isthmus lab up                 two sites on this machine, to try it out
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """The program `isthmus`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code and never raises."""
    given = Settings()
    try:
        result = cli.main(list(arguments), "isthmus", standalone_mode=False, obj=given)
        sys.stdout.flush()
        return result if isinstance(result, int) else int(Exit.OK)
    except CliError as error:
        return _tell(error, given, arguments)
    except click.UsageError as error:
        return _tell(_usage(error), given, arguments)
    except click.ClickException as error:
        code = Exit(error.exit_code) if error.exit_code in list(Exit) else Exit.FAILED
        return _tell(CliError(error.format_message(), "", "", code), given, arguments)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # `isthmus log | head`: the reader has enough. Python must not flush into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)


def _tell(error: CliError, given: Settings, arguments: Sequence[str]) -> int:
    # A usage error may come before --json was read.
    if given.json or "--json" in arguments:
        print(error_json(error), file=sys.stderr)
    else:
        colour = given.colour and sys.stderr.isatty()
        print("\n".join(error_lines(error, colour)), file=sys.stderr)
    return int(error.exit)


def _usage(error: click.UsageError) -> CliError:
    path = error.ctx.command_path if error.ctx is not None else "isthmus"
    why = f"Usage: {error.ctx.get_usage().partition(': ')[2]}" if error.ctx is not None else ""
    return CliError(error.format_message(), why, f"`{path} -h` shows an example.", Exit.USAGE)


def _unknown_verb(name: str) -> CliError:
    from difflib import get_close_matches

    near = get_close_matches(name, VERBS, n=1)
    fix = f"Did you mean `isthmus {near[0]}`?" if near else "`isthmus -h` lists the verbs."
    return CliError(f"There is no verb {name}.", "Isthmus does not know it.", fix, Exit.USAGE)


if __name__ == "__main__":
    main()
