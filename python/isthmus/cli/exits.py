"""Exit codes of every command: fixed, documented in docs/commands.md."""

from enum import IntEnum

from isthmus.management.api import Kind


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG_INVALID = 3
    NOT_RUNNING = 4
    NOT_PERMITTED = 5
    NEGOTIATION_FAILED = 6
    TIMEOUT = 7
    NOT_AS_EXPECTED = 8


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage: an unknown option, verb, tunnel or rule",
    Exit.CONFIG_INVALID: "the configuration is invalid",
    Exit.NOT_RUNNING: "the daemon is not running",
    Exit.NOT_PERMITTED: "not permitted to this user",
    Exit.NEGOTIATION_FAILED: "the negotiation failed; stderr has the finding code",
    Exit.TIMEOUT: "it took too long",
    Exit.NOT_AS_EXPECTED: "the state is not what `--expect` asked for",
}

OF_KIND = {
    Kind.MALFORMED: Exit.USAGE,
    Kind.UNKNOWN_NAME: Exit.USAGE,
    Kind.NOT_PERMITTED: Exit.NOT_PERMITTED,
    Kind.NEGOTIATION_FAILED: Exit.NEGOTIATION_FAILED,
    Kind.TIMEOUT: Exit.TIMEOUT,
    Kind.NOT_YET: Exit.FAILED,
    Kind.CONFIG_INVALID: Exit.CONFIG_INVALID,
    Kind.FAILED: Exit.FAILED,
}
"""The exit code of each kind of refusal by the daemon."""
