"""A changed file takes the place of the configuration that runs: planned, carried out, taken back.

A file is read whole before anything is touched, so one that is wrong changes nothing. What the IKE
process may read has not changed since it gave its capabilities up: secrets that it could read at
its start belong to its own user, and it still is that user.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from isthmus.config.diff import Difference, difference
from isthmus.config.errors import ConfigErrors
from isthmus.credentials.store import Credentials
from isthmus.ike.core.records import Happening
from isthmus.policy.connection import Configuration
from isthmus.values.errors import LocalFault
from isthmus.values.time import Seconds


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a daemon runs under."""

    configuration: Configuration
    credentials: Credentials


Read = Callable[[], Terms]
"""Reads the file and its secrets, slowly. Raises ConfigErrors or LocalFault."""
Apply = Callable[[Terms], Awaitable[None]]
"""Brings network, plane and engine to these terms. Raises LocalFault, with all as it was."""


class Reloader:
    """Knows what runs, and changes it one request at a time."""

    def __init__(
        self, running: Terms, read: Read, apply: Apply, record: Callable[[Happening], None]
    ) -> None:
        self.running = running
        self._read = read
        self._apply = apply
        self._record = record
        self._busy = asyncio.Lock()
        self._confirmed: Terms | None = None
        """What to go back to; None: what runs was confirmed, or never asked to be."""
        self._rollback: asyncio.Task[None] | None = None

    async def plan(self) -> Difference:
        """What a reload would do now. Raises ConfigErrors or LocalFault."""
        return self._difference(await asyncio.to_thread(self._read))

    async def reload(self, rollback_after_s: Seconds | None = None) -> Difference:
        """Run under what the file says now, and tell what that changed.

        Unless `confirm` is called within `rollback_after_s`, the earlier terms come back. Raises
        ConfigErrors or LocalFault, and then nothing has changed.
        """
        async with self._busy:
            started = time.monotonic()
            try:
                wanted = await asyncio.to_thread(self._read)
                read_at = time.monotonic()
                found = self._difference(wanted)
                before = self._confirmed or self.running
                await self._change(wanted)
            except (ConfigErrors, LocalFault) as refusal:
                self._record(
                    Happening(
                        "config.refused",
                        message=f"nothing was changed: {_first_line(refusal)}",
                    )
                )
                raise
            self._forget_rollback()
            if rollback_after_s is not None:
                self._confirmed = before
                self._rollback = asyncio.create_task(self._roll_back(rollback_after_s))
            self._record(
                Happening(
                    "config.reloaded",
                    message=_summary(found),
                    detail=(
                        ("read_ms", round((read_at - started) * 1000, 1)),
                        ("applied_ms", round((time.monotonic() - read_at) * 1000, 1)),
                        ("rollback_after_s", rollback_after_s or 0.0),
                    ),
                )
            )
            return found

    def confirm(self) -> bool:
        """Keep what runs; False when nothing waited for that."""
        waited = self._rollback is not None
        self._forget_rollback()
        if waited:
            self._record(Happening("config.confirmed", message="the new configuration stays"))
        return waited

    async def close(self) -> None:
        """End the timer; what runs stays."""
        task = self._rollback
        self._forget_rollback()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _roll_back(self, after_s: Seconds) -> None:
        await asyncio.sleep(after_s)
        async with self._busy:
            before = self._confirmed
            # From here on a confirmation comes too late, and must not end this task halfway.
            self._rollback = self._confirmed = None
            assert before is not None, "it is kept as long as this task waits"
            try:
                await self._change(before)
            except LocalFault as fault:
                self._record(Happening("config.rollback_failed", message=str(fault)))
                return
        self._record(
            Happening(
                "config.rolled_back",
                message=f"nobody confirmed the new configuration within {after_s:g} s: the earlier "
                "one runs again; the file still holds the new one",
            )
        )

    def _forget_rollback(self) -> None:
        if self._rollback is not None:
            self._rollback.cancel()
        self._rollback = self._confirmed = None

    async def _change(self, wanted: Terms) -> None:
        await self._apply(wanted)
        self.running = wanted

    def _difference(self, wanted: Terms) -> Difference:
        changed = self.running.credentials.changed(wanted.credentials)
        return difference(self.running.configuration, wanted.configuration, changed)


def _first_line(refusal: Exception) -> str:
    return str(refusal).partition("\n")[0]


def _summary(found: Difference) -> str:
    changed = [f"{entry.tunnel} {entry.fate.value}" for entry in found.entries if entry.is_change]
    kept = len(found.entries) - len(changed)
    return f"{', '.join(changed) or 'no tunnel changed'}; {kept} as before"
