"""Carries the engine's effects out, in their order."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import assert_never

from isthmus.backends import tun
from isthmus.backends.interface import DataPlane, PlaneLost
from isthmus.backends.specs import OnNoSa
from isthmus.backends.translate import direction, endpoint_spec, limits_spec, sa_spec
from isthmus.daemon.carrier import Carriers
from isthmus.daemon.labkeys import LabKeys
from isthmus.daemon.rules import RuleBook
from isthmus.daemon.workers import Workers
from isthmus.ike.core.effects import (
    ArmPolicy,
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
    ) -> None:
        self._record = record
        self._feed = feed
        self._workers = workers
        self._lab_keys = lab_keys
        self.plane: DataPlane | None = None
        """None while there is no plane: SAs fail, datagrams are lost."""
        self.rules: RuleBook | None = None
        """None before the configuration is known to the plane."""
        self.installed: set[tuple[Spi, bool]] = set()
        """SPI and whether it is inbound, of what we believe the plane has."""
        self._expected: OrderedDict[Spi, None] = OrderedDict()
        self.carriers = Carriers(self._set_carrier)
        """Whether each route-based tunnel's interface has carrier."""
        self.counters: Counter[str] = Counter()
        """What was lost or refused here, by reason."""

    def perform(self, effects: tuple[Effect, ...]) -> None:
        """All of them, in order. Returns before the plane has answered."""
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
                case Keepalive():
                    self._keepalive(effect)
                case Compute():
                    self._workers.start(effect)
                case Record(happening):
                    self._record(happening)
                case _:
                    assert_never(effect)
        self._tell_armed(armed)

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
        spec = sa_spec(effect, number)
        if self._lab_keys is not None:
            self._lab_keys.write(spec)
        key = (effect.spi, effect.inbound)
        self.installed.add(key)
        if effect.inbound:
            self._expected.pop(effect.spi, None)
        outcome = asyncio.ensure_future(self.plane.install_sa(spec))

        def installed(outcome: "asyncio.Future[None]") -> None:
            error = _error(outcome)
            if error is not None:
                self.installed.discard(key)
                self.counters["install_sa_failed"] += 1
                self._feed(InstallFailed(effect.spi, effect.inbound, str(error)))

        outcome.add_done_callback(installed)

    def _fail(self, effect: InstallSa, reason: str) -> None:
        self.counters["install_sa_failed"] += 1
        # Later: the engine is still busy with the event that led here.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._feed, InstallFailed(effect.spi, effect.inbound, reason))

    def _update(self, effect: UpdateSa) -> None:
        if self.plane is None:
            return
        outcome = self.plane.update_sa(
            direction(effect.inbound),
            effect.spi,
            standby=effect.standby,
            local=endpoint_spec(effect.local) if effect.local else None,
            remote=endpoint_spec(effect.remote) if effect.remote else None,
            encap=effect.encap,
            limits=limits_spec(effect.lifetimes) if effect.lifetimes else None,
        )
        self._watch(outcome, "update_sa")

    def discard(self, spi: Spi, inbound: bool) -> None:
        """Have the plane forget an SA, if it has it: after a failed installation, or when the
        plane was started anew, there is nothing to forget."""
        expected = inbound and self._expected.pop(spi, False) is None
        if (spi, inbound) in self.installed:
            self.installed.remove((spi, inbound))
            if self.plane is not None:
                self._watch(self.plane.remove_sa(direction(inbound), spi), "remove_sa")
        elif expected and self.plane is not None:
            # Time may have ended the expectation: a refusal is no news.
            _leave(self.plane.remove_sa("in", spi))

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
        if self.plane is not None:
            outcome = self.plane.keepalive(
                endpoint_spec(effect.local),
                endpoint_spec(effect.remote),
                round(effect.every_s * 1000),
            )
            self._watch(outcome, "keepalive")

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
