"""The tie to the plane process: made, set up in order, and made again when it breaks.

Order of start-up: connect and greet · ask what the plane has (policies, interfaces, SAs) · have the
supervisor bring the network to the wished state · open ports · set policies · attach interfaces (in
this order: a packet of an interface without policies would match none and leave in clear) · give
the engine its configuration and, in the same breath, the SAs that an earlier IKE process left
(orphans; without a configuration it would not know whose they are). Until that is done nothing that
the plane says reaches the engine.

When the plane dies, a new one gets ports, interfaces, policies and SAs again, and counts on where
the old one stopped. Of an SA that it cannot resume the engine hears that it is gone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from isthmus.backends.frames import Notice
from isthmus.backends.interface import DataPlane, PlaneLost
from isthmus.backends.specs import InterfaceState, PortSpec, SaState
from isthmus.backends.translate import direction, endpoint_from, read_tag
from isthmus.backends.userspace import UserspacePlane
from isthmus.backends.wishes import NetworkWish
from isthmus.credentials.store import Credentials
from isthmus.daemon.assigned import with_addresses
from isthmus.daemon.host import Host
from isthmus.daemon.kept import SaKey
from isthmus.daemon.network_plan import MARK, AttachedInterface, Plan
from isthmus.daemon.perform import Performer
from isthmus.daemon.rules import RuleBook
from isthmus.ike.core.commands import Configure
from isthmus.ike.core.events import CommandIssued, InstallFailed, OrphanFound
from isthmus.ike.core.records import Happening
from isthmus.policy.connection import Configuration
from isthmus.values.errors import LocalFault
from isthmus.values.spi import Spi

RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5
ASK_EVERY_S = 2.0
SILENCES_MAX = 2
"""Questions that a plane that lives leaves unanswered, each for the client's `REPLY_TIMEOUT_S`."""
EARLY_NOTICES_MAX = 256
"""Notices kept while the set-up is not done; the oldest go first."""

ApplyNetwork = Callable[[NetworkWish], Awaitable[None]]


