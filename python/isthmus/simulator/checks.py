"""What must hold in every world: after each step, and once nothing goes wrong any more."""

import struct
from collections import Counter, deque
from typing import TYPE_CHECKING

from isthmus.ike.core.records import Happening
from isthmus.ike.core.views import RuleView, TunnelView
from isthmus.policy.connection import Connection
from isthmus.simulator.host import NOTICE_S, Host
from isthmus.simulator.packets import Ike, Outer, Packet
from isthmus.simulator.plan import Scenario
from isthmus.simulator.plane import Plane, Sa, covers
from isthmus.values.registry import ikev1
from isthmus.values.registry.ikev2 import ExchangeType, PayloadType
from isthmus.values.spi import Spi
from isthmus.values.time import Seconds
from isthmus.wire.v1 import VERSION_1

if TYPE_CHECKING:
    from isthmus.simulator.clock import Clock

TALK_WITHIN_S: Seconds = 120.0
"""After everything has healed, each flow gets a packet through within this (R-14)."""
QUIET_WITHIN_S: Seconds = 60.0
"""This long after that bound there is one IKE SA a tunnel and one pair a rule (R-15)."""
UNESTABLISHED_MAX_S: Seconds = 420.0
"""The longest that an attempt may live: two exchanges of eight tries, a Delete of eight tries."""
RESPONDER_HALF_OPEN_MAX_S: Seconds = 31.0
IKE_SAS_PER_TUNNEL_MAX = 40
CHILD_SAS_PER_RULE_MAX = 40
USES_KEPT = 64
IKE_HEADER = struct.Struct(">8s8sBBBBII")
IV_AT, IV_SIZE = 32, 8
FRAGMENT_NUMBERS_SIZE = 4
"""An SKF payload says which piece it is before its IV (RFC 7383 §2.5)."""
PHASE1_OF_IKEV1 = frozenset({"MAIN_MODE", "AGGRESSIVE_MODE"})
MESSAGES_OF_IKEV1 = {"MAIN_MODE": 3, "AGGRESSIVE_MODE": 2, "QUICK_MODE": 2, "INFORMATIONAL": 1}
"""Of one end, under one message ID (RFC 2409 §5)."""


Window = tuple[str, int, str, str]
"""A host, its incarnation, and the two SPIs of an IKE SA of its."""


