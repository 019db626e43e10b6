"""Carries the engine's effects out, in their order."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import assert_never

from isthmus.backends import tun
from isthmus.backends.interface import DataPlane, PlaneLost, PlaneRefused
from isthmus.backends.specs import OnNoSa
from isthmus.backends.translate import direction, endpoint_spec, limits_spec, sa_spec
from isthmus.daemon.assigned import Assigned
from isthmus.daemon.carrier import Carriers
from isthmus.daemon.kept import KeptState, SaKey, new_count
from isthmus.daemon.labkeys import LabKeys
from isthmus.daemon.rules import RuleBook
from isthmus.daemon.workers import Workers
from isthmus.ike.core.effects import (
    ArmPolicy,
    AssignAddress,
    Compute,
    Effect,
    ExpectSa,
    InstallSa,
    Keepalive,
    Record,
    RemoveSa,
    SendDatagram,
    SetCarrier,
    UpdateSa,
)
from isthmus.ike.core.events import Event, InstallFailed
from isthmus.ike.core.records import Happening
from isthmus.values.errors import LocalFault
from isthmus.values.spi import Spi

EXPECTED_MAX = 1024
"""Announced SPIs without an SA that are remembered; the plane forgets them by itself."""

ARMED_SINGLY_MAX = 64
"""Rules whose arming changes at once; for more the plane is handed the whole list, in few frames
instead of one for each."""


class Performer:
    """One `match` over effects.

    The plane takes commands in the order in which they are written to it, so an SA is in place
    before the reply that announces it leaves, and nothing here has to wait. What the plane refuses
    comes back later as an event through `feed`.
    """

    def __init__(
        self,
        record: Callable[[Happening], None],
        feed: Callable[[Event], None],
        workers: Workers,
        lab_keys: LabKeys | None = None,
        admits: Callable[[str], bool] = lambda event: True,
    ) -> None:
        """`admits`: will a fact of this id, which a stranger has caused, be written down? It is
        counted, if not."""
        self._record = record
        self._admits = admits
        self._feed = feed
        self._workers = workers
        self._lab_keys = lab_keys
        self.plane: DataPlane | None = None
        """None while there is no plane: SAs fail, datagrams are lost."""
        self.rules: RuleBook | None = None
        """None before the configuration is known to the plane."""
        self.installed: set[SaKey] = set()
        """What we believe the plane has."""
        self._kept = KeptState()
        self._expected: OrderedDict[Spi, None] = OrderedDict()
        self.carriers = Carriers(self._set_carrier)
        """Whether each route-based tunnel's interface has carrier."""
        self.assigned = Assigned()
        """Which addresses peers lend us."""
        self.counters: Counter[str] = Counter()
        """What was lost or refused here, by reason."""

    def perform(self, effects: tuple[Effect, ...]) -> None:
        """All of them, in order. Returns before the plane has answered."""
        plane = self.plane
        if plane is None or len(effects) < 2:
            self._perform(effects)
            return
        plane.cork()
        try:
            self._perform(effects)
        finally:
            plane.uncork()

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        armed: dict[int, OnNoSa] = {}
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(effect)
                case InstallSa():
                    self._install(effect)
                case ExpectSa(spi):
                    self._expect(spi)
                case UpdateSa():
                    self._update(effect)
                case RemoveSa(spi, inbound):
                    self.discard(spi, inbound)
                case ArmPolicy():
                    self._arm(effect, armed)
                case SetCarrier(tunnel, up):
                    self.carriers.wish(tunnel, up)
                case AssignAddress(tunnel, address, up):
                    self.assigned.wish(tunnel, address, up)
                case Keepalive():
                    self._keepalive(effect)
                case Compute():
                    self._workers.start(effect)
                case Record():
                    self._tell(effect)
                case _:
                    assert_never(effect)
        self._tell_armed(armed)

    def _tell(self, effect: Record) -> None:
        if effect.is_told or self._admits(effect.event):
            self._record(effect.happening)

    def _send(self, effect: SendDatagram) -> None:
        if self.plane is None:
            self.counters["datagram_no_plane"] += 1
            return
        local, remote = endpoint_spec(effect.local), endpoint_spec(effect.remote)
        self.plane.send_datagram(local, remote, effect.octets)

    def _install(self, effect: InstallSa) -> None:
        number = self.rules.number(effect.tunnel, effect.rule) if self.rules else None
        if self.plane is None or number is None:
            reason = "there is no data plane" if self.plane is None else "the rule is gone"
            self._fail(effect, reason)
            return
        spec = sa_spec(effect, number, new_count())
        if self._lab_keys is not None:
            self._lab_keys.write(spec)
        key = (effect.spi, effect.inbound)
        self.installed.add(key)
        self._kept.installed(key, spec)
        if effect.inbound:
            self._expected.pop(effect.spi, None)
        outcome = asyncio.ensure_future(self.plane.install_sa(spec))

        def installed(outcome: "asyncio.Future[None]") -> None:
            error = _error(outcome)
            if error is not None:
                self._forget(key)
                self.counters["install_sa_failed"] += 1
                self._feed(InstallFailed(effect.spi, effect.inbound, str(error)))

        outcome.add_done_callback(installed)

    def _fail(self, effect: InstallSa, reason: str) -> None:
        self.counters["install_sa_failed"] += 1
        # Later: the engine is still busy with the event that led here.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._feed, InstallFailed(effect.spi, effect.inbound, reason))

    def _update(self, effect: UpdateSa) -> None:
        local = endpoint_spec(effect.local) if effect.local else None
        remote = endpoint_spec(effect.remote) if effect.remote else None
        limits = limits_spec(effect.lifetimes) if effect.lifetimes else None
        self._kept.update(
            (effect.spi, effect.inbound),
            standby=effect.standby,
            local=local,
            remote=remote,
            encap=effect.encap,
            limits=limits,
        )
        if self.plane is not None:
            outcome = self.plane.update_sa(
                direction(effect.inbound),
                effect.spi,
                standby=effect.standby,
                local=local,
                remote=remote,
                encap=effect.encap,
                limits=limits,
            )
            self._watch(outcome, "update_sa")

    def discard(self, spi: Spi, inbound: bool) -> None:
        """Have the plane forget an SA, if it has it: after a failed installation, or when the
        plane was started anew, there is nothing to forget."""
        expected = inbound and self._expected.pop(spi, False) is None
        if (spi, inbound) in self.installed:
            self._forget((spi, inbound))
            if self.plane is not None:
                self._watch(self.plane.remove_sa(direction(inbound), spi), "remove_sa")
        elif expected and self.plane is not None:
            # Time may have ended the expectation: a refusal is no news.
            _leave(self.plane.remove_sa("in", spi))

    def _forget(self, key: SaKey) -> None:
        self.installed.discard(key)
        self._kept.forget(key)

    def resume(self, plane: DataPlane, present: set[SaKey]) -> dict[SaKey, Awaitable[None]]:
        """Work with this plane from now on, which has these SAs and is given the others again.

        All is written before this returns, so nothing that the engine wishes meanwhile gets in
        between. The outcomes are for `lost`.
        """
        self.plane = plane
        outcomes = {key: plane.install_sa(spec) for key, spec in self._kept.missing(present)}
        for (local, remote), every_ms in self._kept.keepalives.items():
            self._watch(plane.keepalive(local, remote, every_ms), "keepalive")
        for spi in self._expected:
            _leave(plane.expect_sa(spi))
        return outcomes

    async def lost(
        self, present: set[SaKey], resumed: Mapping[SaKey, Awaitable[None]]
    ) -> tuple[SaKey, ...]:
        """The SAs that the plane neither had nor took again; they are forgotten here. Raises
        PlaneLost when it went away meanwhile."""
        taken = set(present)
        for key, outcome in resumed.items():
            with suppress(PlaneRefused):
                await outcome
                taken.add(key)
        gone = tuple(key for key in self.installed if key not in taken)
        for key in gone:
            self._forget(key)
        return gone

    def _expect(self, spi: Spi) -> None:
        self._expected[spi] = None
        if len(self._expected) > EXPECTED_MAX:
            self._expected.popitem(last=False)
        if self.plane is not None:
            _leave(self.plane.expect_sa(spi))

    def _arm(self, effect: ArmPolicy, armed: dict[int, OnNoSa]) -> None:
        match effect.on_no_sa:
            case "hold" | "hold_quiet" | "drop":
                rules = self.rules
                number = rules.number(effect.tunnel, effect.rule) if rules is not None else None
                if rules is None or number is None:
                    return
                if rules.arm(effect.tunnel, effect.rule, effect.on_no_sa):
                    armed[number] = effect.on_no_sa
            case _:
                raise ValueError(f"{effect.on_no_sa!r} is no way to treat packets")

    def _tell_armed(self, armed: dict[int, OnNoSa]) -> None:
        if self.plane is None or self.rules is None:
            return
        if len(armed) > ARMED_SINGLY_MAX:
            self._watch(self.plane.set_policies(self.rules.policies()), "set_policies")
            return
        for number, on_no_sa in armed.items():
            self._watch(self.plane.arm_policy(number, on_no_sa), "arm_policy")

    def _keepalive(self, effect: Keepalive) -> None:
        local, remote = endpoint_spec(effect.local), endpoint_spec(effect.remote)
        every_ms = round(effect.every_s * 1000)
        self._kept.keepalive(local, remote, every_ms)
        if self.plane is not None:
            self._watch(self.plane.keepalive(local, remote, every_ms), "keepalive")

    def _set_carrier(self, tunnel: str, up: bool) -> None:
        found = self.rules.interface(tunnel) if self.rules is not None else None
        if self.plane is not None and found is not None:
            self._watch(_announced(self.plane.set_carrier(found.number, up), found.name), "carrier")

    def _watch(self, outcome: Awaitable[None], what: str) -> None:
        """Nobody waits for it, but a refusal must not pass unseen."""

        def finished(outcome: "asyncio.Future[None]") -> None:
            error = _error(outcome)
            if error is None or isinstance(error, PlaneLost):
                return
            self.counters[f"{what}_failed"] += 1
            self._record(
                Happening("plane.refused", message=str(error), detail=(("command", what),))
            )

        asyncio.ensure_future(outcome).add_done_callback(finished)


async def _announced(outcome: Awaitable[None], interface: str) -> None:
    """Once the carrier is set, routes and routing daemons learn of it at once."""
    await outcome
    tun.announce_carrier(interface)


def _leave(outcome: Awaitable[None]) -> None:
    """Whether it is done makes no difference to anything here."""
    asyncio.ensure_future(outcome).add_done_callback(_error)


def _error(outcome: "asyncio.Future[None]") -> LocalFault | None:
    """The fault of a plane; None when all is well or nobody is interested any more."""
    if outcome.cancelled():
        return None
    error = outcome.exception()
    if error is None or isinstance(error, LocalFault):
        return error
    raise error
