"""Engine words to plane words and back: pure, no I/O."""

import msgspec

from isthmus.backends.specs import (
    DfRule,
    Direction,
    EndpointSpec,
    LimitsSpec,
    NetworkMapSpec,
    PolicySpec,
    RangeSpec,
    SaSpec,
    SaState,
    SelectorsSpec,
)
from isthmus.ike.core.effects import InstallSa
from isthmus.policy.connection import ChildPolicy, Lifetimes, PlainRule, Start
from isthmus.values.address import Endpoint
from isthmus.values.selector import Selectors

SOFT_PARTS, SOFT_OF = 9, 10
"""A soft limit is nine tenths of the hard one: rekeying then has the last tenth for itself."""


class Tag(msgspec.Struct, frozen=True):
    """What a plane keeps beside an SA, so that a restarted IKE process knows whose it is."""

    tunnel: str
    rule: str
    inbound: bool


def read_tag(state: SaState) -> Tag | None:
    """The tag of an SA; None when it is not one of ours."""
    try:
        return msgspec.json.decode(state.tag, type=Tag)
    except msgspec.MsgspecError:
        return None


def policy_name(tunnel: str, rule: str) -> str:
    """How a rule is called in the plane."""
    return f"{tunnel}/{rule}"


def direction(inbound: bool) -> Direction:
    """The plane's word."""
    return "in" if inbound else "out"


def endpoint_spec(endpoint: Endpoint) -> EndpointSpec:
    """The plane's shape of an endpoint."""
    return EndpointSpec(endpoint.address, endpoint.port)


def endpoint_from(spec: EndpointSpec) -> Endpoint:
    """The engine's shape of an endpoint."""
    return Endpoint(spec.address, spec.port)


def range_specs(selectors: Selectors) -> tuple[RangeSpec, ...]:
    """The plane's shape of one side's selectors."""
    return tuple(
        RangeSpec(str(s.start), str(s.end), s.protocol, s.port_start, s.port_end) for s in selectors
    )


def limits_spec(lifetimes: Lifetimes) -> LimitsSpec:
    """Soft and hard limits of an SA in octets and packets."""
    octets, packets = lifetimes.octets_max, lifetimes.packets_max
    return LimitsSpec(
        soft_octets=None if octets is None else octets * SOFT_PARTS // SOFT_OF,
        hard_octets=octets,
        soft_packets=None if packets is None else packets * SOFT_PARTS // SOFT_OF,
        hard_packets=packets,
    )


def sa_spec(sa: InstallSa, policy: int, count_as: int = 0) -> SaSpec:
    """What the plane installs, keys and all. `count_as`: the number under which its counts outlive
    the plane; 0: they do not."""
    return SaSpec(
        direction=direction(sa.inbound),
        spi=sa.spi,
        policy=policy,
        name=policy_name(sa.tunnel, sa.rule),
        encr=sa.suite.encr,
        key_bits=sa.suite.key_bits,
        integ=sa.suite.integ,
        encr_key=sa.encryption_key.reveal(),
        integ_key=sa.integrity_key.reveal(),
        esn=sa.suite.esn,
        replay_window=sa.replay_window,
        local=endpoint_spec(sa.local),
        remote=endpoint_spec(sa.remote),
        encap=sa.encap,
        selectors=SelectorsSpec(range_specs(sa.local_selectors), range_specs(sa.remote_selectors)),
        limits=limits_spec(sa.lifetimes),
        df=_df(sa.df),
        standby=sa.standby,
        tag=msgspec.json.encode(Tag(sa.tunnel, sa.rule, sa.inbound)),
        count_as=count_as,
    )


def policy_spec(number: int, tunnel: str, rule: ChildPolicy, interface: int) -> PolicySpec:
    """The SPD entry of a rule before the engine says how it treats packets without an SA."""
    return PolicySpec(
        id=number,
        name=policy_name(tunnel, rule.name),
        interface=interface,
        action="protect",
        selectors=SelectorsSpec(range_specs(rule.local), range_specs(rule.remote)),
        hold_packets_max=rule.hold.packets_max,
        hold_octets_max=rule.hold.octets_max,
        hold_age_ms=round(rule.hold.age_max_s * 1000),
        on_no_sa="hold_quiet" if rule.start is Start.LISTEN else "hold",
        clamp_mss=rule.clamp_mss,
        idle_ms=None if rule.idle_s is None else round(rule.idle_s * 1000),
        map=tuple(
            NetworkMapSpec(
                str(m.real.network_address), str(m.mapped.network_address), m.real.prefixlen
            )
            for m in rule.map_local
        ),
    )


def plain_spec(number: int, rule: PlainRule, interface: int) -> PolicySpec:
    """The SPD entry of what leaves in clear or is dropped."""
    return PolicySpec(
        id=number,
        name=rule.name,
        interface=interface,
        action=rule.processing.value,
        selectors=SelectorsSpec(range_specs(rule.local), range_specs(rule.remote)),
    )


def _df(rule: str) -> DfRule:
    match rule:
        case "copy" | "set" | "clear":
            return rule
        case _:
            raise ValueError(f"{rule!r} is no rule for the DF bit")