class Violation(Exception):
    """A world in which something is wrong: which rule, and what was seen."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text

    def __reduce__(self) -> tuple[type["Violation"], tuple[str, str]]:
        """It travels between processes as what it was made from."""
        return (type(self), (self.rule, self.text))


class Checks:
    """Looks on at one world. Everything raises Violation."""

    def __init__(self, scenario: Scenario, hosts: dict[str, Host], clock: "Clock") -> None:
        self._scenario = scenario
        self._hosts = hosts
        self._clock = clock
        self._inbound: dict[Spi, tuple[str, bytes]] = {}
        """Every inbound SA ever installed: whose it was and its key."""
        self._outbound: dict[Spi, tuple[str, bytes]] = {}
        self._sequences: dict[bytes, tuple[Sa, int]] = {}
        """By key: the one SA that seals with it, and the highest number that it has used."""
        self._executed: dict[Window, int] = {}
        """The last request of the peer, by IKE SA."""
        self._asked: dict[Window, int] = {}
        """Our request that is not answered yet."""
        self._ivs: dict[tuple[str, bytes, bytes], tuple[bytes, int]] = {}
        """Of each sealing end of an IKE SA: the highest IV, and a hash of what it sealed."""
        self._sealed_with: dict[tuple[str, bytes, bytes, bytes], int] = {}
        self._under_v1: set[str] = set()
        """Initiator's cookies of every phase 1 of IKEv1."""
        self._v1_sent: dict[tuple[str, bytes, bytes, int], set[int]] = {}
        """Encrypted messages of IKEv1, by sender, cookies and message ID."""
        self._v1_heard: Counter[tuple[Window, str, int]] = Counter()
        """Messages of IKEv1 that were taken, by phase 1, exchange and message ID."""
        self.delivered: dict[int, int] = {}
        """Packets that came through, by flow."""
        self.last_delivered: dict[int, float] = {}
        self._arrived: set[int] = set()
        self.outstanding: dict[int, float] = {}
        """Packets of a lossless world that have not come through yet: when each was sent."""
        self._used: dict[tuple[str, str, str], deque[Seconds]] = {}
        """When the last packets of a rule left or came, by host, tunnel and rule."""
        self.quiet_at: float | None = None
        self.established = 0
        """IKE SAs that came up anywhere, by IKE_AUTH."""

    # --- after each step -------------------------------------------------------------------

    def stepped(self, host: Host) -> None:
        """The engine of a host has handled one event."""
        engine = host.engine
        assert engine is not None
        census = engine.census()
        if census["dead_timers"]:
            raise Violation("timer_of_the_dead", f"{host.name}: {census}")
        tunnels = len(host.configuration.connections)
        rules = sum(len(c.rules) for c in host.configuration.connections)
        if census["ike_sas"] > IKE_SAS_PER_TUNNEL_MAX * tunnels:
            raise Violation("too_many_ike_sas", f"{host.name}: {census}")
        if census["child_sas"] > CHILD_SAS_PER_RULE_MAX * rules:
            raise Violation("too_many_child_sas", f"{host.name}: {census}")
        if census["waiting_computes"] > IKE_SAS_PER_TUNNEL_MAX * tunnels:
            raise Violation("too_many_jobs", f"{host.name}: {census}")
        if census["oldest_attempt_s"] > UNESTABLISHED_MAX_S:
            raise Violation("half_open_lives_on", f"{host.name}: {census}")
        if census["oldest_half_open_s"] > RESPONDER_HALF_OPEN_MAX_S:
            raise Violation("half_open_lives_on", f"{host.name}: {census}")
        for policy in host.plane.policies.values():
            hold = policy.rule.hold
            if len(policy.held) > hold.packets_max:
                raise Violation("too_many_held", f"{host.name}: {len(policy.held)}")

    def installed(self, host: Host, sa: Sa) -> None:
        """A plane has a new SA: its SPI is new, and the other end holds the same key."""
        spi = sa.made.spi
        mine, others = self._inbound, self._outbound
        if not sa.made.inbound:
            mine, others = others, mine
        if spi in mine:
            raise Violation("spi_twice", f"{host.name}: 0x{spi:08x} was installed before")
        mine[spi] = (host.name, sa.key)
        other = others.get(spi)
        if other is not None and other[1] != sa.key:
            raise Violation("keys_differ", f"0x{spi:08x} of {host.name} and {other[0]}")
        if other is not None and other[0] == host.name:
            raise Violation("talks_to_itself", f"{host.name}: 0x{spi:08x}")
        if not sa.made.inbound:
            if sa.key in self._sequences:
                raise Violation("key_twice", f"{host.name}: 0x{spi:08x}")
            self._sequences[sa.key] = (sa, 0)

    def sealed(self, host: Host, sa: Sa, packet: Packet) -> None:
        """R-11: no number twice under one key; the SA is of the rule that the packet matches."""
        owner, highest = self._sequences[sa.key]
        if owner is not sa or sa.sequence <= highest:
            raise Violation("sequence_twice", f"{host.name}: {sa.sequence} after {highest}")
        self._sequences[sa.key] = (sa, sa.sequence)
        policy = host.plane.match(packet)
        if policy is None or (sa.made.rule != policy.rule.name):
            raise Violation("other_rule", f"{host.name}: packet {packet} under {sa.name}")

        self._use(host, sa)

    def _use(self, host: Host, sa: Sa) -> None:
        if sa.name in host.idle_rules:
            used = self._used.setdefault((host.name, *sa.name), deque(maxlen=USES_KEPT))
            used.append(self._clock.elapsed)

    def _closed_for_silence(self, host: Host, happening: Happening) -> None:
        """A rule's time without packets is over: no renewal and no probe counts as one, and none
        of its own packets may have been overlooked but those that came with the notice."""
        idle_s = host.idle_rules[happening.tunnel, happening.rule]
        heard = self._clock.elapsed - 2 * NOTICE_S
        used = self._used.get((host.name, happening.tunnel, happening.rule), ())
        last = max((at for at in used if at <= heard), default=None)
        if last is not None and heard - last < idle_s - 0.001 - 2 * NOTICE_S:
            raise Violation("not_idle", f"{host.name}: {happening.rule} was used at {last:.3f} s")

    def transmitted(self, host: Host, outer: Outer) -> None:
        """R-11 for IKE: an IV is used for one message of a key, which may be repeated."""
        if not isinstance(outer.content, Ike):
            return
        octets = outer.content.octets
        spi_i, spi_r, first, version, exchange, flags, number, _ = IKE_HEADER.unpack_from(octets)
        if version == VERSION_1:
            if flags & ikev1.Flag.ENCRYPTION and first != ikev1.PayloadType.FRAGMENT:
                self._sealed_in_v1((host.name, spi_i, spi_r, number), exchange, hash_of(octets))
            return
        iv_at = IV_AT + FRAGMENT_NUMBERS_SIZE if first == PayloadType.SKF else IV_AT
        if exchange == ExchangeType.IKE_SA_INIT or len(octets) < iv_at + IV_SIZE + 16:
            return
        key = (host.name, spi_i, spi_r, octets[iv_at : iv_at + IV_SIZE])
        digest = hash_of(octets)
        if self._sealed_with.setdefault(key, digest) != digest:
            raise Violation("iv_twice", f"{host.name}: IKE SA {spi_i.hex()}")

    def _sealed_in_v1(self, key: tuple[str, bytes, bytes, int], exchange: int, digest: int) -> None:
        """The IV of an IKEv1 exchange's first message follows from its message ID, and that of the
        next from the message before (RFC 2409 appendix B): one ID for two exchanges would be one IV
        for two messages."""
        sent = self._v1_sent.setdefault(key, set())
        sent.add(digest)
        name = ikev1.ExchangeType(exchange).name
        if len(sent) > (1 if name in PHASE1_OF_IKEV1 else MESSAGES_OF_IKEV1[name]):
            raise Violation("iv_twice", f"{key[0]}: {name} {key[3]} of phase 1 {key[1].hex()}")

    def happened(self, host: Host, happening: Happening) -> None:
        """R-18: no request is executed twice."""
        if happening.event == "phase1.up":
            self.established += 1
        elif happening.event == "phase2.idle":
            self._closed_for_silence(host, happening)
        if happening.event in ("exchange.received", "exchange.sent"):
            self._exchanged(host, happening)

    def _exchanged(self, host: Host, happening: Happening) -> None:
        """R-18: no request is executed twice; message IDs of an IKE SA go up by one either way, and
        a request goes out only when the one before it is answered (RFC 7296 §2.2, §2.3)."""
        facts = dict(happening.detail)
        name = str(facts["exchange"])
        if name == "IKE_SA_INIT":
            return
        number = facts["message_id"]
        assert isinstance(number, int)
        window = (host.name, host.incarnation, str(facts["spi_i"]), str(facts["spi_r"]))
        if name in PHASE1_OF_IKEV1:
            self._under_v1.add(window[2])
        if window[2] in self._under_v1:
            if happening.event == "exchange.received":
                self._heard_in_v1(window, name, number)
            return
        what = f"{host.name}: {happening.event} {happening.message} {number} of {window[2:]}"
        received = happening.event == "exchange.received"
        if facts["direction"] == "response":
            if received and self._asked.pop(window, None) != number:
                raise Violation("window", f"{what}: it was not asked")
        elif received:
            last = self._executed.get(window)
            if last is not None and number <= last:
                raise Violation("executed_twice", what)
            if number > (1 if last is None else last + 1):
                raise Violation("window", f"{what} after {last}")
            self._executed[window] = number
        else:
            if window in self._asked:
                raise Violation("window", f"{what}: {self._asked[window]} is not answered")
            self._asked[window] = number

    def _heard_in_v1(self, window: Window, name: str, number: int) -> None:
        """R-18 for IKEv1, which has no windows: message IDs are drawn, exchanges go side by side,
        and each of their messages is taken once (RFC 2408 §3.1)."""
        key = (window, name, number)
        self._v1_heard[key] += 1
        if self._v1_heard[key] > MESSAGES_OF_IKEV1[name]:
            raise Violation("executed_twice", f"{window[0]}: {name} {number} of {window[2:]}")

    def sent(self, packet: Packet, now: float) -> None:
        """A user sends a packet."""
        if self._scenario.lossless:
            self.outstanding[packet.number] = now

    def delivered_packet(self, host: Host, packet: Packet, sa: Sa, now: float) -> None:
        """A user's packet comes out of a plane: at the right host, of the right rule, once."""
        flow = self._scenario.flows[packet.flow]
        if host.name != flow.target_host:
            raise Violation("wrong_host", f"{packet} came out at {host.name}")
        if packet.number in self._arrived:
            raise Violation("delivered_twice", str(packet))
        if not _is_rules_own(host.plane, sa, packet):
            raise Violation("other_rule", f"{host.name}: {packet} by {sa.name}")
        self._arrived.add(packet.number)
        self._use(host, sa)
        self.outstanding.pop(packet.number, None)
        self.delivered[packet.flow] = self.delivered.get(packet.flow, 0) + 1
        self.last_delivered[packet.flow] = now

    def dropped(self, host: Host) -> None:
        """Reasons for drops that no weather excuses."""
        for reason in ("drop_other_key", "drop_selector_inbound"):
            if host.plane.counters[reason]:
                raise Violation(reason, f"{host.name}: {dict(host.plane.counters)}")

    # --- after everything has healed -------------------------------------------------------

    def talks(self) -> None:
        """`TALK_WITHIN_S` after the healing: every flow has brought a packet through since."""
        healed = self._scenario.heal_s
        for number, flow in enumerate(self._scenario.flows):
            last = self.last_delivered.get(number)
            if last is None or last < healed:
                raise Violation(
                    "does_not_talk",
                    f"{flow.source_host} to {flow.target_host} rule {flow.rule}: nothing came "
                    f"through between {healed:.0f} s and {self._clock.elapsed:.0f} s",
                )

    def is_quiet(self) -> str | None:
        """None when exactly what should stand stands; else what is wrong."""
        for name, host in self._hosts.items():
            if host.engine is None:
                return f"{name} has no IKE process"
            census = host.engine.census()
            tunnels = len(host.configuration.connections)
            rules = [(c, r) for c in host.configuration.connections for r in c.rules]
            if census["ike_sas"] != tunnels:
                return f"{name}: {census['ike_sas']} IKE SAs for {tunnels} tunnels"
            if census["half_open"] or census["first_requests"] or census["waiting_computes"]:
                return f"{name}: attempts are left: {census}"
            if census["child_sas"] != len(rules):
                return f"{name}: {census['child_sas']} pairs for {len(rules)} rules"
            if len(host.plane.sas) != 2 * len(rules):
                return f"{name}: the plane has {len(host.plane.sas)} SAs for {len(rules)} rules"
        return self._is_crosswise()

    def _is_crosswise(self) -> str | None:
        for left, left_tunnel, right, right_tunnel in self._scenario.mates:
            one, two = (
                _view(self._hosts[left], left_tunnel),
                _view(self._hosts[right], right_tunnel),
            )
            for rule in one.rules:
                ours = _spis(rule)
                theirs = {(o, i) for i, o in _spis(_rule(two, rule.name))}
                if len(ours) != 1 or ours != theirs:
                    return f"{left_tunnel}/{rule.name}: pairs {ours} there {theirs}"
        return None

    def ended(self) -> None:
        """The world is over."""
        if self.quiet_at is None:
            raise Violation("never_quiet", self.is_quiet() or "it would be now")
        if self.outstanding:
            number, at = next(iter(self.outstanding.items()))
            raise Violation(
                "packet_lost",
                f"{len(self.outstanding)} of a lossless world, the first ({number}) of {at:.3f} s",
            )


def hash_of(octets: bytes) -> int:
    """To compare within one process only."""
    return hash(octets)


def _view(host: Host, tunnel: str) -> TunnelView:
    return next(v for v in host.views() if v.name == tunnel)


def _rule(view: TunnelView, name: str) -> RuleView:
    return next(r for r in view.rules if r.name == name)


def _spis(rule: RuleView) -> set[tuple[Spi, Spi]]:
    return {(c.spi_in, c.spi_out) for c in rule.children}


def _is_rules_own(plane: Plane, sa: Sa, packet: Packet) -> bool:
    """The SA that opened a packet belongs to the rule that a packet back would match."""
    for (tunnel, rule), policy in plane.policies.items():
        if covers(policy.rule.remote, packet.source, packet.protocol, packet.port) and covers(
            policy.rule.local, packet.destination, packet.protocol, packet.port
        ):
            return (tunnel, rule) == sa.name
    return False


def rule_count(connections: tuple[Connection, ...]) -> int:
    """How many pairs stand when all is well."""
    return sum(len(c.rules) for c in connections)
