"""Follow a command by its records until it is fulfilled, has failed, or has taken too long."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from isthmus.ike.core.commands import Command, Initiate, Rekey, Terminate
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import Failure, Phase1State, RuleState, TunnelView
from isthmus.management import api
from isthmus.management.api import AnyReply, DoneReply, ErrorReply, EventReply, Kind
from isthmus.management.control import Control, Occurrence
from isthmus.management.snapshot import Advice

QUEUE_MAX = 1000
"""Events of one command that wait for a slow client; the oldest are dropped first."""

LOOK_AGAIN_S = 0.5
"""The views are looked at this often even if no record comes: a record may have been dropped."""

_UP = (RuleState.UP, RuleState.REKEYING)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asked for: the command and how to see that it is fulfilled."""

    verb: str
    tunnel: str
    rules: tuple[str, ...]
    """The rules that it is about."""
    command: Command
    whole: bool
    """It is about the tunnel, not about one rule."""
    phase: int = 2

    @classmethod
    def of(cls, request: api.Up | api.Down | api.Rekey, view: TunnelView) -> "Wish":
        """From a request about a tunnel whose view is `view`."""
        tunnel, rule = request.tunnel, request.rule
        rules = (rule,) if rule is not None else tuple(r.name for r in view.rules)
        match request:
            case api.Up():
                return cls("up", tunnel, rules, Initiate(tunnel, rule), rule is None)
            case api.Down():
                command = Terminate(tunnel, rule, request.hold)
                return cls("down", tunnel, rules, command, rule is None)
            case api.Rekey():
                if rule is None and request.phase == 2:
                    rules = tuple(r.name for r in view.rules if r.state in _UP)
                return cls(
                    "rekey",
                    tunnel,
                    rules,
                    Rekey(tunnel, rule, request.phase),
                    rule is None,
                    request.phase,
                )

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.tunnel if self.whole else f"{self.tunnel}/{self.rules[0]}"

    def blocked(self, view: TunnelView) -> ErrorReply | None:
        """Why there is nothing to do this to, if so."""
        if self.verb != "rekey":
            return None
        if self.phase == 1 and view.phase1 is not None:
            return None
        if self.phase == 2 and self.rules:
            states = {rule.name: rule.state for rule in view.rules}
            if all(states[name] in _UP for name in self.rules):
                return None
        return ErrorReply(
            kind=Kind.FAILED,
            what=f"{self.name} cannot be rekeyed.",
            why=f"Its phase {self.phase} is not up.",
            fix=f"Bring it up with `isthmus up {self.name}`.",
        )

    def fulfilled(self, view: TunnelView) -> bool:
        """The view shows what was asked for. A rekeying cannot be seen there."""
        states = {rule.name: rule.state for rule in view.rules}
        match self.verb:
            case "up":
                return bool(self.rules) and all(states.get(name) in _UP for name in self.rules)
            case "down":
                closed = all(not rule.children for rule in view.rules if rule.name in self.rules)
                return closed and (not self.whole or view.phase1 is None)
            case _:
                return False

    def is_about(self, happening: Happening) -> bool:
        """A record that tells the user how it goes."""
        if happening.tunnel != self.tunnel:
            return False
        return self.whole or happening.rule in ("", *self.rules)

    def broken(self, happening: Happening) -> bool:
        """A record, about this wish, that says that a rekeying has come to nothing. Bringing up
        and closing are answered under the ticket only: an attempt of the peer that fails
        meanwhile, or a stranger's, says nothing about ours."""
        if self.verb != "rekey":
            return False
        phase = f"phase{self.phase}"
        return happening.event in (f"{phase}.failed", f"{phase}.rekey_failed", f"{phase}.down")

    def renewed(self, happening: Happening) -> str | None:
        """The rule (empty: phase 1) that a record says was rekeyed as wished."""
        if self.verb != "rekey" or happening.event != f"phase{self.phase}.rekeyed":
            return None
        return "" if self.phase == 1 else happening.rule


