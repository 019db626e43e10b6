"""Which keys each section has: the one list that reading, errors, explanations and docs share."""

from enum import StrEnum
from typing import TypeVar

from isthmus.config import fields, mapping, network_fields, proof_fields, proof_schema, v1_schema
from isthmus.config.fields import Cell, Limit, Span
from isthmus.config.key import Key
from isthmus.config.mapping import PlacedMap
from isthmus.config.network_fields import (
    Peer,
    PlacedNetwork,
    PlacedProposal,
    PlacedRoute,
    Ports,
)
from isthmus.config.syntax import Node
from isthmus.policy.connection import DpdAction, IkeVersion, Mode, Nat, Prefer, Start
from isthmus.values.identity import Identity, IdentityPattern
from isthmus.values.registry.ikev2 import SecurityProtocol

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

DAY_S = 86_400.0
LIFETIME_MIN_S = 10.0
LIFETIME_MAX_S = 30 * DAY_S
MTU_RANGE = (576, 9000)
FRAGMENT_SIZES = (576, 9000)
REPLAY_WINDOW_DEFAULT = 1024
REPLAY_WINDOWS = (64, 128, 256, 512, 1024, 2048, 4096)
NAME_MAX = 64


class Df(StrEnum):
    """DF of the outer IPv4 header (RFC 4301 §8.1)."""

    COPY = "copy"
    SET = "set"
    CLEAR = "clear"


class OnNoSa(StrEnum):
    """What becomes of a packet whose rule has no SA."""

    HOLD = "hold"


def _replay_window(cell: Cell) -> int:
    value = fields.integer(0, 1 << 31, 1024)(cell)
    if value not in REPLAY_WINDOWS:
        raise cell.refuse(
            f"is {value}, which is no size of a window",
            f"it is one of {', '.join(map(str, REPLAY_WINDOWS))}"
            + ("; without a window anyone can repeat packets" if value == 0 else ""),
            "write replay_window = 1024",
        )
    return value


def _ike(cell: Cell) -> IkeVersion:
    value = cell.node.value
    if isinstance(value, int | str) and not isinstance(value, bool):
        found = _IKE_WORDS.get(str(value).lower())
        if found is not None:
            return found
    raise cell.wrong_type('1, 2 or "auto"', "2")


_IKE_WORDS = {
    **{version.value: version for version in IkeVersion},
    "ikev1": IkeVersion.V1,
    "ikev2": IkeVersion.V2,
}
_START_WORDS = {
    "trap": Start.TRAFFIC,
    "route": Start.TRAFFIC,
    "ondemand": Start.TRAFFIC,
    "on-demand": Start.TRAFFIC,
    "start": Start.ALWAYS,
    "auto": Start.ALWAYS,
    "add": Start.LISTEN,
    "none": Start.LISTEN,
    "passive": Start.LISTEN,
}
_DPD_WORDS = {
    "clear": DpdAction.REARM,
    "trap": DpdAction.REARM,
    "hold": DpdAction.REARM,
    "restart": DpdAction.RECONNECT,
    "none": DpdAction.NOTHING,
    "off": DpdAction.NOTHING,
}
_MODE_WORDS = {"tunnel": Mode.POLICY, "vti": Mode.ROUTE, "xfrm": Mode.ROUTE, "routed": Mode.ROUTE}
_NAT_WORDS = {"yes": Nat.FORCE, "on": Nat.FORCE, "always": Nat.FORCE, "no": Nat.OFF}
_NET = "list of networks"
_LIFETIME = fields.duration(LIFETIME_MIN_S, LIFETIME_MAX_S, "1h")
_IDLE = fields.duration_or_never(1.0, 30 * DAY_S, "10m")
_START = fields.choice(Start, _START_WORDS)
_ESP_PROPOSALS = network_fields.proposals(SecurityProtocol.ESP)
_OCTETS = fields.size_or_never(1 << 20, "1G")
_PACKETS = fields.integer(1000, 1 << 62, 1_000_000_000)

