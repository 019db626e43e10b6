"""Draws a world from its seed: topology, configurations, weather, incidents, users."""

from dataclasses import replace
from random import Random

from isthmus.ike.core.commands import Command, Configure, Initiate, Rekey, Terminate
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    DpdAction,
    Fragmentation,
    Lifetimes,
    Liveness,
    Nat,
    Start,
)
from isthmus.simulator.link import Weather
from isthmus.simulator.nat import NatPlan
from isthmus.simulator.plan import (
    Cut,
    FlowPlan,
    HostPlan,
    Incident,
    Killed,
    LinkPlan,
    NatForgets,
    Ordered,
    Scenario,
)
from isthmus.values.identity import Identity
from isthmus.values.proposal import Proposal, parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import TrafficSelector
from isthmus.values.time import Seconds

HOUR_S: Seconds = 3600.0
HEAL_EARLIEST_S, HEAL_LATEST_S = 2700.0, 3300.0
USERS_STOP_S: Seconds = 40.0
"""Users fall silent this long before the end, so that the last packet has time to arrive."""
LOSS_MAX = 0.20
LOSSLESS_SHARE = 0.3
FRAGMENT_SIZES = (1280, 1280, 220, 160)
"""Of IP datagrams, in octets: with the small ones no message after IKE_SA_INIT stays whole that
creates anything."""
IDLE_SHARE = 0.3
IDLE_S: tuple[Seconds | None, ...] = (15.0, 40.0, 40.0, None)
PAUSES_MAX = 8
TCP, ICMP = 6, 1

PHASE1_WORDS = (
    ("aes128gcm16-prfsha256-x25519",),
    ("aes128gcm16-prfsha256-x25519-ecp256",),
    ("aes128gcm16-prfsha256-ecp256-x25519",),
)
PHASE2_WORDS = (
    (("aes128gcm16",),),
    (
        ("aes128gcm16-x25519",),
        ("aes128gcm16-x25519-ecp256",),
        ("aes128gcm16-ecp256-x25519",),
    ),
)
"""Both ends of a tunnel take theirs from one of these: with PFS, or without."""


def draw(seed: int, lossless: bool | None = None) -> Scenario:
    """The world of that seed. `lossless` overrides what the seed says of losses."""
    chance = Random(f"{seed}/scenario")
    if lossless is None:
        lossless = chance.random() < LOSSLESS_SHARE
    return _Draw(seed, chance, lossless).scenario()


def proposals(words: tuple[str, ...], protocol: SecurityProtocol) -> tuple[Proposal, ...]:
    """Proposals as a configuration writes them."""
    return tuple(parse_proposal(word, protocol) for word in words)


