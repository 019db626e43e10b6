"""Worlds made by hand: two gateways, one road, what a test wants to happen."""

from dataclasses import dataclass

from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    Lifetimes,
    Liveness,
    Start,
)
from isthmus.simulator.link import Weather
from isthmus.simulator.nat import NatPlan
from isthmus.simulator.plan import FlowPlan, HostPlan, Incident, LinkPlan, Scenario
from isthmus.simulator.scenario import ICMP, TCP, proposals
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import TrafficSelector
from isthmus.values.time import Seconds

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
CALM = Weather(delay_s=0.02)
NETWORKS = {"left": "10.1.0.0/24", "right": "10.2.0.0/24"}
USERS = {"left": "10.1.0.10", "right": "10.2.0.10"}
REST, WEB = "lan", "web"


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things last at both ends of a tunnel."""

    every_s: Seconds = 10.0
    timeout_s: Seconds = 15.0
    phase1_s: Seconds = 3600.0
    phase2_s: Seconds = 1200.0
    idle_s: Seconds | None = None
    phase1_idle_s: Seconds | None = None


def other(side: str) -> str:
    """The other gateway."""
    return "right" if side == "left" else "left"


def tunnel(
    here: str,
    peer: str | None,
    start: Start = Start.TRAFFIC,
    lasts: Timings = Timings(),
    web: bool = False,
) -> Connection:
    """One end of the only tunnel. `web`: a second rule between the same networks, for TCP."""

    def rule(name: str, protocol: int) -> ChildPolicy:
        return ChildPolicy(
            name=name,
            local=(TrafficSelector.of_network(NETWORKS[here], protocol=protocol),),
            remote=(TrafficSelector.of_network(NETWORKS[other(here)], protocol=protocol),),
            proposals=proposals(("aes128gcm16-x25519",), SecurityProtocol.ESP),
            start=start,
            lifetimes=Lifetimes(lasts.phase2_s, lasts.phase2_s / 5),
            idle_s=lasts.idle_s,
        )

    return Connection(
        name=f"to-{other(here)}",
        peer=peer,
        local_id=Identity.parse(f"fqdn:{here}.example"),
        remote_id=Identity.parse(f"fqdn:{other(here)}.example"),
        phase1_proposals=proposals(("aes128gcm16-prfsha256-x25519",), SecurityProtocol.IKE),
        rules=(rule(WEB, TCP), rule(REST, 0)) if web else (rule(REST, 0),),
        local_auth=LocalAuth(AuthKind.PSK, "all"),
        remote_auth=RemoteAuth(AuthKind.PSK, "all"),
        phase1_lifetimes=Lifetimes(lasts.phase1_s, lasts.phase1_s / 5),
        liveness=Liveness(lasts.every_s, lasts.timeout_s),
        phase1_idle_s=lasts.phase1_idle_s,
    )


def flow(
    source: str,
    target: str,
    every_s: Seconds,
    start_s: Seconds,
    stop_s: Seconds,
    rule: str = REST,
) -> FlowPlan:
    """Packets from one network to the other."""
    return FlowPlan(
        source_host=source,
        target_host=target,
        tunnel=f"to-{target}",
        rule=rule,
        source=USERS[source],
        destination=USERS[target],
        protocol=TCP if rule == WEB else ICMP,
        port=80 if rule == WEB else 0,
        every_s=every_s,
        start_s=start_s,
        stop_s=stop_s,
    )


def pair(
    seed: int = 1,
    weather: Weather = CALM,
    flows: tuple[FlowPlan, ...] = (),
    incidents: tuple[Incident, ...] = (),
    heal_s: Seconds = 60.0,
    end_s: Seconds = 300.0,
    lossless: bool = False,
    left_start: Start = Start.TRAFFIC,
    right_start: Start = Start.TRAFFIC,
    left_nat: NatPlan | None = None,
    job_max_s: Seconds = 0.005,
    lasts: Timings = Timings(),
    web: bool = False,
) -> Scenario:
    """Left and right; a NAT in front of left hides where it is."""
    peer = LEFT if left_nat is None else None
    left = Configuration((tunnel("left", RIGHT, left_start, lasts, web),))
    right = Configuration((tunnel("right", peer, right_start, lasts, web),))
    inside = LEFT if left_nat is None else "10.99.0.2"
    return Scenario(
        seed=seed,
        kind="by hand",
        hosts=(
            HostPlan("left", inside, left, left_nat, job_max_s),
            HostPlan("right", RIGHT, right, job_max_s=job_max_s),
        ),
        links=(LinkPlan("left", "right", weather),),
        mates=(("left", "to-right", "right", "to-left"),),
        flows=flows,
        incidents=incidents,
        heal_s=heal_s,
        end_s=end_s,
        lossless=lossless,
    )