# [tunnel.NAME]
PEER: Key[Peer] = Key(
    "peer",
    network_fields.peer,
    "address or name",
    "(required)",
    "The peer's address, or its name, which is looked up anew for each attempt; `remote_id` must be"
    ' set then. `"any"`: wherever it comes from; then `start` is `"listen"`.',
)
PEER_PORT: Key[int] = Key(
    "peer_port", fields.integer(1, 65535, 500), "port", "500", "UDP port that phase 1 is sent to."
)
LOCAL_ADDRESS = Key(
    "local_address",
    network_fields.local_address,
    "address",
    "(the kernel chooses)",
    "Our address towards the peer.",
)
MODE: Key[Mode] = Key(
    "mode",
    fields.choice(Mode, _MODE_WORDS),
    "word",
    "(`policy` if it has rules, else `route`)",
    'What makes traffic interesting: `"policy"` (rules) or `"route"` (the routing table).',
)
INSIDE = Key(
    "inside",
    network_fields.inside_addresses,
    "list of addresses",
    "[]",
    "Our addresses, with prefix length, on the tunnel interface. Route mode.",
)
ROUTES: Key[tuple[PlacedRoute, ...]] = Key(
    "routes",
    network_fields.routes,
    _NET,
    "[]",
    "Networks behind the peer, put into the routing table; `{ to = NETWORK, metric = N }` says a"
    " metric other than 100. Tunnels that share a route and its metric share its traffic. While the"
    " interface has no carrier, routes over it are not used. Route mode.",
)
PROTECT: Key[tuple[PlacedNetwork, ...]] = Key(
    "protect",
    network_fields.networks_or_none,
    _NET,
    "[]",
    "Networks that are never reached in clear, for those that a routing daemon announces: they are"
    " unreachable while no route leads into a tunnel, as those of `routes` always are. Route mode.",
)
MTU: Key[int] = Key(
    "mtu",
    fields.integer(*MTU_RANGE, 1400),
    "octets",
    "(computed from the suite)",
    "MTU of the tunnel interface. Route mode.",
)
START: Key[Start] = Key(
    "start",
    _START,
    "word",
    '"traffic"',
    'When phase 2 is negotiated: `"traffic"` (the first packet), `"always"`,'
    ' `"listen"` (the peer must).',
)
LOCAL_ID = Key(
    "local_id",
    proof_fields.own_identity,
    "identity",
    "(the certificate's first name, else the local address)",
    "Who we say we are: `ip:`, `fqdn:`, `email:`, `dn:` or `keyid:`.",
)
REMOTE_ID: Key[Identity | IdentityPattern] = Key(
    "remote_id",
    proof_fields.remote_identity,
    "identity",
    "(the peer's address)",
    'Who the peer must prove to be; `{ match = "fqdn:*.example.net" }` for any of many.',
)
SUITE: Key[str] = Key(
    "suite",
    network_fields.suite,
    "word",
    '"modern"',
    "Named set of algorithms for both phases; see *Suites*.",
)
PROPOSALS: Key[tuple[PlacedProposal, ...]] = Key(
    "proposals",
    _ESP_PROPOSALS,
    "list of proposals",
    "(from the suite)",
    "Phase 2 algorithms, best first; the last part is the PFS group.",
)
LIFETIME: Key[float] = Key(
    "lifetime", _LIFETIME, "duration", '"1h"', "How long a phase 2 lasts before new keys are made."
)
LIFETIME_OCTETS: Key[Limit] = Key(
    "lifetime_octets", _OCTETS, "size", '"never"', "New phase 2 keys after so many octets."
)
LIFETIME_PACKETS: Key[int] = Key(
    "lifetime_packets", _PACKETS, "number", "(no limit)", "New phase 2 keys after so many packets."
)
IDLE: Key[Span] = Key(
    "idle",
    _IDLE,
    "duration",
    '"never"',
    "Close phase 2 after this much silence; phase 1 stays and the next packet opens it again.",
)
PHASE1_IDLE: Key[Span] = Key(
    "phase1_idle",
    _IDLE,
    "duration",
    '"never"',
    "Close phase 1 when it has carried no phase 2 for this long.",
)
DPD: Key[Node] = Key(
    "dpd", fields.table, "table", "(see below)", "How a dead peer is found, and what follows."
)
NAT: Key[Nat] = Key(
    "nat",
    fields.choice(Nat, _NAT_WORDS),
    "word",
    '"auto"',
    'ESP inside UDP: `"auto"` (when a NAT is seen, and between two Isthmus, which are faster that '
    'way), `"needed"` (only when a NAT is seen), `"force"`, `"off"`.',
)
KEEPALIVE: Key[float] = Key(
    "keepalive",
    fields.duration(1, 300, "20s"),
    "duration",
    '"20s"',
    "Behind a NAT: how often its mapping is kept alive; less than it forgets after.",
)
REPLAY_WINDOW: Key[int] = Key(
    "replay_window",
    _replay_window,
    "packets",
    str(REPLAY_WINDOW_DEFAULT),
    "How late a packet may come: 64, 128, 256, 512, 1024, 2048 or 4096 behind the newest.",
)
IKE: Key[IkeVersion] = Key(
    "ike",
    _ike,
    "1, 2 or word",
    "2",
    'Version of IKE: `1`, `2`, or `"auto"` (starts IKEv2 and answers either); see *IKEv1*.',
)
ALLOW_WEAK: Key[bool] = Key(
    "allow_weak",
    fields.boolean,
    "true/false",
    "false",
    "Accept weak algorithms and a short secret; they are named in a warning each time.",
)
CLAMP_MSS: Key[bool] = Key(
    "clamp_mss", fields.boolean, "true/false", "true", "Lower the MSS of TCP through the tunnel."
)
DF: Key[Df] = Key(
    "df",
    fields.choice(Df, {}),
    "word",
    '"copy"',
    'DF of the outer IPv4 header: `"copy"` from the packet, `"set"`, `"clear"`.',
)
CLEAR_DF: Key[bool] = Key(
    "clear_df", fields.boolean, "true/false", "false", 'The same as `df = "clear"`, as AWS says it.'
)
ON_NO_SA: Key[OnNoSa] = Key(
    "on_no_sa",
    fields.choice(OnNoSa, {}),
    "word",
    '"hold"',
    "A packet whose rule has no phase 2 yet is held (bounded), never sent in clear.",
)
ONE_PAIR: Key[bool] = Key(
    "one_pair",
    fields.boolean,
    "true/false",
    "(`false`, or `true` where IKEv1 may be spoken)",
    "One phase 2 for each pair of networks, for peers that take a single pair. Policy mode.",
)
MAP_LOCAL: Key[tuple[PlacedMap, ...]] = Key(
    "map_local",
    mapping.map_local,
    "table of networks",
    "(none)",
    "Networks on this side and how the peer sees them, for sites whose addresses overlap (1:1 NAT):"
    ' `{ "10.9.0.0/24" = "172.31.9.0/24" }`. Hosts keep their place in the network; what is'
    " negotiated and sent has the peer's view.",
)
PHASE1: Key[Node] = Key(
    "phase1", fields.table, "table", "(see below)", "Settings of phase 1 (IKE SA)."
)
RULE: Key[Node] = Key(
    "rule", fields.table, "tables", "(none)", "Rules by name: `[tunnel.NAME.rule.RULE]`."
)

