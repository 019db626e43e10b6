"""The same worlds over another version of IKE.

A world keeps its roads, users and accidents; only what its tunnels speak is another, and so are the
proposals: IKEv1 has no AES-GCM in phase 1 and no X25519.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from isthmus.ike.core.commands import Configure
from isthmus.policy.connection import (
    ChildPolicy,
    Configuration,
    Connection,
    IkeVersion,
    Start,
    V1Terms,
)
from isthmus.simulator.plan import Incident, Ordered, Scenario
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol, TransformType
from isthmus.values.time import Seconds

PHASE1_WORDS = (
    ("aes128-sha256-ecp256",),
    ("aes128-sha256-ecp256", "aes256-sha384-ecp384"),
    ("aes256-sha384-ecp384", "aes128-sha256-ecp256"),
)
PLAIN_WORDS = (
    ("aes128gcm16-noesn",),
    ("aes256-sha256-noesn", "aes128gcm16-noesn"),
)
PFS_WORDS = (
    ("aes128gcm16-ecp256-noesn",),
    ("aes128gcm16-ecp256-noesn", "aes128gcm16-ecp384-noesn"),
    ("aes256-sha256-ecp256-noesn", "aes128gcm16-ecp256-noesn"),
)
"""Of both ends of a tunnel, any two have a suite in common, and with PFS the group as well that the
first suite is of: a Quick Mode has no other to offer (RFC 2409 §5.5)."""

HOLD_S: Seconds = 30.0
AGGRESSIVE_SHARE = 0.2
"""Tunnels of IKEv1 whose phase 1 is made in Aggressive Mode."""

V1, V2, AUTO = IkeVersion.V1, IkeVersion.V2, IkeVersion.AUTO


def speaking(scenario: Scenario, ike: IkeVersion) -> Scenario:
    """The same world with each tunnel in IKEv1, or for `AUTO` with one end of each that answers
    either version, and another that speaks one of them or either."""
    if ike is V2:
        return scenario
    chance = Random(f"{scenario.seed}/version")
    ends = {
        (host, tunnel): version
        for mate, (left, right) in _versions(scenario, ike, chance).items()
        for host, tunnel, version in ((*mate[:2], left), (*mate[2:], right))
    }
    words = {end: _Words(version, chance) for end, version in ends.items()}
    for mate in scenario.mates:
        left, right = words[mate[:2]], words[mate[2:]]
        if ike is V1 and chance.random() < AGGRESSIVE_SHARE:
            left.aggressive = right.aggressive = True

    def told(host: str, configuration: Configuration) -> Configuration:
        connections = configuration.connections
        return Configuration(tuple(words[host, c.name].put_into(c) for c in connections))

    return replace(
        scenario,
        hosts=tuple(
            replace(h, configuration=told(h.name, h.configuration)) for h in scenario.hosts
        ),
        incidents=tuple(_told(incident, told) for incident in scenario.incidents),
    )


def _told(incident: Incident, told: Callable[[str, Configuration], Configuration]) -> Incident:
    match incident:
        case Ordered(_, host, Configure(configuration)):
            return replace(incident, command=Configure(told(host, configuration)))
        case _:
            return incident


def _versions(
    scenario: Scenario, ike: IkeVersion, chance: Random
) -> dict[tuple[str, str, str, str], tuple[IkeVersion, IkeVersion]]:
    """What the hub and the spoke of each tunnel speak."""
    if ike is V1:
        return dict.fromkeys(scenario.mates, (V1, V1))
    configured = {
        (host.name, connection.name): connection
        for host in scenario.hosts
        for connection in host.configuration.connections
    }
    found = {}
    for mate in scenario.mates:
        pairs = [(AUTO, V1), (AUTO, V1), (AUTO, V2), (V2, AUTO), (AUTO, AUTO)]
        if _always_begins(configured[mate[0], mate[1]]):
            # An end that answers either begins in IKEv2: towards one that speaks IKEv1 alone
            # nothing stands before that one begins.
            pairs += [(V1, AUTO), (V1, AUTO)]
        found[mate] = chance.choice(pairs)
    return found


def _always_begins(connection: Connection) -> bool:
    starts = {rule.start for rule in connection.rules}
    return connection.peer is not None and starts == {Start.ALWAYS}


class _Words:
    """The proposals of one end, the same in whatever configuration it is given."""

    def __init__(self, version: IkeVersion, chance: Random) -> None:
        self._version = version
        self.aggressive = False
        self._phase1 = chance.choice(PHASE1_WORDS)
        self._plain = chance.choice(PLAIN_WORDS)
        self._pfs = chance.choice(PFS_WORDS)

    def put_into(self, connection: Connection) -> Connection:
        """The tunnel in its version. One that speaks both has the proposals of both."""
        if self._version is V2:
            return connection
        before = connection.phase1_proposals if self._version is AUTO else ()
        # Aggressive Mode has one group to offer, that of the first suite (RFC 2409 §5).
        words = PHASE1_WORDS[0] if self.aggressive else self._phase1
        phase1 = tuple(parse_proposal(word, SecurityProtocol.IKE) for word in words)
        return replace(
            connection,
            ike=self._version,
            v1=V1Terms(aggressive=self.aggressive),
            phase1_proposals=(*before, *phase1),
            rules=tuple(self._put_into_rule(rule) for rule in connection.rules),
        )

    def _put_into_rule(self, rule: ChildPolicy) -> ChildPolicy:
        before = rule.proposals if self._version is AUTO else ()
        has_pfs = any(p.of_kind(TransformType.KE) for p in rule.proposals)
        words = self._pfs if has_pfs else self._plain
        phase2 = tuple(parse_proposal(word, SecurityProtocol.ESP) for word in words)
        # Nine messages, and in pieces, instead of four: a first packet waits for longer.
        hold = replace(rule.hold, age_max_s=HOLD_S)
        return replace(rule, proposals=(*before, *phase2), hold=hold)
