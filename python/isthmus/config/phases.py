"""What a tunnel says about its two phases: lifetimes, algorithms, dead peer detection."""

from isthmus.config import schema
from isthmus.config.errors import Report
from isthmus.config.rules import (
    RuleDefaults,
    Weakness,
    chosen_proposals,
    lifetimes,
    suite_proposals,
)
from isthmus.config.schema import Df
from isthmus.config.section import Section
from isthmus.config.suites import DEFAULT_SUITE
from isthmus.policy.connection import (
    PHASE1_LIFETIMES,
    PHASE2_LIFETIMES,
    Fragmentation,
    Lifetimes,
    Liveness,
    Start,
)
from isthmus.values.proposal import Proposal
from isthmus.values.registry.ikev2 import SecurityProtocol


def rule_defaults(
    section: Section, weakness: Weakness, start: Start, report: Report
) -> RuleDefaults:
    """What the tunnel's own table says for all of its rules."""
    keys = (schema.PROPOSALS, schema.SUITE)
    proposals = chosen_proposals(section, keys, SecurityProtocol.ESP, weakness)
    idle = section.get(schema.IDLE)
    window = section.get(schema.REPLAY_WINDOW)
    clamp = section.get(schema.CLAMP_MSS)
    df, clear_df = section.get(schema.DF), section.get(schema.CLEAR_DF)
    if df is not None and clear_df is not None and clear_df.value != (df.value is Df.CLEAR):
        report.error(
            clear_df.key_at,
            f"df and clear_df in {section.title} say different things",
            "both decide over DF of the outer header",
            "take clear_df out",
        )
    chosen_df = df.value if df else Df.CLEAR if clear_df and clear_df.value else Df.COPY
    maps = section.get(schema.MAP_LOCAL)
    life = lifetimes(
        PHASE2_LIFETIMES,
        section.get(schema.LIFETIME),
        section.get(schema.LIFETIME_OCTETS),
        section.get(schema.LIFETIME_PACKETS),
    )
    return RuleDefaults(
        start=start,
        idle_s=idle.value.seconds if idle else None,
        proposals=proposals or suite_proposals(DEFAULT_SUITE, SecurityProtocol.ESP),
        lifetimes=life,
        replay_window=window.value if window else schema.REPLAY_WINDOW_DEFAULT,
        clamp_mss=clamp.value if clamp else True,
        df=chosen_df.value,
        map_local=maps.value if maps else (),
    )


def phase1(
    section: Section, weakness: Weakness, report: Report
) -> tuple[tuple[Proposal, ...], Lifetimes]:
    """Proposals and lifetimes of phase 1; the tunnel's suite where its own table names none."""
    suite = section.get(schema.SUITE)
    default = suite_proposals(suite.value if suite else DEFAULT_SUITE, SecurityProtocol.IKE)
    own = section.inner(schema.PHASE1, schema.PHASE1_KEYS)
    if own is None:
        return default, PHASE1_LIFETIMES
    own.refuse_others()
    own.refuse_both(schema.PHASE1_SUITE, schema.PHASE1_PROPOSALS)
    keys = (schema.PHASE1_PROPOSALS, schema.PHASE1_SUITE)
    proposals = chosen_proposals(own, keys, SecurityProtocol.IKE, weakness)
    return proposals or default, lifetimes(PHASE1_LIFETIMES, own.get(schema.PHASE1_LIFETIME))


def fragmentation(section: Section, report: Report) -> Fragmentation:
    """How large messages of phase 1 may be before they are cut."""
    usual = Fragmentation()
    own = section.inner(schema.PHASE1, schema.PHASE1_KEYS)
    if own is None:
        return usual
    enabled, size = own.get(schema.FRAGMENTATION), own.get(schema.FRAGMENT_SIZE)
    if enabled is not None and not enabled.value and size is not None:
        report.error(
            size.key_at,
            f"fragment_size in {own.title} stands beside fragmentation = false",
            "nothing is cut then, whatever its size",
            "take one of the two out",
        )
    return Fragmentation(
        enabled=enabled.value if enabled else usual.enabled,
        size=size.value if size else usual.size,
    )


def liveness(section: Section, report: Report) -> Liveness:
    """Dead peer detection of a tunnel."""
    usual = Liveness()
    own = section.inner(schema.DPD, schema.DPD_KEYS)
    if own is None:
        return usual
    own.refuse_others()
    every, timeout = own.get(schema.DPD_EVERY), own.get(schema.DPD_TIMEOUT)
    action = own.get(schema.DPD_ACTION)
    every_s = every.value if every else usual.every_s
    # Someone who asks less often gets a longer patience too, unless they say otherwise.
    timeout_s = timeout.value if timeout else max(usual.timeout_s, 4 * every_s)
    if timeout is not None and timeout_s < every_s:
        report.error(
            timeout.at,
            f"timeout in {own.title} is shorter than every",
            "the peer would be declared dead before it was asked",
            "write a timeout of about four times every",
        )
    return Liveness(every_s, timeout_s, action.value if action else usual.action)