TUNNEL_KEYS: tuple[Key[object], ...] = (
    PEER,
    *proof_schema.TUNNEL_KEYS,
    IKE,
    MODE,
    INSIDE,
    ROUTES,
    PROTECT,
    MTU,
    START,
    IDLE,
    PHASE1_IDLE,
    LOCAL_ADDRESS,
    PEER_PORT,
    LOCAL_ID,
    REMOTE_ID,
    SUITE,
    PROPOSALS,
    LIFETIME,
    LIFETIME_OCTETS,
    LIFETIME_PACKETS,
    DPD,
    NAT,
    KEEPALIVE,
    REPLAY_WINDOW,
    CLAMP_MSS,
    DF,
    CLEAR_DF,
    ON_NO_SA,
    ONE_PAIR,
    MAP_LOCAL,
    ALLOW_WEAK,
    PHASE1,
    *v1_schema.TUNNEL_KEYS,
    RULE,
)

# [tunnel.NAME.phase1]
PHASE1_SUITE: Key[str] = Key(
    "suite", network_fields.suite, "word", "(the tunnel's)", "Named set of algorithms for phase 1."
)
PHASE1_PROPOSALS: Key[tuple[PlacedProposal, ...]] = Key(
    "proposals",
    network_fields.proposals(SecurityProtocol.IKE),
    "list of proposals",
    "(from the suite)",
    "Phase 1 algorithms, best first.",
)
PHASE1_LIFETIME: Key[float] = Key(
    "lifetime", _LIFETIME, "duration", '"8h"', "How long phase 1 lasts before new keys are made."
)
FRAGMENTATION: Key[bool] = Key(
    "fragmentation",
    fields.boolean,
    "true/false",
    "true",
    "Send large messages in pieces, if the peer reads them too (RFC 7383).",
)
FRAGMENT_SIZE: Key[int] = Key(
    "fragment_size",
    fields.integer(*FRAGMENT_SIZES, FRAGMENT_SIZES[0]),
    "octets",
    "1280",
    "The largest IP datagram of phase 1, before a message is cut. Without an answer, smaller pieces"
    " are tried by themselves.",
)
PHASE1_KEYS: tuple[Key[object], ...] = (
    PHASE1_SUITE,
    PHASE1_PROPOSALS,
    PHASE1_LIFETIME,
    FRAGMENTATION,
    FRAGMENT_SIZE,
    *proof_schema.PHASE1_KEYS,
)

