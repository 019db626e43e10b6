"""Requests become views or commands, and commands are followed to their end."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Iterable

from msgspec.structs import replace

from isthmus.config.errors import ConfigErrors
from isthmus.ike.core.views import TunnelView
from isthmus.management import api, reloading
from isthmus.management.api import AnyReply, AnyRequest, ErrorReply, Kind
from isthmus.management.control import Control, Occurrence
from isthmus.management.following import Follower, Wish
from isthmus.management.snapshot import (
    Advice,
    countdowns,
    group_status,
    phase1_entries,
    policy_entry,
    sa_entry,
    sas_by_name,
    suites,
    tunnel_status,
)
from isthmus.management.which import answer
from isthmus.values.errors import LocalFault

__all__ = ["Control", "Send", "Service"]

Send = Callable[[AnyReply], Awaitable[None]]
"""How a reply reaches the client; raises ConnectionError when the client has gone."""

FOLLOW_QUEUE_MAX = 1000
"""Events that wait for one slow client; further ones are dropped and counted."""
STATUS_AT_ONCE = 100
"""Tunnels described before the loop gets its turn: some milliseconds."""


class Refused(Exception):
    """A request cannot be served; `reply` says why."""

    def __init__(self, reply: ErrorReply) -> None:
        super().__init__(reply.what)
        self.reply = reply


class Service:
    """Answers requests for a daemon. Knows no sockets: see `server.py`."""

    def __init__(self, control: Control, advice: Advice = lambda code: "") -> None:
        self._control = control
        self._advice = advice

    async def handle(self, request: AnyRequest, send: Send) -> None:
        """Send everything that answers `request`. Raises only what `send` raises."""
        try:
            await self._answer(request, send)
        except Refused as refused:
            await send(_with_id(refused.reply, request.id))
        except ConfigErrors as errors:
            await send(_with_id(reloading.refusal(errors), request.id))
        except LocalFault as fault:
            await send(
                ErrorReply(
                    id=request.id,
                    kind=Kind.FAILED,
                    what="The daemon could not answer.",
                    why=str(fault),
                    fix="Look at `isthmus log` and at the daemon's own log.",
                )
            )

    async def _answer(self, request: AnyRequest, send: Send) -> None:
        match request:
            case api.Status():
                await send(await self._status(request))
            case api.Up() | api.Down() | api.Rekey():
                await self._carry_out(request, send)
            case api.Sa():
                await send(await self._sa(request))
            case api.Policy():
                policies = await self._control.plane_policies()
                entries = tuple(policy_entry(policy) for policy in policies)
                await send(api.PolicyReply(id=request.id, policies=entries))
            case api.Log():
                await self._log(request, send)
            case api.Which():
                await send(answer(request, self._control.configuration(), self._control.views()))
            case api.Version():
                control = self._control
                await send(
                    api.VersionReply(
                        id=request.id, version=control.version, uptime_s=control.uptime_s
                    )
                )
            case api.Counters():
                counters = await self._control.plane_counters()
                await send(api.CountersReply(id=request.id, counters=dict(counters)))
            case api.Plan() | api.Reload() | api.Confirm():
                await send(_with_id(await reloading.answer(self._control, request), request.id))

    async def _status(self, request: api.Status) -> AnyReply:
        groups: tuple[api.GroupStatus, ...] = ()
        if request.tunnel is not None:
            views: tuple[TunnelView, ...] = (self._find(request.tunnel),)
        else:
            views = self._control.views()
            by_name = {view.name: view for view in views}
            configured = self._control.configuration().groups
            groups = tuple(group_status(group, by_name) for group in configured)
        plane = "ok"
        try:
            sas = sas_by_name(await self._control.plane_sas())
            idle_in_s = await self._countdowns(views)
        except LocalFault as fault:
            # Status is what a user asks for when things are broken: it answers without counters.
            sas, idle_in_s, plane = {}, {}, str(fault)
        tunnels: list[api.TunnelStatus] = []
        for start in range(0, len(views), STATUS_AT_ONCE):
            some = views[start : start + STATUS_AT_ONCE]
            tunnels += [
                tunnel_status(view, sas, idle_in_s, self._advice, self._control.certificates(view))
                for view in some
            ]
            await asyncio.sleep(0)
        return api.StatusReply(id=request.id, tunnels=tuple(tunnels), plane=plane, groups=groups)

    async def _countdowns(self, views: Iterable[TunnelView]) -> dict[str, float]:
        """What is not up does not count down, so that the plane need not be asked."""
        configuration = self._control.configuration()
        if not any(rule.children for view in views for rule in view.rules):
            return {}
        if all(rule.idle_s is None for c in configuration.connections for rule in c.rules):
            return {}
        return countdowns(configuration, await self._control.plane_policies())

    async def _sa(self, request: api.Sa) -> AnyReply:
        sas = await self._control.plane_sas()
        if request.tunnel is not None:
            self._find(request.tunnel)
        views = self._control.views(request.tunnel)
        known = suites(views)
        wanted = (
            sa
            for sa in sas
            if request.tunnel is None or sa.name.partition("/")[0] == request.tunnel
        )
        return api.SaReply(
            id=request.id,
            phase1=phase1_entries(views),
            sas=tuple(sa_entry(sa, known) for sa in wanted),
        )

    async def _log(self, request: api.Log, send: Send) -> None:
        if request.tunnel is not None:
            self._find(request.tunnel)

        def wanted(occurrence: Occurrence) -> bool:
            return request.tunnel in (None, occurrence.happening.tunnel)

        waiting: asyncio.Queue[Occurrence] = asyncio.Queue(FOLLOW_QUEUE_MAX)
        lost = 0

        def listen(occurrence: Occurrence) -> None:
            nonlocal lost
            if not wanted(occurrence):
                return
            try:
                waiting.put_nowait(occurrence)
            except asyncio.QueueFull:
                lost += 1

        cancel = self._control.subscribe(listen) if request.follow else (lambda: None)
        try:
            kept = [o for o in self._control.recent(api.EVENTS_MAX) if wanted(o)]
            for occurrence in kept[len(kept) - min(len(kept), request.limit) :]:
                await send(api.EventReply(id=request.id, event=occurrence.fields()))
            while request.follow:
                occurrence = await waiting.get()
                fields = occurrence.fields()
                if lost:
                    gap: dict[str, api.Fact] = {
                        "v": fields["v"],
                        "ts": fields["ts"],
                        "event": "log.lost",
                        "message": f"{lost} events were dropped because they were read too slowly",
                        "count": lost,
                    }
                    lost = 0
                    await send(api.EventReply(id=request.id, event=gap))
                await send(api.EventReply(id=request.id, event=fields))
        finally:
            cancel()
        await send(api.DoneReply(id=request.id))

    async def _carry_out(self, request: api.Up | api.Down | api.Rekey, send: Send) -> None:
        view = self._find(request.tunnel)
        if request.rule is not None and all(rule.name != request.rule for rule in view.rules):
            names = [rule.name for rule in view.rules]
            raise Refused(_unknown(f"rule {request.tunnel}/{request.rule}", request.rule, names))
        wish = Wish.of(request, view)
        blocked = wish.blocked(view)
        if blocked is not None:
            raise Refused(blocked)
        follower = Follower(self._control, wish, self._advice)
        async for reply in follower.run(request.timeout_s):
            await send(_with_id(reply, request.id))

    def _find(self, name: str) -> TunnelView:
        """Raises Refused when there is no such tunnel."""
        for view in self._control.views(name):
            return view
        known = [connection.name for connection in self._control.configuration().connections]
        raise Refused(_unknown(f"tunnel {name}", name, known))


def _unknown(what: str, name: str, known: list[str]) -> ErrorReply:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        fix = f"Did you mean {near[0]}?"
    elif known:
        fix = f"Known here: {', '.join(known[:20])}."
    else:
        fix = "The configuration has no tunnels; write one and restart isthmusd."
    return ErrorReply(
        kind=Kind.UNKNOWN_NAME,
        what=f"There is no {what}.",
        why="The configuration has none.",
        fix=fix,
    )


def _with_id(reply: AnyReply, id: int) -> AnyReply:
    return replace(reply, id=id)