class _Draw:
    """The state of one drawing: each method draws one part."""

    def __init__(self, seed: int, chance: Random, lossless: bool) -> None:
        self.seed = seed
        self.chance = chance
        self.lossless = lossless
        self.heal_s = chance.uniform(HEAL_EARLIEST_S, HEAL_LATEST_S)
        self.idle = Random(f"{seed}/idle")
        self.idles = self.idle.random() < IDLE_SHARE
        """Rules are closed for silence, and users are silent now and then."""

    def scenario(self) -> Scenario:
        chance = self.chance
        spokes = 1 if chance.random() < 0.8 else 2
        names = ["hub", *(f"spoke{n}" for n in range(1, spokes + 1))]
        addresses = {name: f"192.0.2.{n}" for n, name in enumerate(names, start=1)}
        nats = {name: self._nat(name) for name in names[1:]}
        connections: dict[str, list[Connection]] = {name: [] for name in names}
        links, mates, flows = [], [], []
        for number, spoke in enumerate(names[1:], start=1):
            hub_side, spoke_side = self._tunnel(number, spoke, addresses, nats[spoke])
            connections["hub"].append(hub_side)
            connections[spoke].append(spoke_side)
            links.append(LinkPlan("hub", spoke, self._weather()))
            mates.append(("hub", hub_side.name, spoke, spoke_side.name))
            flows += self._flows(number, spoke, hub_side, spoke_side)
        job_max_s = chance.choice((0.002, 0.01, 0.2))
        hosts = tuple(
            HostPlan(
                name,
                addresses[name] if nats.get(name) is None else f"10.99.{n}.2",
                Configuration(tuple(connections[name])),
                nats.get(name),
                job_max_s,
            )
            for n, name in enumerate(names)
        )
        incidents = self._incidents(hosts, tuple(mates))
        return Scenario(
            seed=self.seed,
            kind="lossless" if self.lossless else "storm",
            hosts=hosts,
            links=tuple(links),
            mates=tuple(mates),
            flows=tuple(flows),
            incidents=tuple(sorted(incidents, key=lambda i: i.at_s)),
            heal_s=self.heal_s,
            end_s=HOUR_S,
            lossless=self.lossless,
        )

    # --- topology --------------------------------------------------------------------------

    def _nat(self, name: str) -> NatPlan | None:
        if self.chance.random() >= 0.3:
            return None
        return NatPlan(
            outside=f"198.51.100.{name.removeprefix('spoke')}",
            dependent=self.chance.random() < 0.5,
            timeout_s=self.chance.choice((45.0, 120.0)),
        )

    def _weather(self) -> Weather:
        chance = self.chance
        if self.lossless:
            return Weather(
                delay_s=chance.choice((0.001, 0.02, 0.15, 0.8)),
                jitter_s=chance.choice((0.0, 0.0, 0.03, 0.4)),
                repeat=chance.choice((0.0, 0.1)),
            )
        return Weather(
            delay_s=chance.choice((0.001, 0.02, 0.15, 0.8, 2.0)),
            jitter_s=chance.choice((0.0, 0.02, 0.3, 1.5)),
            loss=chance.uniform(0.0, LOSS_MAX),
            repeat=chance.choice((0.0, 0.05, 0.3)),
            damage=chance.choice((0.0, 0.01, 0.05)),
        )

    def _tunnel(
        self, number: int, spoke: str, addresses: dict[str, str], nat: NatPlan | None
    ) -> tuple[Connection, Connection]:
        """The two ends of one tunnel, mirrored where they must be, different where they may."""
        chance = self.chance
        rules = 2 if chance.random() < 0.3 else 1
        forced = Nat.FORCE if chance.random() < 0.1 else Nat.AUTO
        hub_words, spoke_words = chance.choice(PHASE1_WORDS), chance.choice(PHASE1_WORDS)
        words = chance.choice(PHASE2_WORDS)
        listens = nat is not None or chance.random() < 0.1
        hub_id, spoke_id = (
            Identity.parse("fqdn:hub.example"),
            Identity.parse(f"fqdn:{spoke}.example"),
        )
        hub_side = Connection(
            name=f"to-{spoke}",
            peer=None if nat is not None else addresses[spoke],
            local_id=hub_id,
            remote_id=spoke_id,
            phase1_proposals=proposals(hub_words, SecurityProtocol.IKE),
            rules=self._rules(number, rules, words, hub=True, listens=listens),
            local_auth=LocalAuth(AuthKind.PSK, "all"),
            remote_auth=RemoteAuth(AuthKind.PSK, "all"),
            phase1_lifetimes=self._phase1_lifetimes(),
            liveness=self._liveness(),
            nat=forced,
            fragmentation=self._fragmentation(f"{number}/hub"),
        )
        spoke_side = Connection(
            name="to-hub",
            peer=addresses["hub"],
            local_id=spoke_id,
            remote_id=hub_id,
            phase1_proposals=proposals(spoke_words, SecurityProtocol.IKE),
            rules=self._rules(number, rules, words, hub=False, listens=False),
            local_auth=LocalAuth(AuthKind.PSK, "all"),
            remote_auth=RemoteAuth(AuthKind.PSK, "all"),
            phase1_lifetimes=self._phase1_lifetimes(),
            liveness=self._liveness(),
            nat=forced,
            fragmentation=self._fragmentation(f"{number}/spoke"),
        )
        return hub_side, spoke_side

    def _rules(
        self,
        number: int,
        count: int,
        words: tuple[tuple[str, ...], ...],
        *,
        hub: bool,
        listens: bool,
    ) -> tuple[ChildPolicy, ...]:
        here, there = ("10.0", f"10.{number}") if hub else (f"10.{number}", "10.0")
        start = self.chance.choice((Start.TRAFFIC, Start.ALWAYS))
        if listens:
            start = Start.LISTEN
        lifetimes = self._phase2_lifetimes()
        rest = ChildPolicy(
            name="rest",
            local=(TrafficSelector.of_network(f"{here}.0.0/24"),),
            remote=(TrafficSelector.of_network(f"{there}.0.0/24"),),
            proposals=proposals(self.chance.choice(words), SecurityProtocol.ESP),
            start=start,
            lifetimes=lifetimes,
            idle_s=self.idle.choice(IDLE_S) if self.idles else None,
        )
        if count == 1:
            return (rest,)
        # Between the same two networks: which SA a packet takes is told by its protocol alone.
        web = replace(
            rest,
            name="web",
            local=(TrafficSelector.of_network(f"{here}.0.0/24", protocol=TCP),),
            remote=(TrafficSelector.of_network(f"{there}.0.0/24", protocol=TCP),),
        )
        return (web, rest)

    def _phase1_lifetimes(self) -> Lifetimes:
        lifetime_s = self.chance.choice((300.0, 900.0, 3600.0))
        return Lifetimes(lifetime_s, margin_s=lifetime_s / 4)

    def _phase2_lifetimes(self) -> Lifetimes:
        lifetime_s = self.chance.choice((120.0, 300.0, 1200.0, 3600.0))
        packets_max = self.chance.choice((None, None, 200))
        return Lifetimes(lifetime_s, margin_s=lifetime_s / 4, packets_max=packets_max)

    def _liveness(self) -> Liveness:
        return Liveness(
            every_s=self.chance.choice((10.0, 20.0)),
            timeout_s=self.chance.choice((15.0, 40.0)),
            action=self.chance.choice(tuple(DpdAction)),
        )

    def _fragmentation(self, end: str) -> Fragmentation:
        """Each end for itself: one may send in pieces to one that answers whole."""
        chance = Random(f"{self.seed}/fragmentation/{end}")
        return Fragmentation(chance.random() < 0.9, chance.choice(FRAGMENT_SIZES))

    # --- users -----------------------------------------------------------------------------

    def _flows(
        self, number: int, spoke: str, hub_side: Connection, spoke_side: Connection
    ) -> list[FlowPlan]:
        chance = self.chance
        hub_net, spoke_net = "10.0.0.", f"10.{number}.0."
        flows = []
        for rule in spoke_side.rules:
            pauses = self._pauses()
            protocol = TCP if rule.name == "web" else ICMP
            for from_hub in (True, False):
                every_s = chance.uniform(1.0, 6.0)
                source, target = ("hub", spoke) if from_hub else (spoke, "hub")
                here, there = (hub_net, spoke_net) if from_hub else (spoke_net, hub_net)
                flows.append(
                    FlowPlan(
                        source_host=source,
                        target_host=target,
                        tunnel=hub_side.name if from_hub else spoke_side.name,
                        rule=rule.name,
                        source=f"{here}{chance.randint(2, 250)}",
                        destination=f"{there}{chance.randint(2, 250)}",
                        protocol=protocol,
                        port=80 if protocol == TCP else 0,
                        every_s=every_s,
                        # Some begin in the same instant, so that both sides start at once.
                        start_s=chance.choice((5.0, 5.0, chance.uniform(1.0, 60.0))),
                        stop_s=HOUR_S - USERS_STOP_S,
                        pauses=pauses,
                    )
                )
        if self.lossless:
            flows = self._spoke_first(flows, spoke_side)
        return flows

    def _pauses(self) -> tuple[tuple[Seconds, Seconds], ...]:
        """When nobody sends packets of a rule. All begin again in one instant, so that both sides
        ask for phase 2 at once."""
        if not self.idles:
            return ()
        chance = self.idle
        found, at = [], chance.uniform(100.0, 500.0)
        for _ in range(chance.randint(1, PAUSES_MAX)):
            until = at + chance.uniform(10.0, 150.0)
            if until >= self.heal_s:
                break
            found.append((round(at, 3), round(until, 3)))
            at = until + chance.uniform(1.0, 300.0)
        return tuple(found)

    def _spoke_first(self, flows: list[FlowPlan], spoke_side: Connection) -> list[FlowPlan]:
        """A side that only listens cannot bring a tunnel up: its users start once it stands."""
        return [
            replace(flow, start_s=flow.start_s + 60.0) if flow.source_host == "hub" else flow
            for flow in flows
        ]

    # --- incidents -------------------------------------------------------------------------

    def _incidents(
        self, hosts: tuple[HostPlan, ...], mates: tuple[tuple[str, str, str, str], ...]
    ) -> list[Incident]:
        chance = self.chance
        incidents: list[Incident] = []
        for _ in range(chance.randint(4, 16)):
            left, left_tunnel, right, right_tunnel = chance.choice(mates)
            incidents += self._renewals(left, left_tunnel, right, right_tunnel)
        if self.lossless:
            for _ in range(chance.randint(0, 2)):
                host = chance.choice(hosts)
                incidents.append(Ordered(self._moment(), host.name, Configure(host.configuration)))
            return incidents
        for _ in range(chance.randint(0, 6)):
            incidents += self._ups_and_downs(chance.choice(mates))
        for _ in range(chance.randint(0, 4)):
            incidents.append(self._cut(chance.choice(mates)))
        for _ in range(chance.randint(0, 3)):
            incidents.append(self._killed(chance.choice(hosts)))
        for host in hosts:
            if host.nat is not None:
                incidents += [
                    NatForgets(self._moment(), host.name) for _ in range(chance.randint(0, 5))
                ]
        if chance.random() < 0.3:
            incidents.append(self._reload(chance.choice(hosts)))
        return incidents

    def _moment(self) -> Seconds:
        return round(self.chance.uniform(90.0, self.heal_s - 1.0), 3)

    def _renewals(
        self, left: str, left_tunnel: str, right: str, right_tunnel: str
    ) -> list[Incident]:
        """One side, or both at once or nearly so, of either phase."""
        chance = self.chance
        at = self._moment()
        sides = [(left, left_tunnel), (right, right_tunnel)]
        chance.shuffle(sides)
        count = chance.choice((1, 2, 2, 2, 3, 4))
        apart = chance.choice((0.0, 0.0, 0.02, 0.2, 1.0))
        return [
            Ordered(
                round(min(at + n * apart * chance.random(), self.heal_s - 0.5), 6),
                sides[n % 2][0],
                Rekey(sides[n % 2][1], None, chance.choice((1, 2, 2))),
            )
            for n in range(count)
        ]

    def _ups_and_downs(self, mate: tuple[str, str, str, str]) -> list[Incident]:
        chance = self.chance
        left, left_tunnel, right, right_tunnel = mate
        at = self._moment()
        found: list[Incident] = []
        for host, tunnel in ((left, left_tunnel), (right, right_tunnel)):
            if chance.random() < 0.6:
                rule = chance.choice((None, None, "rest"))
                hold = chance.random() < 0.2
                commands: list[Command] = [Terminate(tunnel, rule, hold and rule is None)]
                if hold or chance.random() < 0.5:
                    commands.append(Initiate(tunnel))
                for command in commands:
                    found.append(Ordered(round(at, 6), host, command))
                    at = min(at + chance.choice((0.0, 0.05, 1.0, 30.0)), self.heal_s - 0.5)
        return found

    def _cut(self, mate: tuple[str, str, str, str]) -> Cut:
        chance = self.chance
        at = self._moment()
        lasts = chance.choice((2.0, 10.0, 60.0, 600.0))
        ends = [mate[0], mate[2]]
        chance.shuffle(ends)
        until = min(at + lasts * chance.uniform(0.5, 1.5), self.heal_s)
        return Cut(at, round(until, 3), ends[0], ends[1], both=chance.random() < 0.6)

    def _killed(self, host: HostPlan) -> Killed:
        chance = self.chance
        at = self._moment()
        back = min(at + chance.choice((0.2, 3.0, 90.0)), self.heal_s)
        ike, plane = chance.choice(((True, False), (False, True), (True, True)))
        return Killed(at, round(back, 3), host.name, ike, plane)

    def _reload(self, host: HostPlan) -> Ordered:
        """The same tunnels with another lifetime: what changed is closed and comes back."""
        changed = tuple(
            replace(c, phase1_lifetimes=Lifetimes(1800.0, 300.0))
            for c in host.configuration.connections
        )
        return Ordered(self._moment(), host.name, Configure(Configuration(changed)))
