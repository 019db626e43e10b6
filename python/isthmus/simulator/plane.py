"""A data plane in memory that counts sequence numbers: it keeps the plane protocol's rules.

First matching policy wins; the newest outbound SA that is not standby is used, else the newest;
packets of a policy without an SA wait, bounded in number, octets and age.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from isthmus.backends.translate import limits_spec
from isthmus.ike.core.effects import InstallSa, UpdateSa
from isthmus.ike.core.events import (
    Event,
    FirstPacket,
    LifetimeReached,
    PacketSummary,
    PacketWanted,
    PeerMoved,
    RuleIdle,
)
from isthmus.policy.connection import ChildPolicy, Configuration
from isthmus.simulator.packets import Esp, Keepalive, Outer, Packet
from isthmus.values.address import Endpoint
from isthmus.values.selector import Selectors
from isthmus.values.spi import Spi
from isthmus.values.time import Instant, Seconds

GRAIN_S: Seconds = 1e-6
WANTED_EVERY_S: Seconds = 1.0
MOVED_EVERY_S: Seconds = 1.0
RAW_ESP_PORT = 0
EXPECTED_PACKETS_MAX = 64
"""Packets that wait for the keys of one announced SPI."""
EXPECTED_S: Seconds = 2.0

NEVER = Instant(-1e9)

Name = tuple[str, str]
"""Tunnel and rule."""


def covers(selectors: Selectors, address: int, protocol: int, port: int) -> bool:
    """A packet's one side lies in these selectors (ports only of its destination are looked at)."""
    return any(
        int(s.start) <= address <= int(s.end)
        and s.protocol in (0, protocol)
        and (s.any_port or s.port_start <= port <= s.port_end)
        for s in selectors
    )


@dataclass(slots=True, eq=False)
class Sa:
    """One direction of a Child SA in the plane."""

    made: InstallSa
    key: bytes
    standby: bool
    local: Endpoint
    remote: Endpoint
    sequence: int = 0
    """Outbound: the last number sent; inbound: the highest accepted."""
    seen: set[int] = field(default_factory=set)
    packets: int = 0
    soft_told: bool = False
    hard_told: bool = False
    moved_to: Endpoint | None = None
    moved_at: float = -1e9

    @property
    def name(self) -> Name:
        """The rule that it belongs to."""
        return (self.made.tunnel, self.made.rule)


@dataclass(slots=True, eq=False)
class Policy:
    """One rule: how it treats packets, and those that wait."""

    rule: ChildPolicy
    on_no_sa: str
    held: deque[tuple[Instant, Packet]] = field(default_factory=deque)
    wanted_at: float = -1e9
    used_at: Instant = NEVER
    """When its last packet left or came, under whatever SA."""


@dataclass(slots=True, eq=False)
class Silence:
    """Since when nobody used a rule that has SAs; replacing them changes nothing."""

    sas: int
    since: Instant
    told: Instant | None = None
    """The start of the silence that IKE was told of last."""


class Refused(Exception):
    """The plane did not carry a command out."""


