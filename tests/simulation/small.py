"""Worlds made by hand: two gateways, one road, what a test wants to happen."""

from dataclasses import replace

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
from isthmus.simulator.scenario import proposals
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import TrafficSelector

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
CALM = Weather(delay_s=0.02)


def tunnel(
    here: str,
    peer: str | None,
    local: str,
    remote: str,
    start: Start = Start.TRAFFIC,
    every_s: float = 10.0,
    timeout_s: float = 15.0,
    phase1_s: float = 3600.0,
    phase2_s: float = 1200.0,
) -> Connection:
    """One end of the only tunnel."""
    other = "right" if here == "left" else "left"
    rule = ChildPolicy(
        name="lan",
        local=(TrafficSelector.of_network(local),),
        remote=(TrafficSelector.of_network(remote),),
        proposals=proposals(("aes128gcm16-x25519",), SecurityProtocol.ESP),
        start=start,
        lifetimes=Lifetimes(phase2_s, phase2_s / 5),
    )
    return Connection(
        name=f"to-{other}",
        peer=peer,
        local_id=Identity.parse(f"fqdn:{here}.example"),
        remote_id=Identity.parse(f"fqdn:{other}.example"),
        phase1_proposals=proposals(("aes128gcm16-prfsha256-x25519",), SecurityProtocol.IKE),
        rules=(rule,),
        local_auth=LocalAuth(AuthKind.PSK, "all"),
        remote_auth=RemoteAuth(AuthKind.PSK, "all"),
        phase1_lifetimes=Lifetimes(phase1_s, phase1_s / 5),
        liveness=Liveness(every_s, timeout_s),
    )


def flow(source: str, target: str, every_s: float, start_s: float, stop_s: float) -> FlowPlan:
    """Packets from one network to the other."""
    hosts = {"left": "10.1.0.10", "right": "10.2.0.10"}
    return FlowPlan(
        source_host=source,
        target_host=target,
        tunnel=f"to-{target}",
        rule="lan",
        source=hosts[source],
        destination=hosts[target],
        protocol=1,
        port=0,
        every_s=every_s,
        start_s=start_s,
        stop_s=stop_s,
    )


def pair(
    seed: int = 1,
    weather: Weather = CALM,
    flows: tuple[FlowPlan, ...] = (),
    incidents: tuple[Incident, ...] = (),
    heal_s: float = 60.0,
    end_s: float = 300.0,
    lossless: bool = False,
    left_start: Start = Start.TRAFFIC,
    right_start: Start = Start.TRAFFIC,
    left_nat: NatPlan | None = None,
    **more: float,
) -> Scenario:
    """Left and right. `more`: timings of both ends of the tunnel."""
    left = tunnel("left", RIGHT, "10.1.0.0/24", "10.2.0.0/24", left_start, **more)
    peer = LEFT if left_nat is None else None
    right = tunnel("right", peer, "10.2.0.0/24", "10.1.0.0/24", right_start, **more)
    inside = LEFT if left_nat is None else "10.99.0.2"
    return Scenario(
        seed=seed,
        kind="by hand",
        hosts=(
            HostPlan("left", inside, Configuration((left,)), left_nat),
            HostPlan("right", RIGHT, Configuration((right,))),
        ),
        links=(LinkPlan("left", "right", weather),),
        mates=(("left", "to-right", "right", "to-left"),),
        flows=flows,
        incidents=incidents,
        heal_s=heal_s,
        end_s=end_s,
        lossless=lossless,
    )


def without_end(scenario: Scenario, end_s: float) -> Scenario:
    """The same world cut off early: nothing is asked of its end."""
    return replace(scenario, end_s=end_s)
