"""A gateway: one real engine, a simulated plane, and between them what a daemon does."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol, assert_never

from isthmus.credentials.store import NOTHING_KNOWN
from isthmus.crypto import agreement
from isthmus.crypto.entropy import Entropy, SeededEntropy
from isthmus.ike.auth import judging
from isthmus.ike.core.commands import Command, Configure
from isthmus.ike.core.effects import (
    Agree,
    ArmPolicy,
    AssignAddress,
    CheckLogin,
    Compute,
    Effect,
    ExpectSa,
    InstallSa,
    Job,
    JudgePeer,
    Keepalive,
    MakeKey,
    MakeKeyAndAgree,
    Record,
    RemoveSa,
    Resolve,
    SendDatagram,
    SetCarrier,
    Sign,
    UpdateSa,
)
from isthmus.ike.core.events import (
    CommandIssued,
    ComputeFinished,
    DatagramReceived,
    DeadlineReached,
    Event,
    InstallFailed,
    OrphanFound,
)
from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import TunnelView
from isthmus.ike.engine import IkeEngine
from isthmus.policy.connection import Configuration
from isthmus.simulator.clock import Clock
from isthmus.simulator.nat import NatBox
from isthmus.simulator.packets import Esp, Ike, Outer, Packet
from isthmus.simulator.packets import Keepalive as KeepalivePacket
from isthmus.simulator.plan import HostPlan
from isthmus.simulator.plane import Name, Plane, Refused, Sa
from isthmus.values.address import Endpoint
from isthmus.values.registry.ikev1 import Flag
from isthmus.values.secret import Secret
from isthmus.values.spi import Spi
from isthmus.values.time import Seconds
from isthmus.wire.header import Header
from isthmus.wire.v1 import VERSION_1

NOTICE_S = 0.0003
"""A notice on its way from the plane's process to IKE's."""
JOB_MIN_S = 0.0002
EPOCH_S = 1_800_000_000
"""The date when a world begins, in Unix seconds."""
KEPT_NOTICES_MAX = 256
"""What the plane keeps while there is no IKE process."""
PSK = Secret(b"the one key of every simulated pair of gateways")


class Keys:
    """Everybody shares one key."""

    statuses = NOTHING_KNOWN

    def psk(self, name: str) -> Secret | None:
        """The key, whatever its name."""
        return PSK

    def own(self, name: str) -> None:
        """Nobody has a certificate here."""

    def trust(self, name: str) -> None:
        """Nobody is asked for one."""

    def login(self, name: str) -> None:
        """Nobody logs in."""


class Watcher(Protocol):
    """Who looks on: checks and the trace."""

    def note(self, host: "Host", text: str) -> None:
        """A line for the trace."""

    @property
    def tracing(self) -> bool:
        """Lines are wanted."""

    def transmit(self, host: "Host", outer: Outer) -> None:
        """Put a packet on the network."""

    def delivered(self, host: "Host", packet: Packet, sa: Sa) -> None:
        """A user's packet has come through."""

    def sealed(self, host: "Host", sa: Sa, packet: Packet) -> None:
        """A user's packet was sealed."""

    def installed(self, host: "Host", sa: Sa) -> None:
        """A plane has a new SA."""

    def happened(self, host: "Host", happening: Happening) -> None:
        """The engine recorded a fact."""

    def stepped(self, host: "Host", event: Event) -> None:
        """The engine has handled an event, and its effects are carried out."""

    def wrong(self, host: "Host", rule: str, text: str) -> None:
        """Something that must not be. Raises."""


