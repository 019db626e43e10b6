"""An error as the user sees it: what happened, why, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.cli.exits import OF_KIND, Exit
from isthmus.management.client import ClientError, NotAllowed, NotRunning, Refused


class CliError(Exception):
    """Ends a command. `what`, `why` and `fix` are sentences; `code` is a finding code."""

    def __init__(self, what: str, why: str, fix: str, exit: Exit, code: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.exit = exit
        self.code = code


@contextmanager
def daemon_errors() -> Iterator[None]:
    """Turn what the management client raises into CliError."""
    try:
        yield
    except Refused as refused:
        reply = refused.reply
        code = OF_KIND.get(reply.kind, Exit.FAILED)
        raise CliError(reply.what, reply.why, reply.fix, code, reply.code) from None
    except NotRunning as error:
        raise CliError(error.what, error.why, error.fix, Exit.NOT_RUNNING) from None
    except NotAllowed as error:
        raise CliError(error.what, error.why, error.fix, Exit.NOT_PERMITTED) from None
    except ClientError as error:
        raise CliError(error.what, error.why, error.fix, Exit.FAILED) from None