# [tunnel.NAME.dpd]
DPD_EVERY: Key[float] = Key(
    "every", fields.duration(1, 3600, "10s"), "duration", '"10s"', "Ask after so much silence."
)
DPD_TIMEOUT: Key[float] = Key(
    "timeout",
    fields.duration(1, 86_400, "40s"),
    "duration",
    '"40s"',
    "The peer is dead when it has not answered for so long.",
)
DPD_ACTION: Key[DpdAction] = Key(
    "action",
    fields.choice(DpdAction, _DPD_WORDS),
    "word",
    '"rearm"',
    'What follows: `"rearm"` (wait for traffic), `"reconnect"` (at once), `"nothing"`.',
)
DPD_KEYS: tuple[Key[object], ...] = (DPD_EVERY, DPD_TIMEOUT, DPD_ACTION)

# [tunnel.NAME.rule.RULE]
LOCAL: Key[tuple[PlacedNetwork, ...]] = Key(
    "local", network_fields.networks, _NET, "(required)", "Networks on this side."
)
REMOTE: Key[tuple[PlacedNetwork, ...]] = Key(
    "remote", network_fields.networks, _NET, "(required)", "Networks on the peer's side."
)
PROTOCOL: Key[int] = Key(
    "protocol",
    network_fields.protocol,
    "name or number",
    '"any"',
    "IP protocol: `any`, `icmp`, `tcp`, `udp`, `gre`, `icmpv6`, `sctp` or its number.",
)
LOCAL_PORTS: Key[tuple[Ports, ...]] = Key(
    "local_ports", network_fields.port_ranges, "list of ports", "(any)", "Ports on this side."
)
REMOTE_PORTS: Key[tuple[Ports, ...]] = Key(
    "remote_ports",
    network_fields.port_ranges,
    "list of ports",
    "(any)",
    "Ports on the peer's side.",
)


def _of_tunnel(key: Key[T]) -> Key[T]:
    """The same setting for one rule; the tunnel's value is its default."""
    return Key(key.name, key.read, key.kind, "(the tunnel's)", key.about)


RULE_START = _of_tunnel(START)
RULE_IDLE = _of_tunnel(IDLE)
RULE_SUITE = Key(
    "suite", SUITE.read, SUITE.kind, "(the tunnel's)", "Named set of algorithms for this rule."
)
RULE_PROPOSALS = _of_tunnel(PROPOSALS)
RULE_LIFETIME = _of_tunnel(LIFETIME)
RULE_LIFETIME_OCTETS = _of_tunnel(LIFETIME_OCTETS)
RULE_LIFETIME_PACKETS = _of_tunnel(LIFETIME_PACKETS)
RULE_REPLAY_WINDOW = _of_tunnel(REPLAY_WINDOW)
RULE_CLAMP_MSS = _of_tunnel(CLAMP_MSS)
RULE_DF = _of_tunnel(DF)
RULE_ON_NO_SA = _of_tunnel(ON_NO_SA)
RULE_ONE_PAIR = _of_tunnel(ONE_PAIR)
RULE_MAP_LOCAL = Key(
    MAP_LOCAL.name,
    MAP_LOCAL.read,
    "network or table",
    "(the tunnel's)",
    "How the peer sees our networks, as in the tunnel's table; one network alone stands for the"
    " only one in `local`.",
)
RULE_KEYS: tuple[Key[object], ...] = (
    LOCAL,
    REMOTE,
    PROTOCOL,
    LOCAL_PORTS,
    REMOTE_PORTS,
    RULE_START,
    RULE_IDLE,
    RULE_SUITE,
    RULE_PROPOSALS,
    RULE_LIFETIME,
    RULE_LIFETIME_OCTETS,
    RULE_LIFETIME_PACKETS,
    RULE_REPLAY_WINDOW,
    RULE_CLAMP_MSS,
    RULE_DF,
    RULE_ON_NO_SA,
    RULE_ONE_PAIR,
    RULE_MAP_LOCAL,
)