class Follower:
    """One run of one wish."""

    def __init__(self, control: Control, wish: Wish, advice: Advice) -> None:
        self._control = control
        self._wish = wish
        self._advice = advice
        self._waiting: deque[Occurrence] = deque(maxlen=QUEUE_MAX)
        self._news = asyncio.Event()
        self._lost = 0
        self._settled: set[str] = set()
        self._ticket: int | None = None
        """None until the command has been handed over: what comes before may answer it."""
        self._sent = 0
        self._received = 0
        self._last = ""

    async def run(self, timeout_s: float) -> AsyncIterator[AnyReply]:
        """Issue the command; events as they happen, then one DoneReply or ErrorReply."""
        clock = asyncio.get_running_loop().time
        started = clock()
        # Subscribed first: the engine's first records come while the command is handed over.
        cancel = self._control.subscribe(self._listen)
        try:
            ticket = self._ticket = self._control.issue(self._wish.command)
            while True:
                while self._waiting:
                    occurrence = self._waiting.popleft()
                    happening = occurrence.happening
                    if not self._concerns(happening):
                        continue
                    self._note(happening)
                    yield EventReply(event=occurrence.fields(), elapsed_s=clock() - started)
                    end = self._end(happening, ticket, clock() - started)
                    if end is not None:
                        yield end
                        return
                view = self._view()
                if view is None:
                    yield self._gone()
                    return
                if self._wish.fulfilled(view):
                    yield self._done(clock() - started)
                    return
                left_s = started + timeout_s - clock()
                if left_s <= 0:
                    yield self._too_late(timeout_s, view)
                    return
                await self._wait(min(left_s, LOOK_AGAIN_S))
        finally:
            cancel()

    def _concerns(self, happening: Happening) -> bool:
        """It answers the command, or nobody's and is about the same thing."""
        if happening.ticket is not None:
            return happening.ticket == self._ticket
        return self._wish.is_about(happening)

    def _listen(self, occurrence: Occurrence) -> None:
        # Most of what happens is about others, and no reason to wake up.
        if self._ticket is not None and not self._concerns(occurrence.happening):
            return
        if len(self._waiting) == QUEUE_MAX:
            self._lost += 1
        self._waiting.append(occurrence)
        self._news.set()

    async def _wait(self, seconds: float) -> None:
        """Until there is news, or the time is over."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _note(self, happening: Happening) -> None:
        """Remember what a timeout will want to say."""
        if happening.event in ("exchange.sent", "exchange.repeated"):
            self._sent += 1
        elif happening.event == "exchange.received":
            self._received += 1
        self._last = happening.message or self._last

    def _end(self, happening: Happening, ticket: int, elapsed_s: float) -> AnyReply | None:
        """The last reply, if this record is what was waited for."""
        wish = self._wish
        if happening.ticket == ticket:
            match happening.event:
                case "command.failed":
                    return self._failed(happening)
                case "command.done" if wish.verb == "up":
                    # One for each rule; a record without a rule speaks for all of them.
                    self._settled.update((happening.rule,) if happening.rule else wish.rules)
                case "command.done" if wish.verb == "down" and wish.whole:
                    return self._done(elapsed_s)
                case _:
                    # Closing and renewing one rule has only begun then: the views and records
                    # tell when it has ended.
                    pass
        if wish.broken(happening):
            return self._failed(happening)
        renewed = wish.renewed(happening)
        if renewed is not None:
            self._settled.add(renewed)
        wanted = {""} if wish.verb == "rekey" and wish.phase == 1 else set(wish.rules)
        return self._done(elapsed_s) if wanted and wanted <= self._settled else None

    def _done(self, elapsed_s: float) -> DoneReply:
        said = {"up": "is up", "down": "is down", "rekey": "has new keys"}[self._wish.verb]
        return DoneReply(
            message=f"{self._wish.name} {said}", elapsed_s=elapsed_s, events_lost=self._lost
        )

    def _gone(self) -> ErrorReply:
        return ErrorReply(
            kind=Kind.FAILED,
            what=f"{self._wish.name}: {self._wish.verb} has no end.",
            why="The tunnel has gone from the configuration.",
            fix="Look at `isthmus status`.",
        )

    def _failed(self, happening: Happening) -> ErrorReply:
        failure = self._failure(happening.code)
        code = happening.code or (failure.code if failure else "")
        reason = happening.message or (failure.reason if failure else "")
        said = next((str(value) for key, value in happening.detail if key == "fix"), "")
        fix = said or (failure.fix if failure else "") or self._advice(code)
        return ErrorReply(
            kind=Kind.NEGOTIATION_FAILED,
            what=f"{self._wish.name}: {self._wish.verb} failed.",
            why=reason or "The daemon gave no reason.",
            fix=fix or f"Look at `isthmus log {self._wish.tunnel}`.",
            code=code,
        )

    def _too_late(self, timeout_s: float, view: TunnelView) -> ErrorReply:
        wish = self._wish
        states = ", ".join(f"{r.name} {r.state}" for r in view.rules if r.name in wish.rules)
        why = f"Phase 1 is {view.state}; {states}." if states else f"Phase 1 is {view.state}."
        fix = f"Isthmus goes on by itself; look at `isthmus status {wish.tunnel}`."
        code = ""
        if wish.verb == "up" and self._sent and not self._received:
            code = "E101"
            why = f"No message was answered (sent: {self._sent}). {why}"
            fix = self._advice(code) or fix
        elif self._last:
            why += f" Last: {self._last}"
        return ErrorReply(
            kind=Kind.TIMEOUT,
            what=f"{wish.name}: {wish.verb} did not end within {timeout_s:g} s.",
            why=why,
            fix=fix,
            code=code,
        )

    def _view(self) -> TunnelView | None:
        """None when the tunnel has gone from the configuration."""
        return next(iter(self._control.views(self._wish.tunnel)), None)

    def _failure(self, code: str) -> Failure | None:
        """The view's failure that has this code, or any when the record has none."""
        view = self._view()
        if view is None:
            return None
        rules = (r for r in view.rules if r.name in self._wish.rules)
        found = [f for f in (view.failure, *(r.failure for r in rules)) if f is not None]
        if code:
            return next((f for f in found if f.code == code), None)
        return found[0] if found and view.state is Phase1State.FAILED else None
