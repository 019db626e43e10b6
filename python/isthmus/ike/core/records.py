"""Typed facts about what happened: the only account of a decision.

Log lines, metrics, `isthmus log` and traces are renderings of these. Nothing here holds a secret.
"""

from dataclasses import dataclass

from isthmus.values.address import Endpoint


@dataclass(frozen=True, slots=True)
class Happening:
    """One fact. `event` is a stable id such as `phase2.up`; `detail` holds printable facts.

    `tunnel` is empty when the fact concerns none (a stranger's datagram, say).
    """

    event: str
    tunnel: str = ""
    rule: str = ""
    message: str = ""
    """A sentence for a human."""
    code: str = ""
    """Finding code (E110 and so on) when something failed."""
    detail: tuple[tuple[str, str | int | float | bool], ...] = ()
    ticket: int | None = None
    """The command that this answers, if any."""


def remote_detail(endpoint: Endpoint) -> tuple[str, str]:
    """The detail entry that names a peer's endpoint."""
    return ("remote", str(endpoint))
