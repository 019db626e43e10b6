"""`isthmus lab`: two sites, two gateways and an internet on this one machine."""

import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.lab import api, demo, screens
from isthmus.lab.api import LabError, LabNotPermitted

P = ParamSpec("P")
R = TypeVar("R")


def _refusals(command: Callable[P, R]) -> Callable[P, R]:
    """Turn LabError into an error with an exit code."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except LabNotPermitted as error:
            raise CliError(error.what, error.why, error.fix, Exit.NOT_PERMITTED) from error
        except LabError as error:
            raise CliError(error.what, error.why, error.fix, Exit.FAILED) from error

    return guarded


_name = click.option(
    "--name", default=api.DEFAULT_NAME, show_default=True, help="Which lab; several may stand."
)


@click.group()
def lab() -> None:
    """Two sites on this one machine, joined by a tunnel: to see, to learn, to try.

    \b
    Example:  isthmus lab up
              isthmus lab run host-a ping -c 3 10.2.0.10
    """


@lab.command()
@_name
@click.option(
    "--peer",
    type=click.Choice(["isthmus", "strongswan"]),
    default="isthmus",
    show_default=True,
    help="What runs on gw-b.",
)
@click.option(
    "--mode",
    type=click.Choice(["policy", "route"]),
    default="policy",
    show_default=True,
    help="What makes traffic interesting: a rule, or the routing table.",
)
@_refusals
def up(name: str, peer: api.Peer, mode: api.Mode) -> None:
    """Build the two sites; nothing is sent until traffic wants it."""
    started = time.monotonic()
    found = api.up(name, peer=peer, mode=mode)
    click.echo(screens.picture(found, time.monotonic() - started))


@lab.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_name
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_refusals
def run(name: str, host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND on HOST: host-a, gw-a, internet, gw-b or host-b. Its exit code is ours."""
    return api.find(name).run(host, command)


@lab.command()
@_name
@_refusals
def status(name: str) -> None:
    """What both gateways say about their tunnel, once."""
    click.echo(screens.both_gateways(api.find(name)))


@lab.command()
@_name
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--count", default=0, help="Stop after so many looks (0: at Ctrl-C).")
@_refusals
def watch(name: str, every: float, count: int) -> None:
    """What both gateways say about their tunnel, again and again."""
    found = api.find(name)
    looks = 0
    try:
        while True:
            text = screens.both_gateways(found)
            if sys.stdout.isatty():
                click.clear()
            click.echo(text)
            looks += 1
            if count and looks >= count:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        click.echo()


@lab.command()
@_name
@_refusals
def timeline(name: str) -> None:
    """The last negotiation, message by message, with times."""
    click.echo(screens.ladder(api.find(name)))


@lab.command()
@_name
@click.argument("host", default="internet")
@click.option("--count", default=0, help="Stop after so many packets (0: at Ctrl-C).")
@click.option("--decrypt", is_flag=True, help="Show the inside, with this lab's exported keys.")
@_refusals
def capture(name: str, host: str, count: int, decrypt: bool) -> None:
    """Packets as they pass HOST (the internet, unless said otherwise)."""
    try:
        for seen in api.find(name).capture(host, count=count, decrypt=decrypt):
            click.echo(screens.packet(seen, decrypt=decrypt))
    except KeyboardInterrupt:
        click.echo()


@lab.command()
@_name
@_refusals
def down(name: str) -> None:
    """Take the lab down; nothing of it stays."""
    api.down(name)
    click.echo(f"lab {name} is down: its processes, namespaces and files are gone")


@lab.command(name="list")
@_refusals
def list_labs() -> None:
    """Names of the labs that are up."""
    for name in api.names():
        click.echo(name)


@lab.command(name="demo")
@_refusals
def run_demo() -> int:
    """The whole story in one screen, each step verified; exit code 0 only if all held."""
    return Exit.OK if demo.run(click.echo) else Exit.FAILED