class Host:
    """Performs effects in their order, keeps one alarm, starts jobs, survives being killed."""

    def __init__(self, plan: HostPlan, seed: int, clock: Clock, world: Watcher) -> None:
        self.plan = plan
        self.name = plan.name
        self.configuration: Configuration = plan.configuration
        self.idle_rules = _idle_rules(plan.configuration)
        self.nat = NatBox(plan.nat) if plan.nat is not None else None
        self.engine: IkeEngine | None = None
        self.incarnation = 0
        self.plane_up = True
        self.counters: Counter[str] = Counter()
        self.lost: set[tuple[Spi, bool]] = set()
        """SAs that planes of the past took along; an SPI is never drawn twice."""
        self._ticking: set[tuple[Endpoint, Endpoint]] = set()
        self.plane = self._new_plane()
        self._seed = seed
        self._clock = clock
        self._world = world
        self._chance = Random(f"{seed}/{plan.name}/jobs")
        self._entropy = self._fresh_entropy("keys")
        self._waiting: deque[Event] = deque(maxlen=KEPT_NOTICES_MAX)
        self._alarm_at: float | None = None
        self._alarm_serial = 0
        self._ticket = 0

    def _new_plane(self) -> Plane:
        return Plane(
            lambda outer: self._world.transmit(self, outer),
            lambda packet, sa: self._world.delivered(self, packet, sa),
            self._notice,
            lambda sa, packet: self._world.sealed(self, sa, packet),
            lambda sa: self._world.installed(self, sa),
            lambda pause_s, look: self._clock.after(pause_s, lambda: look(self._clock.now)),
        )

    def _fresh_entropy(self, what: str) -> Entropy:
        text = f"{self._seed}/{self.plan.name}/{what}/{self.incarnation}"
        return SeededEntropy(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))

    # --- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """A new IKE process: configuration first, then what the plane still carries."""
        self.incarnation += 1
        self._note(f"starts, incarnation {self.incarnation}")
        self.engine = IkeEngine(self._fresh_entropy("engine"), Keys())
        self.plane.set_policies(self.configuration)
        self.command(Configure(self.configuration))
        self.plane.tell_again(self._clock.now)
        for (spi, inbound), sa in tuple(self.plane.sas.items()):
            self.feed(OrphanFound(*sa.name, spi, inbound, sa.remote))
        while self._waiting:
            self.feed(self._waiting.popleft())

    def kill_ike(self) -> None:
        """The process is gone, with everything that it knew."""
        self._note("IKE process killed")
        self.engine = None
        self._alarm_at = None
        self._alarm_serial += 1

    def kill_plane(self) -> None:
        """The plane's process is gone, with every SA and held packet."""
        self._note("plane killed")
        self.lost |= set(self.plane.sas)
        self.plane.lose_everything()
        self._waiting.clear()
        self.plane_up = False

    def plane_back(self) -> None:
        """A new plane, empty; IKE, if it lives, learns what it has lost."""
        self._note("plane is back")
        self.plane_up = True
        if self.engine is not None:
            for spi, inbound in sorted(self.lost):
                self.feed(InstallFailed(spi, inbound, "data plane restarted"))

    def command(self, command: Command) -> None:
        """What a user types. Without an IKE process it is refused."""
        if self.engine is None:
            return
        if isinstance(command, Configure):
            self.configuration = command.configuration
            self.idle_rules = _idle_rules(command.configuration)
            self.plane.set_policies(command.configuration)
        self._ticket += 1
        self.feed(CommandIssued(command, self._ticket))

    # --- events ----------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Give the engine an event and carry out what it says."""
        engine = self.engine
        assert engine is not None, "only a living process is fed"
        try:
            effects = engine.handle(event, self._clock.now)
        except Exception as error:  # whatever it is, it is a finding
            self._world.wrong(
                self, "engine_raised", f"{type(error).__name__}: {error} at {type(event).__name__}"
            )
        self._perform(effects)
        self._set_alarm(engine)
        self._world.stepped(self, event)

    def _notice(self, event: Event) -> None:
        """The plane says something; its process talks to ours with a little delay."""
        self._clock.after(NOTICE_S, lambda: self._hear(event))

    def _hear(self, event: Event) -> None:
        if self.engine is not None:
            self.feed(event)
        elif self.plane_up:
            self._waiting.append(event)

    def arrive(self, outer: Outer, damaged: int | None) -> None:
        """A packet from the network, addresses as this host sees them."""
        if not self.plane_up:
            self.counters["lost_without_plane"] += 1
            return
        match outer.content:
            case Ike(octets):
                if damaged is not None and _is_in_clear(octets):
                    self.counters["lost_to_checksum"] += 1
                    return
                if damaged is not None:
                    octets = flipped(octets, damaged)
                self._hear(DatagramReceived(outer.target, outer.source, octets))
            case Esp() as esp:
                self.plane.arrive(outer, esp, damaged is not None, self._clock.now)
            case KeepalivePacket():
                self.counters["keepalives_received"] += 1

    def leave(self, packet: Packet) -> bool:
        """A user's packet. False: it left in clear, no policy being about it."""
        if not self.plane_up:
            self.counters["lost_without_plane"] += 1
            return True
        return self.plane.leave(packet, self._clock.now)

    def views(self) -> tuple[TunnelView, ...]:
        """What status shows; nothing while there is no IKE process."""
        return () if self.engine is None else self.engine.views(self._clock.now)

    # --- the alarm -------------------------------------------------------------------------

    def _set_alarm(self, engine: IkeEngine) -> None:
        deadline = engine.deadline
        if deadline is not None and deadline <= self._clock.now:
            self._world.wrong(self, "deadline_past", f"{deadline} is due and was not handled")
        if deadline == self._alarm_at:
            return
        self._alarm_at = deadline
        self._alarm_serial += 1
        if deadline is not None:
            serial = self._alarm_serial
            self._clock.at(deadline, lambda: self._alarm(serial))

    def _alarm(self, serial: int) -> None:
        if serial == self._alarm_serial and self.engine is not None:
            self._alarm_at = None
            self.feed(DeadlineReached())

    # --- effects ---------------------------------------------------------------------------

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram(local, remote, octets):
                    if self.plane_up:
                        self._world.transmit(self, Outer(local, remote, Ike(octets)))
                case InstallSa():
                    self._install(effect)
                case ExpectSa(spi):
                    self._expect(spi)
                case UpdateSa(spi, inbound):
                    self._try((spi, inbound), partial(self.plane.update, effect))
                case RemoveSa(spi, inbound):
                    self._note(f"remove {'in' if inbound else 'out'} 0x{spi:08x}")
                    self._try((spi, inbound), partial(self.plane.remove, spi, inbound))
                case ArmPolicy(tunnel, rule, on_no_sa):
                    self.plane.arm((tunnel, rule), on_no_sa, self._clock.now)
                case SetCarrier() | AssignAddress():
                    pass  # its routes look at no carrier, its packets have their addresses
                case Keepalive():
                    self._keepalive(effect)
                case Compute():
                    self._compute(effect)
                case Record(happening):
                    self._world.happened(self, happening)
                case _:
                    assert_never(effect)

    def _install(self, effect: InstallSa) -> None:
        way = "in" if effect.inbound else "out"
        self._note(f"install {way} 0x{effect.spi:08x} {effect.tunnel}/{effect.rule}")
        if not self.plane_up:
            self.lost.add((effect.spi, effect.inbound))
            failed = InstallFailed(effect.spi, effect.inbound, "there is no data plane")
            self._notice_later(failed)
            return
        try:
            self.plane.install(effect, self._clock.now)
        except Refused as refused:
            self._world.wrong(self, "spi_twice", str(refused))

    def _expect(self, spi: Spi) -> None:
        if self.plane_up:
            self.plane.expect(spi)
        else:
            self.lost.add((spi, True))

    def _notice_later(self, event: Event) -> None:
        incarnation = self.incarnation

        def tell() -> None:
            if self.engine is not None and self.incarnation == incarnation:
                self.feed(event)

        self._clock.after(NOTICE_S, tell)

    def _try(self, key: tuple[Spi, bool], command: Callable[[], None]) -> None:
        """A command about an SA: only one that a killed plane took along may be unknown."""
        try:
            command()
        except Refused as refused:
            if key not in self.lost:
                self._world.wrong(self, "sa_unknown_to_plane", str(refused))

    def _keepalive(self, effect: Keepalive) -> None:
        key = (effect.local, effect.remote)
        if effect.every_s == 0:
            self.plane.keepalives.pop(key, None)
            return
        self.plane.keepalives[key] = effect.every_s
        if key not in self._ticking:
            self._ticking.add(key)
            self._clock.after(effect.every_s, lambda: self._keep_alive(key))

    def _keep_alive(self, key: tuple[Endpoint, Endpoint]) -> None:
        every_s = self.plane.keepalives.get(key)
        if every_s is None:
            self._ticking.discard(key)
            return
        self.plane.keep_alive(*key)
        self._clock.after(every_s, lambda: self._keep_alive(key))

    def _compute(self, effect: Compute) -> None:
        done = self._do(effect.ticket, effect.job)
        incarnation = self.incarnation

        def finish() -> None:
            if self.engine is not None and self.incarnation == incarnation:
                self.feed(done)

        pause = JOB_MIN_S + self._chance.random() * self.plan.job_max_s
        self._clock.after(pause, finish)

    def _do(self, ticket: int, job: Job) -> ComputeFinished:
        try:
            match job:
                case Resolve(peer, local):
                    here = local or self.plan.address
                    return ComputeFinished(ticket, (here.encode(), peer.encode()))
                case MakeKey(method):
                    return ComputeFinished(ticket, agreement.generate(method, self._entropy))
                case Agree(method, private, peer_value):
                    return ComputeFinished(ticket, (agreement.agree(method, private, peer_value),))
                case MakeKeyAndAgree(method, peer_value):
                    private, public = agreement.generate(method, self._entropy)
                    shared = agreement.agree(method, private, peer_value)
                    return ComputeFinished(ticket, (public, shared))
                case Sign() | JudgePeer() | CheckLogin():
                    return judging.answer(ticket, job, int(EPOCH_S + self._clock.now))
                case _:
                    assert_never(job)
        except agreement.BadPublicValue as bad:
            return ComputeFinished(ticket, None, str(bad))

    def _note(self, text: str) -> None:
        if self._world.tracing:
            self._world.note(self, text)


def _idle_rules(configuration: Configuration) -> dict[Name, Seconds]:
    """Rules that are closed after so long without packets."""
    return {
        (connection.name, rule.name): rule.idle_s
        for connection in configuration.connections
        for rule in connection.rules
        if rule.idle_s is not None
    }


def _is_in_clear(octets: bytes) -> bool:
    """A message of IKEv1 without encryption, or a piece of one. No HASH covers its vendor IDs and
    NAT-D payloads (RFC 2409 §5), so that it is left to UDP's checksum to find what was damaged."""
    header = Header.decode(octets)
    return header.version == VERSION_1 and not header.flags & Flag.ENCRYPTION


def flipped(octets: bytes, bit: int) -> bytes:
    """The same octets with one bit changed."""
    bit %= len(octets) * 8
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)