class PlaneLink:
    """Owns the connection. `run` goes on until it is cancelled."""

    def __init__(
        self,
        path: str,
        configuration: Configuration,
        plan: Plan,
        ports: tuple[PortSpec, ...],
        host: Host,
        performer: Performer,
        apply_network: ApplyNetwork,
        record: Callable[[Happening], None],
        plane_is_silent: Callable[[], object],
    ) -> None:
        self._path = path
        self._configuration = configuration
        self._plan = plan
        self._ports = ports
        self._host = host
        self._performer = performer
        self._apply_network = apply_network
        self._record = record
        self._plane_is_silent = plane_is_silent
        self._early: deque[Notice] = deque(maxlen=EARLY_NOTICES_MAX)
        self._is_set_up = False
        self._configured = False
        self._plane_pid = 0
        self._changing = asyncio.Lock()
        self.ready = asyncio.Event()
        """Set once, when the engine has its configuration."""

    async def run(self) -> None:
        """Connect, set up, wait until it breaks, and again. Raises LocalFault when a plane or the
        supervisor refuses the set-up."""
        while True:
            self._is_set_up = False
            plane, broken = await self._connect()
            try:
                await self._set_up(plane)
            except PlaneLost as lost:
                plane.close()
                self._performer.plane = None
                self._record(Happening("plane.lost", message=str(lost)))
                await asyncio.sleep(RETRY_FIRST_S)
                continue
            await self._watch(plane, broken)
            self._performer.plane = None
            self._record(Happening("plane.lost", message="the data plane's process went away"))

    async def _watch(self, plane: UserspacePlane, broken: asyncio.Event) -> None:
        """Until the connection breaks. A plane that hangs does not break it: it is asked something
        now and then, and when it does not answer again and again, the supervisor ends it."""
        unanswered = 0
        while not broken.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_EVERY_S):
                    await broken.wait()
            try:
                await plane.interfaces()
                unanswered = 0
            except PlaneLost:
                unanswered += 1
            if unanswered == SILENCES_MAX and not broken.is_set():
                self._record(Happening("plane.silent", message="the data plane does not answer"))
                self._plane_is_silent()

    async def _connect(self) -> tuple[UserspacePlane, asyncio.Event]:
        """A plane that has greeted, and what is set when this connection breaks, not another: the
        process that dies may still take a first try, which breaks while the next one stands."""
        pause = RETRY_FIRST_S
        while True:
            broken = asyncio.Event()
            try:
                return await UserspacePlane.connect(self._path, self._notice, broken.set), broken
            except PlaneLost:
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_S)

    async def _set_up(self, plane: UserspacePlane) -> None:
        """The order is the one that this module tells about."""
        async with self._changing:
            await self._set_up_alone(plane)

    async def _set_up_alone(self, plane: UserspacePlane) -> None:
        sas = await plane.sas()
        interfaces = await plane.interfaces()
        rules = self._performer.rules
        if rules is None:
            rules = RuleBook(self._configuration, await plane.policies(), interfaces)
        await self._apply(self._plan.wish)
        await plane.listen(self._ports, MARK)
        await plane.set_policies(rules.policies())
        for interface in self._plan.interfaces:
            await _attach(plane, rules, interface, interfaces)
        self._performer.rules = rules
        present = {(Spi(sa.spi), sa.direction == "in") for sa in sas}
        resumed = self._performer.resume(plane, present)
        self._performer.carriers.renew()
        if self._configured:
            await self._reconcile(plane, present, resumed)
        else:
            self._host.feed(CommandIssued(Configure(self._configuration), 0))
            self._adopt(sas)
            self._configured = True
        self._plane_pid = plane.pid
        self._is_set_up = True
        detail = (("sas", len(sas)), ("resumed", len(resumed)))
        self._record(Happening("plane.ready", detail=detail))
        while self._early:
            self._host.notice(self._early.popleft())
        self.ready.set()

    async def reconfigure(
        self,
        configuration: Configuration,
        credentials: Credentials,
        wanted: Plan,
        ports: tuple[PortSpec, ...],
    ) -> None:
        """Run under this configuration: the SPD is swapped as one, devices and routes that stay
        are not touched, and what only the earlier one protected is dropped until the routes have
        changed. Raises LocalFault, with everything as it was, when the network cannot be so.
        """
        async with self._changing:
            plane, book = self._performer.plane, self._performer.rules
            if plane is None or book is None:
                raise LocalFault("the data plane is being started; try again in a second")
            earlier = self._plan
            rules = RuleBook(configuration, await plane.policies(), await plane.interfaces())
            rules.follow(book)
            try:
                await self._switch(plane, rules, earlier, wanted)
                await plane.listen(ports, MARK)
            except PlaneLost:
                # A new plane is set up under the new configuration, which is as good.
                self._performer.rules = rules
            except LocalFault:
                await self._back(plane, book, earlier)
                raise
            self._configuration, self._plan, self._ports = configuration, wanted, ports
            if self._performer.assigned.addresses:
                # They stand where the earlier configuration had their tunnels.
                self._performer.assigned.changed.set()
            differs = rules.settle()
            self._performer.carriers.renew()
            self._host.feed(CommandIssued(Configure(configuration, credentials), 0))
            if differs:
                await _unless_lost(plane.set_policies(rules.policies()))

    async def _switch(self, plane: DataPlane, rules: RuleBook, earlier: Plan, wanted: Plan) -> None:
        """Devices first, then policies, then routes; devices that go are let go before."""
        present = await plane.interfaces()
        known = {device.name for device in earlier.wish.interfaces}
        new = tuple(d for d in wanted.wish.interfaces if d.name not in known)
        if new:
            grown = msgspec.structs.replace(
                earlier.wish, interfaces=(*earlier.wish.interfaces, *new)
            )
            await self._apply(grown)
        for interface in wanted.interfaces:
            await _attach(plane, rules, interface, present)
        self._performer.rules = rules
        await plane.set_policies(rules.policies())
        staying = frozenset(rules.interfaces.values())
        for device in present:
            if device.interface not in staying:
                await plane.detach_interface(device.interface)
        if wanted.wish != earlier.wish:
            await self._apply(wanted.wish)

    async def _back(self, plane: DataPlane, book: RuleBook, earlier: Plan) -> None:
        """Undo what was begun of a change that cannot be."""
        self._performer.rules = book
        await self._apply(earlier.wish)
        present = await plane.interfaces()
        for interface in earlier.interfaces:
            await _attach(plane, book, interface, present)
        await plane.set_policies(book.policies())
        await plane.listen(self._ports, MARK)

    async def follow_addresses(self) -> None:
        """Bring what peers lend us onto interfaces, and take it away again, until cancelled."""
        changed = self._performer.assigned.changed
        while True:
            await changed.wait()
            async with self._changing:
                changed.clear()
                try:
                    await self._apply(self._plan.wish)
                except LocalFault as fault:
                    self._record(Happening("network.address_failed", message=str(fault)))

    async def _apply(self, wish: NetworkWish) -> None:
        """Have the network so, with the addresses that peers lend us. Raises LocalFault."""
        addresses = self._performer.assigned.addresses
        await self._apply_network(with_addresses(wish, self._configuration, addresses))

    def _notice(self, notice: Notice) -> None:
        if self._is_set_up:
            self._host.notice(notice)
        else:
            self._early.append(notice)

    def _adopt(self, sas: tuple[SaState, ...]) -> None:
        """SAs of an earlier IKE process go on carrying packets until the engine has new ones."""
        for sa in sas:
            tag = read_tag(sa)
            inbound = sa.direction == "in"
            self._performer.installed.add((Spi(sa.spi), inbound))
            if tag is None or self._rule_is_gone(tag.tunnel, tag.rule):
                self._performer.discard(Spi(sa.spi), inbound)
                continue
            remote = endpoint_from(sa.remote)
            self._host.feed(OrphanFound(tag.tunnel, tag.rule, Spi(sa.spi), inbound, remote))

    def _rule_is_gone(self, tunnel: str, rule: str) -> bool:
        return self._performer.rules is None or self._performer.rules.number(tunnel, rule) is None

    async def _reconcile(
        self,
        plane: UserspacePlane,
        present: set[SaKey],
        resumed: Mapping[SaKey, Awaitable[None]],
    ) -> None:
        """What we believe against what the plane has, after the connection broke."""
        restarted = plane.pid != self._plane_pid
        reason = "data plane restarted" if restarted else "data plane does not have it"
        for spi, inbound in present - self._performer.installed:
            await plane.remove_sa(direction(inbound), spi)
        # All are forgotten before the first is told: the engine answers by removing pairs.
        for spi, inbound in await self._performer.lost(present, resumed):
            self._host.feed(InstallFailed(spi, inbound, reason))


async def _unless_lost(outcome: Awaitable[None]) -> None:
    """A plane that goes away now gets everything when its successor is set up."""
    with suppress(PlaneLost):
        await outcome


async def _attach(
    plane: DataPlane,
    rules: RuleBook,
    interface: AttachedInterface,
    present: tuple[InterfaceState, ...],
) -> None:
    number = rules.interfaces[interface.name]
    found = next((i for i in present if i.interface == number), None)
    if found is not None:
        if (found.name, found.mtu) == (interface.name, interface.mtu):
            return
        if found.name != interface.name:
            await plane.detach_interface(number)
    # Of a device that stays, this changes the MTU alone: no packet of it is lost.
    await plane.attach_interface(number, interface.name, interface.mtu, interface.bypass_mark)
