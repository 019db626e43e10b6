"""Making Child SAs: what is offered, answered and installed (RFC 7296 §1.2, §1.3)."""

from isthmus.ike.core import pairs
from isthmus.ike.core.child import ChildSa
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import ExpectSa
from isthmus.ike.core.pairs import PairKeys
from isthmus.ike.core.telling import tell_chosen
from isthmus.ike.v2.keys import child_keys
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import ChildOffer
from isthmus.policy.connection import ChildPolicy
from isthmus.policy.negotiate import Narrowed, accepts, answer_fits, choose, difference, narrow
from isthmus.values.errors import Malformed, NoAgreement
from isthmus.values.proposal import ChosenProposal, Proposal, Suite, proposals_text, suite_from
from isthmus.values.registry.ikev2 import (
    NotifyType,
    PayloadType,
    TransformType,
    label,
)
from isthmus.values.secret import Secret
from isthmus.values.selector import Selectors, TrafficSelector, selectors_text
from isthmus.values.spi import ESP_SPI_SIZE, FIRST_SPI, Spi, spi_from, spi_octets, spi_text
from isthmus.values.time import Instant
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors


def make_offer(ctx: Context, rule: ChildPolicy, trigger: str, *, pfs: bool) -> ChildOffer:
    """Our side of a new Child SA. `pfs`: key exchange methods are offered too."""
    proposals = rule.proposals if pfs else without_ke(rule.proposals)
    spi = ctx.registry.fresh_spi()
    ctx.emit(ExpectSa(spi))
    return ChildOffer(rule.name, spi, proposals, rule.seen_local, rule.remote, trigger, ctx.now)