class Plane:
    """SAD and SPD of one host.

    `send` puts a packet on the network, `deliver` hands a decrypted one to the network behind,
    `notice` tells the IKE process, `sealed` and `installed` tell whoever looks on, `later` calls
    back with the time when it has come.
    """

    def __init__(
        self,
        send: Callable[[Outer], None],
        deliver: Callable[[Packet, Sa], None],
        notice: Callable[[Event], None],
        sealed: Callable[[Sa, Packet], None],
        installed: Callable[[Sa], None],
        later: Callable[[Seconds, Callable[[Instant], None]], None],
    ) -> None:
        self._send = send
        self._deliver = deliver
        self._notice = notice
        self._sealed = sealed
        self._installed = installed
        self._later = later
        self._silences: dict[Name, Silence] = {}
        self._looking: set[Name] = set()
        """Rules whose silence is looked at again later."""
        self.sas: dict[tuple[Spi, bool], Sa] = {}
        self._outbound: dict[Name, list[Sa]] = {}
        self.policies: dict[Name, Policy] = {}
        self._expected: dict[Spi, list[tuple[Instant, Outer, Esp, bool]]] = {}
        self.keepalives: dict[tuple[Endpoint, Endpoint], Seconds] = {}
        self.counters: Counter[str] = Counter()

    # --- commands --------------------------------------------------------------------------

    def set_policies(self, configuration: Configuration) -> None:
        """The SPD; rules that stay keep what they hold and how they are armed."""
        entries = [(c.name, rule) for c in configuration.connections for rule in c.rules]
        entries.sort(key=lambda entry: all(s.protocol == 0 for s in entry[1].remote))
        old = self.policies
        self.policies = {}
        for tunnel, rule in entries:
            kept = old.get((tunnel, rule.name))
            self.policies[tunnel, rule.name] = (
                Policy(rule, "hold")
                if kept is None
                else Policy(rule, kept.on_no_sa, kept.held, kept.wanted_at, kept.used_at)
            )

    def arm(self, name: Name, on_no_sa: str, now: Instant) -> None:
        """How packets without an SA are treated from now on."""
        policy = self.policies.get(name)
        if policy is None:
            return
        policy.on_no_sa = on_no_sa
        if on_no_sa == "hold" and policy.held:
            self._wanted(name, policy, policy.held[0][1], now)

    def install(self, made: InstallSa, now: Instant) -> None:
        """Raises Refused when the SPI is taken in that direction."""
        if (made.spi, made.inbound) in self.sas:
            raise Refused(f"SPI 0x{made.spi:08x} is taken")
        key = made.encryption_key.reveal() + made.integrity_key.reveal()
        sa = Sa(made, key, made.standby, made.local, made.remote)
        self.sas[made.spi, made.inbound] = sa
        self._installed(sa)
        self._counted(sa.name, now)
        if made.inbound:
            for at, outer, esp, damaged in self._expected.pop(made.spi, ()):
                if now - at <= EXPECTED_S:
                    self.arrive(outer, esp, damaged, now)
        else:
            self._outbound.setdefault(sa.name, []).append(sa)
            policy = self.policies.get(sa.name)
            while policy is not None and policy.held:
                at, packet = policy.held.popleft()
                if now - at <= policy.rule.hold.age_max_s:
                    self._seal(sa, packet, now)
                else:
                    self.counters["drop_hold_expired"] += 1

    def update(self, change: UpdateSa) -> None:
        """Raises Refused for an unknown SA."""
        sa = self.sas.get((change.spi, change.inbound))
        if sa is None:
            raise Refused(f"SPI 0x{change.spi:08x} is unknown")
        sa.standby = sa.standby if change.standby is None else change.standby
        sa.local = change.local or sa.local
        sa.remote = change.remote or sa.remote

    def remove(self, spi: Spi, inbound: bool) -> None:
        """Raises Refused for an SA that is neither there nor expected."""
        sa = self.sas.pop((spi, inbound), None)
        if inbound and self._expected.pop(spi, None) is not None and sa is None:
            return
        if sa is None:
            raise Refused(f"SPI 0x{spi:08x} is unknown")
        silence = self._silences[sa.name]
        silence.sas -= 1
        if not silence.sas:
            del self._silences[sa.name]
        if not inbound:
            self._outbound[sa.name].remove(sa)

    def expect(self, spi: Spi) -> None:
        """Keep what comes for this SPI until its keys do."""
        self._expected.setdefault(spi, [])

    def lose_everything(self) -> None:
        """The process is killed: nothing of it survives."""
        self._expected.clear()
        self._silences.clear()
        self.sas.clear()
        self._outbound.clear()
        self.keepalives.clear()
        for policy in self.policies.values():
            policy.held.clear()

    # --- silence ---------------------------------------------------------------------------

    def _counted(self, name: Name, now: Instant) -> None:
        """A rule has one SA more."""
        silence = self._silences.setdefault(name, Silence(0, now))
        silence.sas += 1
        self._watch(name, now)

    def _watch(self, name: Name, now: Instant) -> None:
        policy, silence = self.policies.get(name), self._silences.get(name)
        if policy is None or silence is None or policy.rule.idle_s is None:
            return
        if name not in self._looking:
            self._looking.add(name)
            since = max(silence.since, policy.used_at)
            due = since + policy.rule.idle_s - now
            self._later(due if due > 0 else policy.rule.idle_s, lambda at: self._look(name, at))

    def _look(self, name: Name, now: Instant) -> None:
        self._looking.discard(name)
        policy, silence = self.policies.get(name), self._silences.get(name)
        if policy is not None and silence is not None and policy.rule.idle_s is not None:
            since = max(silence.since, policy.used_at)
            # Sums of fractions are not exact: the look comes just before its time.
            is_over = now - since >= policy.rule.idle_s - GRAIN_S
            if is_over and silence.told != since:
                silence.told = since
                self._notice(RuleIdle(*name))
        self._watch(name, now)

    def tell_again(self, now: Instant) -> None:
        """A new IKE process has not heard of any silence."""
        for name, silence in self._silences.items():
            silence.told = None
            self._watch(name, now)

    def keep_alive(self, local: Endpoint, remote: Endpoint) -> None:
        """One keepalive, now."""
        self._send(Outer(local, remote, Keepalive()))

    # --- packets ---------------------------------------------------------------------------

    def match(self, packet: Packet) -> Policy | None:
        """The first policy that a packet of the network behind matches."""
        for policy in self.policies.values():
            if covers(policy.rule.local, packet.source, packet.protocol, packet.port) and covers(
                policy.rule.remote, packet.destination, packet.protocol, packet.port
            ):
                return policy
        return None

    def leave(self, packet: Packet, now: Instant) -> bool:
        """A packet wants to the other side. False: no policy is about it."""
        for name, policy in self.policies.items():
            if covers(policy.rule.local, packet.source, packet.protocol, packet.port) and covers(
                policy.rule.remote, packet.destination, packet.protocol, packet.port
            ):
                sa = self.chosen(name)
                if sa is not None:
                    self._seal(sa, packet, now)
                else:
                    self._hold(name, policy, packet, now)
                return True
        return False

    def chosen(self, name: Name) -> Sa | None:
        """The outbound SA of a rule."""
        of_rule = self._outbound.get(name)
        if not of_rule:
            return None
        return next((sa for sa in reversed(of_rule) if not sa.standby), of_rule[-1])

    def _hold(self, name: Name, policy: Policy, packet: Packet, now: Instant) -> None:
        if policy.on_no_sa == "drop":
            self.counters["drop_no_sa_outbound"] += 1
            return
        hold = policy.rule.hold
        while policy.held and now - policy.held[0][0] > hold.age_max_s:
            policy.held.popleft()
            self.counters["drop_hold_expired"] += 1
        octets = sum(p.octets for _, p in policy.held)
        if len(policy.held) >= hold.packets_max or octets + packet.octets > hold.octets_max:
            self.counters["drop_hold_full"] += 1
        else:
            policy.held.append((now, packet))
        if policy.on_no_sa == "hold" and now - policy.wanted_at >= WANTED_EVERY_S:
            self._wanted(name, policy, packet, now)

    def _wanted(self, name: Name, policy: Policy, packet: Packet, now: Instant) -> None:
        policy.wanted_at = now
        summary = PacketSummary(
            str(IPv4Address(packet.source)),
            str(IPv4Address(packet.destination)),
            packet.protocol,
            packet.port,
            packet.port,
        )
        self._notice(PacketWanted(*name, summary, len(policy.held)))

    def _seal(self, sa: Sa, packet: Packet, now: Instant) -> None:
        self.policies[sa.name].used_at = now
        hard = limits_spec(sa.made.lifetimes).hard_packets
        if hard is not None and sa.packets >= hard:
            self.counters["drop_hard_limit"] += 1
            return
        sa.sequence += 1
        self._sealed(sa, packet)
        self._count(sa)
        udp = sa.made.encap
        source = sa.local if udp else Endpoint(sa.local.address, RAW_ESP_PORT)
        target = sa.remote if udp else Endpoint(sa.remote.address, RAW_ESP_PORT)
        self._send(Outer(source, target, Esp(sa.made.spi, sa.sequence, sa.key, packet)))

    def _count(self, sa: Sa) -> None:
        sa.packets += 1
        limits = limits_spec(sa.made.lifetimes)
        if limits.hard_packets is None or limits.soft_packets is None:
            return
        spi, inbound = sa.made.spi, sa.made.inbound
        if sa.packets >= limits.soft_packets and not sa.soft_told:
            sa.soft_told = True
            self._notice(LifetimeReached(spi, inbound, False, "packets"))
        if sa.packets >= limits.hard_packets and not sa.hard_told:
            sa.hard_told = True
            self._notice(LifetimeReached(spi, inbound, True, "packets"))

    def arrive(self, outer: Outer, esp: Esp, damaged: bool, now: Instant) -> None:
        """ESP from the network."""
        sa = self.sas.get((Spi(esp.spi), True))
        waiting = self._expected.get(Spi(esp.spi))
        if sa is None and waiting is not None and len(waiting) < EXPECTED_PACKETS_MAX:
            waiting.append((now, outer, esp, damaged))
        elif sa is None:
            self.counters["drop_no_sa_inbound"] += 1
        elif damaged:
            self.counters["drop_icv"] += 1
        elif sa.key != esp.key:
            self.counters["drop_other_key"] += 1
        elif esp.sequence <= sa.sequence - sa.made.replay_window:
            self.counters["drop_replay_old"] += 1
        elif esp.sequence in sa.seen:
            self.counters["drop_replay_duplicate"] += 1
        else:
            self._accept(sa, outer, esp, now)

    def _accept(self, sa: Sa, outer: Outer, esp: Esp, now: Instant) -> None:
        highest = esp.sequence > sa.sequence
        sa.seen.add(esp.sequence)
        sa.sequence = max(sa.sequence, esp.sequence)
        if sa.packets == 0:
            self._notice(FirstPacket(sa.made.spi))
        self._count(sa)
        inner = esp.inner
        if not covers(
            sa.made.remote_selectors, inner.source, inner.protocol, inner.port
        ) or not covers(sa.made.local_selectors, inner.destination, inner.protocol, inner.port):
            self.counters["drop_selector_inbound"] += 1
            return
        policy = self.policies.get(sa.name)
        if policy is not None:
            policy.used_at = now
        if sa.made.encap and highest and outer.source != sa.remote:
            again = outer.source != sa.moved_to or now - sa.moved_at >= MOVED_EVERY_S
            if again:
                sa.moved_to, sa.moved_at = outer.source, now
                self._notice(PeerMoved(sa.made.spi, outer.source))
        self._deliver(inner, sa)
