"""Plans and reloads as replies, and when a reload counts as done."""

import asyncio
import time

from isthmus.config.diff import Difference
from isthmus.config.errors import ConfigErrors
from isthmus.ike.core.views import RuleState, TunnelView
from isthmus.management import api
from isthmus.management.api import AnyReply, ErrorReply, Kind
from isthmus.management.control import Control
from isthmus.policy.changes import Fate
from isthmus.values.time import Seconds

LOOK_S: Seconds = 0.02
"""How often is looked whether the changed tunnels stand."""


async def answer(control: Control, request: api.Plan | api.Reload | api.Confirm) -> AnyReply:
    """The one reply. Raises ConfigErrors or LocalFault when nothing was changed."""
    match request:
        case api.Plan():
            return _reply(await control.plan())
        case api.Reload(rollback_after_s=after_s, wait_s=wait_s):
            started = time.monotonic()
            carrying = {view.name for view in control.views() if _carries(view)}
            found = await control.reload(after_s)
            if wait_s is not None and (late := await _settled(control, found, carrying, wait_s)):
                return _late(late, wait_s)
            return _reply(found, after_s, time.monotonic() - started)
        case api.Confirm():
            if control.confirm():
                return api.DoneReply(message="the new configuration stays")
            return ErrorReply(
                kind=Kind.FAILED,
                what="There is nothing to confirm.",
                why="No reload with --rollback-after waits: it was confirmed, or its time is over.",
                fix="`isthmus log` tells; `isthmus plan` shows whether the file differs from what "
                "runs.",
            )


def refusal(errors: ConfigErrors) -> ErrorReply:
    """Nothing of the file is used: everything that is wrong with it."""
    faults = tuple(
        api.Fault(file=e.file, line=e.line, column=e.column, what=e.message, why=e.why, fix=e.hint)
        for e in errors.errors
    )
    first = errors.errors[0]
    return ErrorReply(
        kind=Kind.CONFIG_INVALID,
        what=f"{first.where}: {first.message}",
        why=first.why,
        fix=first.hint,
        faults=faults,
    )


def _reply(
    found: Difference, rollback_after_s: Seconds | None = None, elapsed_s: Seconds | None = None
) -> api.PlanReply:
    return api.PlanReply(
        tunnels=tuple(
            api.PlanEntry(
                tunnel=entry.tunnel, fate=entry.fate.value, text=entry.sentence, gap_s=entry.gap_s
            )
            for entry in found.entries
        ),
        secrets=found.secrets,
        others=found.others,
        applied=elapsed_s is not None,
        rollback_after_s=rollback_after_s,
        elapsed_s=elapsed_s,
    )


async def _settled(
    control: Control, found: Difference, carrying: set[str], wait_s: Seconds
) -> list[str]:
    """Wait until each changed tunnel is healthy, and carries packets if it did before. Returns
    those that are not in time."""
    changed = {e.tunnel for e in found.entries if e.is_change and e.fate is not Fate.REMOVE}
    deadline = time.monotonic() + wait_s
    while True:
        late = [
            view.name
            for view in control.views()
            if view.name in changed and not _stands(view, view.name in carrying)
        ]
        if not late or time.monotonic() >= deadline:
            return late
        await asyncio.sleep(LOOK_S)


def _stands(view: TunnelView, carried: bool) -> bool:
    if view.held_down:
        return True
    busy = any(rule.state in (RuleState.NEGOTIATING, RuleState.REKEYING) for rule in view.rules)
    return view.healthy and not busy and (_carries(view) or not carried)


def _carries(view: TunnelView) -> bool:
    return any(rule.state in (RuleState.UP, RuleState.REKEYING) for rule in view.rules)


def _late(tunnels: list[str], wait_s: Seconds) -> ErrorReply:
    return ErrorReply(
        kind=Kind.TIMEOUT,
        what="The new configuration runs, but not every changed tunnel stands.",
        why=f"After {wait_s:g} s these do not: {', '.join(tunnels)}.",
        fix=f"`isthmus status {tunnels[0]}` tells why; the peer may not know of the change yet.",
    )