# [group.NAME]
GROUP_TUNNELS: Key[tuple[str, ...]] = Key(
    "tunnels",
    fields.names("a tunnel's name", '"aws-1", "aws-2"'),
    "list of names",
    "(required)",
    "Route-based tunnels to one site that stand in for each other, the best first. Packets are"
    " taken from each of them, whichever ours take.",
)
PREFER: Key[Prefer] = Key(
    "prefer",
    fields.choice(Prefer, {"priority": Prefer.ORDER, "failover": Prefer.ORDER}),
    "word",
    '"order"',
    'Which tunnel carries: `"order"` (the first that is up), `"ecmp"` (all that are up share the'
    ' flows), `"bgp"` (a routing daemon decides).',
)
ASYMMETRIC: Key[bool] = Key(
    "asymmetric",
    fields.only_true,
    "true/false",
    "true",
    "Replies may come back by another tunnel of the group; they always may.",
)
GROUP_ROUTES: Key[tuple[PlacedRoute, ...]] = Key(
    "routes", ROUTES.read, _NET, "[]", "Networks behind the site, routed through every tunnel."
)
GROUP_PROTECT: Key[tuple[PlacedNetwork, ...]] = Key(
    "protect",
    PROTECT.read,
    _NET,
    "[]",
    "Networks behind the site that are never reached in clear, whatever a routing daemon does.",
)
GROUP_KEYS: tuple[Key[object], ...] = (
    GROUP_TUNNELS,
    PREFER,
    ASYMMETRIC,
    GROUP_ROUTES,
    GROUP_PROTECT,
)

# [[bypass]] and [[discard]]
PLAIN_LOCAL: Key[tuple[PlacedNetwork, ...]] = Key(
    "local", network_fields.networks, _NET, "(any)", "Networks on this side."
)
PLAIN_REMOTE: Key[tuple[PlacedNetwork, ...]] = Key(
    "remote", network_fields.networks, _NET, "(any)", "Networks on the other side."
)
PLAIN_KEYS: tuple[Key[object], ...] = (
    PLAIN_LOCAL,
    PLAIN_REMOTE,
    PROTOCOL,
    LOCAL_PORTS,
    Key(
        REMOTE_PORTS.name, REMOTE_PORTS.read, REMOTE_PORTS.kind, "(any)", "Ports on the other side."
    ),
)

# [listen]
ADDRESSES = Key(
    "addresses",
    network_fields.addresses,
    "list of addresses",
    '["0.0.0.0", "::"]',
    "Addresses that UDP 500 and 4500 are opened on.",
)
LISTEN_KEYS: tuple[Key[object], ...] = (ADDRESSES,)

# [daemon]
FAIL_CLOSED: Key[bool] = Key(
    "fail_closed",
    fields.boolean,
    "true/false",
    "false",
    "What the tunnels protect stays unreachable when the daemon is stopped, until it runs again or"
    " `isthmusd --open` gives it free. Without it a clean stop lets all traffic go as if there were"
    " no daemon; a crash lets nothing out either way.",
)
DAEMON_KEYS: tuple[Key[object], ...] = (FAIL_CLOSED,)

# The file itself
TUNNEL: Key[Node] = Key(
    "tunnel", fields.table, "tables", "(none)", "Tunnels by name: `[tunnel.NAME]`."
)
GROUP: Key[Node] = Key(
    "group", fields.table, "tables", "(none)", "Groups of tunnels by name: `[group.NAME]`."
)
LISTEN: Key[Node] = Key("listen", fields.table, "table", "(see below)", "Where IKE is heard.")
DAEMON: Key[Node] = Key("daemon", fields.table, "table", "(see below)", "The daemon itself.")
BYPASS: Key[tuple[Node, ...]] = Key(
    "bypass", fields.tables, "tables", "(none)", "Traffic that leaves in clear: `[[bypass]]`."
)
DISCARD: Key[tuple[Node, ...]] = Key(
    "discard", fields.tables, "tables", "(none)", "Traffic that is dropped: `[[discard]]`."
)
FILE_KEYS: tuple[Key[object], ...] = (TUNNEL, GROUP, LISTEN, BYPASS, DISCARD, DAEMON)

SECTIONS: tuple[tuple[str, tuple[Key[object], ...]], ...] = (
    ("listen", LISTEN_KEYS),
    ("daemon", DAEMON_KEYS),
    ("tunnel.NAME", TUNNEL_KEYS),
    ("tunnel.NAME.phase1", PHASE1_KEYS),
    ("tunnel.NAME.dpd", DPD_KEYS),
    ("tunnel.NAME.rule.RULE", RULE_KEYS),
    ("tunnel.NAME.xauth", v1_schema.XAUTH_KEYS),
    ("tunnel.NAME.mode_config", v1_schema.MODE_CONFIG_KEYS),
    ("group.NAME", GROUP_KEYS),
    ("[bypass]", PLAIN_KEYS),
    ("[discard]", PLAIN_KEYS),
)
"""Every section that has settings of its own, for the reference."""
