"""`isthmus completion`: completion scripts for shells."""

import click
from click.shell_completion import get_completion_class

from isthmus.cli.exits import Exit
from isthmus.cli.options import common
from isthmus.cli.render import print_lines

VARIABLE = "_ISTHMUS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print a completion script; names of tunnels complete while the daemon runs.

    \b
    bash:  eval "$(isthmus completion bash)"
    zsh:   eval "$(isthmus completion zsh)"
    fish:  isthmus completion fish | source
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows these three shells"
    script = found(context.find_root().command, {}, "isthmus", VARIABLE)
    # Not `source()`: for bash that runs bash to ask for its version, which a script has no need of.
    print_lines([script.source_template % script.source_vars()])
    return Exit.OK