def without_ke(proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    """The same proposals without key exchange methods; what became equal is said once."""
    kept: list[Proposal] = []
    for proposal in proposals:
        plain = proposal.without_kind(TransformType.KE)
        if plain not in kept:
            kept.append(plain)
    return tuple(kept)


def offer_payloads(offer: ChildOffer) -> tuple[Payload, ...]:
    """SA, TSi, TSr of the side that asks."""
    numbered = tuple(
        p.with_spi(spi_octets(offer.spi), n) for n, p in enumerate(offer.proposals, start=1)
    )
    return (
        SecurityAssociation(numbered),
        TrafficSelectors(PayloadType.TS_I, offer.local),
        TrafficSelectors(PayloadType.TS_R, offer.remote),
    )


class Accepted:
    """What the responder's answer to our offer came to."""

    __slots__ = ("local", "remote", "spi_out", "suite")

    def __init__(self, suite: Suite, spi_out: Spi, local: Selectors, remote: Selectors) -> None:
        self.suite = suite
        self.spi_out = spi_out
        self.local = local
        self.remote = remote


def read_answer(offer: ChildOffer, payloads: tuple[Payload, ...], *, pfs: bool) -> Accepted:
    """Check an answer against our offer. Raises NoAgreement when it steps outside."""
    answer = next((p for p in payloads if isinstance(p, SecurityAssociation)), None)
    if answer is None or len(answer.proposals) != 1:
        raise Malformed("a Child SA is answered with exactly one proposal")
    chosen = answer.proposals[0]
    if len(chosen.spi) != ESP_SPI_SIZE or not accepts(offer.proposals, chosen, ke_wanted=pfs):
        raise NoAgreement(
            "the peer chose a phase 2 proposal that we did not offer",
            notify=NotifyType.NO_PROPOSAL_CHOSEN,
            code="E201",
        )
    spi_out = valid_spi(chosen.spi)
    local = selectors_of(payloads, PayloadType.TS_I)
    remote = selectors_of(payloads, PayloadType.TS_R)
    if not answer_fits(offer.local, local) or not answer_fits(offer.remote, remote):
        raise NoAgreement(
            f"the peer answered with selectors outside our offer: {selectors_text(local)} to "
            f"{selectors_text(remote)}",
            notify=NotifyType.TS_UNACCEPTABLE,
            code="E203",
        )
    return Accepted(suite_from(chosen), spi_out, local, remote)


def valid_spi(octets: bytes) -> Spi:
    """A peer's ESP SPI. Raises Malformed for the reserved ones (RFC 4303 §2.1)."""
    spi = spi_from(octets)
    if spi < FIRST_SPI:
        raise Malformed(f"ESP SPI {spi} is reserved")
    return spi


def refuse_taken(ctx: Context, spi: Spi) -> None:
    """Raises NoAgreement for a peer's SPI that an outbound SA of ours has already.

    Two honest peers choose the same one every 2^32 times, and the next try helps. A hostile one
    could otherwise have another tunnel's SA updated or removed: the plane knows SAs by SPI.
    """
    if ctx.registry.peer_spi_is_taken(spi):
        raise NoAgreement(
            f"the peer's SPI {spi_text(spi)} is in use already",
            notify=NotifyType.TEMPORARY_FAILURE,
            code="E208",
        )


def selectors_of(payloads: tuple[Payload, ...], role: PayloadType) -> Selectors:
    """The selectors of a TSi or TSr payload that we can use; unknown types are passed over."""
    for payload in payloads:
        if isinstance(payload, TrafficSelectors) and payload.role == role:
            return tuple(s for s in payload.selectors if isinstance(s, TrafficSelector))
    raise Malformed(f"no {role.name} payload")


class Choice:
    """What we answer to a peer's wish for a Child SA."""

    __slots__ = ("chosen", "narrowed", "spi_out")

    def __init__(self, chosen: ChosenProposal, narrowed: Narrowed, spi_out: Spi) -> None:
        self.chosen = chosen
        self.narrowed = narrowed
        self.spi_out = spi_out


def decide(rules: tuple[ChildPolicy, ...], payloads: tuple[Payload, ...], *, pfs: bool) -> Choice:
    """The rule, proposal and selectors that answer a peer's wish.

    Raises NoAgreement with the notify that says why not: TS_UNACCEPTABLE or NO_PROPOSAL_CHOSEN.
    """
    offer = next((p for p in payloads if isinstance(p, SecurityAssociation)), None)
    if offer is None:
        raise Malformed("no SA payload")
    # What the peer calls i is its own side.
    peers_side = selectors_of(payloads, PayloadType.TS_I)
    our_side = selectors_of(payloads, PayloadType.TS_R)
    fitting = narrow(rules, our_side, peers_side)
    if not fitting:
        ours = "; ".join(
            f"{r.name}: {selectors_text(r.seen_local)} to {selectors_text(r.remote)}" for r in rules
        )
        raise NoAgreement(
            f"the peer wants {selectors_text(our_side)} to {selectors_text(peers_side)}; "
            f"we have {ours}",
            notify=NotifyType.TS_UNACCEPTABLE,
            code="E203",
        )
    for narrowed in fitting:
        proposals = narrowed.rule.proposals
        chosen = choose(proposals if pfs else without_ke(proposals), offer.proposals, ke_wanted=pfs)
        if chosen is not None:
            if len(chosen.proposal.spi) != ESP_SPI_SIZE:
                raise Malformed("an ESP proposal has an SPI of four octets")
            return Choice(chosen, narrowed, valid_spi(chosen.proposal.spi))
    wanted = fitting[0].rule.proposals if pfs else without_ke(fitting[0].rule.proposals)
    raise NoAgreement(
        f"phase 2 of rule {fitting[0].rule.name}: {difference(wanted, offer.proposals)}",
        notify=NotifyType.NO_PROPOSAL_CHOSEN,
        code="E201",
    )


def answer_payloads(choice: Choice, spi_in: Spi) -> tuple[Payload, ...]:
    """SA, TSi, TSr of the side that answers."""
    proposal = choice.chosen.proposal.with_spi(spi_octets(spi_in), choice.chosen.proposal.number)
    return (
        SecurityAssociation((proposal,)),
        TrafficSelectors(PayloadType.TS_I, choice.narrowed.remote),
        TrafficSelectors(PayloadType.TS_R, choice.narrowed.local),
    )


def note_choice(ctx: Context, sa: SaV2, choice: Choice) -> None:
    """Record what was chosen of the peer's proposals, and why."""
    rule, chosen = choice.narrowed.rule, choice.chosen
    tell_chosen(ctx, sa.connection.name, rule.name, 2, chosen.suite, chosen.why)


def install(
    ctx: Context,
    sa: SaV2,
    rule: ChildPolicy,
    *,
    suite: Suite,
    spi_in: Spi,
    spi_out: Spi,
    local: Selectors,
    remote: Selectors,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None,
    initiated: bool,
    asked_at: Instant,
    predecessor: ChildSa | None = None,
    only_listens: bool = False,
) -> ChildSa:
    """Derive keys and hand both directions to the data plane (`pairs.install`)."""
    assert sa.suite is not None and sa.suite.prf is not None and sa.keys is not None
    keys = child_keys(suite, sa.suite.prf, sa.keys.sk_d, nonce_i, nonce_r, shared)
    # The exchange's initiator seals with the "i" keys.
    own = (keys.encryption_i, keys.integrity_i)
    peers = (keys.encryption_r, keys.integrity_r)
    sealing, opening = (own, peers) if initiated else (peers, own)
    return pairs.install(
        ctx,
        sa,
        rule,
        PairKeys(*opening, *sealing),
        suite=suite,
        spi_in=spi_in,
        spi_out=spi_out,
        local=local,
        remote=remote,
        initiated=initiated,
        asked_at=asked_at,
        predecessor=predecessor,
        only_listens=only_listens,
    )


def install_choice(
    ctx: Context,
    sa: SaV2,
    choice: Choice,
    *,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret | None,
    asked_at: Instant,
    predecessor: ChildSa | None = None,
) -> ChildSa:
    """Responder: `install` what was chosen of the peer's wish, under a fresh SPI."""
    return install(
        ctx,
        sa,
        choice.narrowed.rule,
        suite=choice.chosen.suite,
        spi_in=ctx.registry.fresh_spi(),
        spi_out=choice.spi_out,
        local=choice.narrowed.local,
        remote=choice.narrowed.remote,
        nonce_i=nonce_i,
        nonce_r=nonce_r,
        shared=shared,
        initiated=False,
        asked_at=asked_at,
        predecessor=predecessor,
    )


def held_down(rule: ChildPolicy) -> Failed:
    """Why a peer's wish for a rule that the user has closed comes to nothing."""
    return Failed("E210", f"the peer wants rule {rule.name}, which is held down here", "", False)


def failure_of(notify: Notify, offer: ChildOffer) -> Failed:
    """The finding that a refused Child SA comes to."""
    name = label(NotifyType, notify.kind)
    match notify.kind:
        case NotifyType.NO_PROPOSAL_CHOSEN:
            return Failed(
                "E201",
                f"the peer refused phase 2 with {name}; we offered "
                f"{proposals_text(offer.proposals)}",
                "make one phase 2 proposal the same on both sides (PFS group included)",
            )
        case NotifyType.TS_UNACCEPTABLE:
            return Failed(
                "E203",
                f"the peer refused phase 2 with {name}; we asked for "
                f"{selectors_text(offer.local)} to {selectors_text(offer.remote)}",
                "the rule's networks must mirror the peer's",
            )
        case NotifyType.SINGLE_PAIR_REQUIRED:
            return Failed(
                "E205",
                f"the peer refused phase 2 with {name}",
                "set one_pair = true in the rule: one phase 2 for each pair of networks",
            )
        case NotifyType.TEMPORARY_FAILURE | NotifyType.NO_ADDITIONAL_SAS:
            return Failed("E208", f"the peer asks to try phase 2 again later ({name})", "", False)
        case _:
            return Failed("E209", f"the peer refused phase 2 with {name}")
