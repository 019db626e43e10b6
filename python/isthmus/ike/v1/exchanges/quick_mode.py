"""Quick Mode (RFC 2409 §5.5), both roles. All of it is encrypted under phase 1.

initiator                                            responder
1  HASH(1), SA, Ni, [KE], IDci, IDcr           -->
2                                              <--   HASH(2), SA, Nr, [KE], IDci, IDcr
3  HASH(3)                                     -->
4                              if it set the commit bit: <--   HASH, N(CONNECTED)

Several may be under way over one phase 1, each under its message ID.
"""

from dataclasses import dataclass, replace

from isthmus.crypto.compare import same
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.effects import Agree, ExpectSa, MakeKey, MakeKeyAndAgree
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.payloads import every, first, must
from isthmus.ike.v1 import access, children, closing, nat, transport
from isthmus.ike.v1.authoctets import quick_hash_2, quick_hash_3
from isthmus.ike.v1.keys import phase2_iv
from isthmus.ike.v1.lifetimes import Lifetime, Phase, read_responder_lifetime, responder_lifetime
from isthmus.ike.v1.offers import (
    OfferedPhase2,
    answer_phase2,
    choose_offered,
    chosen_phase2,
    expressible_phase2,
    identification_of,
    phase2_group,
    phase2_payload,
    read_phase2,
    selector_of,
)
from isthmus.ike.v1.phase1 import prf_of
from isthmus.ike.v1.quick import Quick
from isthmus.ike.v1.sa import Exchange, SaV1
from isthmus.policy.connection import ChildPolicy
from isthmus.policy.negotiate import difference, narrow
from isthmus.policy.schedule import shorter
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement, PeerMisbehaved
from isthmus.values.proposal import Suite, proposals_text, suite_from
from isthmus.values.registry.ikev1 import ExchangeType, Flag, NotifyType, ProtocolId
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.registry.ikev2 import NotifyType as NotifyTypeV2
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector, selectors_text
from isthmus.values.spi import Spi, spi_from, spi_octets, spi_text
from isthmus.values.time import Seconds
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    Chain,
    Hash,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
)
from isthmus.wire.v1.rules import check

NONCE_SIZE = 32


@dataclass(frozen=True, slots=True)
class Came:
    """A message as it came, to us at `local` from `remote`."""

    header: Header
    octets: bytes
    local: Endpoint
    remote: Endpoint


# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, sa: SaV1, rule: ChildPolicy, replaces: ChildSa | None = None) -> None:
    """Ask for a pair, anew or in the place of one. Nothing if the same is asked for already."""
    narrowed = access.rule_of(sa, rule)
    if narrowed is None:
        failed = Failed("E203", f"rule {rule.name} does not hold the address that we were given")
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, failed)
        return
    rule = narrowed
    if any(e.quick is not None and _asks_for(e.quick, rule, replaces) for e in _under_way(sa)):
        return
    group = phase2_group(rule.proposals)
    exchange = transport.begin(ctx, sa, ExchangeType.QUICK_MODE)
    quick = exchange.quick = Quick(
        initiated=True,
        rule=rule,
        asked_at=ctx.now,
        spi_in=ctx.registry.fresh_spi(),
        nonce_i=ctx.entropy.octets(NONCE_SIZE),
        # The peer may have asked for a part of the rule: it would not take all of it now.
        local=(rule.seen_local if replaces is None else replaces.local)[0],
        remote=(rule.remote if replaces is None else replaces.remote)[0],
        group=group,
        replaces=replaces,
    )
    if replaces is not None and replaces.state is ChildState.INSTALLED:
        replaces.move(ChildState.REKEYING)
    ctx.emit(ExpectSa(quick.spi_in))
    ctx.record(
        "phase2.negotiating",
        f"phase 2 of rule {rule.name} is asked for",
        connection=sa.connection,
        rule=rule.name,
        facts=(("spi_in", spi_text(quick.spi_in)), ("renewal", replaces is not None)),
    )
    if group is KeMethod.NONE:
        _ask(ctx, sa, exchange, quick, b"")
        return

    def made(done: ComputeFinished) -> None:
        if not _waits(sa, exchange):
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                quick.private = private
                _ask(ctx, sa, exchange, quick, public)
            case _:
                failed = Failed("E113", f"no key pair could be made: {done.failure}")
                _failed(ctx, sa, exchange, failed)

    ctx.compute(MakeKey(group), made, sa)


def _asks_for(quick: Quick, rule: ChildPolicy, replaces: ChildSa | None) -> bool:
    return quick.initiated and quick.rule.name == rule.name and quick.replaces is replaces


def _under_way(sa: SaV1) -> tuple[Exchange, ...]:
    return tuple(e for e in sa.exchanges.values() if e.quick is not None)


def _waits(sa: SaV1, exchange: Exchange) -> bool:
    """A worker's answer for this Quick Mode is still of use."""
    return sa.is_open and sa.exchanges.get(exchange.message_id) is exchange


def _ask(ctx: Context, sa: SaV1, exchange: Exchange, quick: Quick, public: bytes) -> None:
    """1."""
    try:
        offer = phase2_payload(
            quick.rule.proposals,
            quick.spi_in,
            nat.encapsulation(sa.nat, sa.peer_can.nat_traversal),
            quick.rule.lifetimes,
            quick.group,
        )
        ids = (identification_of(quick.local), identification_of(quick.remote))
    except NoAgreement as nothing:
        _failed(ctx, sa, exchange, Failed(nothing.code, nothing.reason, nothing.hint))
        return
    except ValueError as unsayable:
        _failed(ctx, sa, exchange, Failed("E203", str(unsayable)))
        return
    quick.offer = offer
    quick.computing = False
    quick.sent_at = ctx.now
    keys: tuple[Payload, ...] = (KeyExchange(public),) if public else ()
    payloads = (offer, Nonce(quick.nonce_i), *keys, *ids)
    hashing = transport.hash_over(exchange.message_id)
    transport.send_hashed(ctx, sa, exchange, payloads, hashing, repeat=True)


def _reply_received(ctx: Context, sa: SaV1, exchange: Exchange, quick: Quick, came: Came) -> None:
    """2. Raises Dropped for what is not the peer's answer."""
    assert quick.offer is not None and quick.sent_at is not None
    chain, next_iv = transport.open_sealed(sa, came.header, came.octets, exchange.iv)
    transport.verify(sa, chain, _hash_2(exchange, quick))
    exchange.heard = digest(came.octets, came.remote)
    exchange.iv = next_iv
    transport.heard(ctx, sa, came.local, came.remote)
    transport.answered(ctx, sa, exchange)
    transport.tell_received(ctx, sa, came.header, chain, len(came.octets), is_response=True)
    try:
        check(came.header.exchange, "quick 2", chain.payloads)
        suite, spi_out, rule = _read_answer(ctx, quick, chain)
        public = first(chain.payloads, KeyExchange)
        if (public is not None) != (quick.group is not KeMethod.NONE):
            raise Malformed("a public value in the answer without one in the offer, or none")
    except Malformed as malformed:
        failed = Failed("E115", f"the peer's answer cannot be read: {malformed}")
        _failed(ctx, sa, exchange, failed)
        return
    except (NoAgreement, PeerMisbehaved) as nothing:
        _failed(ctx, sa, exchange, Failed(nothing.code, nothing.reason, nothing.hint))
        return
    quick.nonce_r = must(chain.payloads, Nonce).data
    quick.commits = bool(came.header.flags & Flag.COMMIT)
    answered_in_s = ctx.now - quick.sent_at
    if public is None:
        _confirm(ctx, sa, exchange, quick, rule, suite, spi_out, None, answered_in_s)
        return
    assert quick.private is not None
    quick.computing = True

    def agreed(done: ComputeFinished) -> None:
        if not _waits(sa, exchange):
            return
        match done.result:
            case (Secret() as shared,):
                _confirm(ctx, sa, exchange, quick, rule, suite, spi_out, shared, answered_in_s)
            case _:
                failed = Failed("E113", f"the peer's public value is refused: {done.failure}")
                _failed(ctx, sa, exchange, failed)

    ctx.compute(Agree(quick.group, quick.private, public.data), agreed, sa)


def _read_answer(ctx: Context, quick: Quick, chain: Chain) -> tuple[Suite, Spi, ChildPolicy]:
    """What the peer takes of our offer. Raises Malformed or NoAgreement."""
    assert quick.offer is not None
    chosen = chosen_phase2(quick.offer, must(chain.payloads, SecurityAssociation))
    ids = every(chain.payloads, Identification)
    # Left out means the two addresses (RFC 2409 §5.5), which some peers say for what was asked.
    if ids and [selector_of(each) for each in ids] != [quick.local, quick.remote]:
        answered = " to ".join(selectors_text((selector_of(each),)) for each in ids)
        raise NoAgreement(
            f"the peer answered with {answered}; we asked for "
            f"{selectors_text((quick.local,))} to {selectors_text((quick.remote,))}",
            notify=NotifyTypeV2.TS_UNACCEPTABLE,
            code="E203",
        )
    quick.said = _responder_lifetime(chain)
    rule = _bounded(quick.rule, quick.said)
    suite = suite_from(chosen.proposal)
    return suite, _outbound(ctx, chosen), rule


def _outbound(ctx: Context, chosen: OfferedPhase2) -> Spi:
    """The peer's SPI. Raises NoAgreement for one that an outbound SA of ours has already: the
    plane knows SAs by SPI, and a hostile peer could have another tunnel's changed."""
    spi = spi_from(chosen.proposal.spi)
    if ctx.registry.peer_spi_is_taken(spi):
        raise NoAgreement(
            f"the peer's SPI {spi_text(spi)} is in use already",
            notify=NotifyTypeV2.TEMPORARY_FAILURE,
            code="E208",
        )
    return spi


def _responder_lifetime(chain: Chain) -> Lifetime:
    """What RESPONDER-LIFETIME says (RFC 2407 §4.6.3.1). Raises Malformed."""
    for notify in every(chain.payloads, Notify):
        if notify.kind == NotifyType.RESPONDER_LIFETIME:
            return read_responder_lifetime(Phase.TWO, notify.data)
    return Lifetime()


def _bounded(rule: ChildPolicy, said: Lifetime) -> ChildPolicy:
    """The rule under limits that are no wider than the peer's."""
    return replace(rule, lifetimes=shorter(rule.lifetimes, said.seconds, said.octets))


def _confirm(
    ctx: Context,
    sa: SaV1,
    exchange: Exchange,
    quick: Quick,
    rule: ChildPolicy,
    suite: Suite,
    spi_out: Spi,
    shared: Secret | None,
    answered_in_s: Seconds,
) -> None:
    """3: the peer's nonce has come, and we are alive."""
    if ctx.registry.peer_spi_is_taken(spi_out):  # since, by another exchange
        _failed(ctx, sa, exchange, Failed("E208", "the peer's SPI is in use already"))
        return
    child = children.listen(ctx, sa, quick, rule, suite, spi_out, shared)
    transport.send_sealed(ctx, sa, exchange, (_hash_3(sa, exchange, quick),), repeat=False)
    # Kept for repeats of 2, which tell that 3 was lost.
    exchange.quick = None
    children.send_soon(ctx, child, None if quick.commits else answered_in_s)


def unanswered(ctx: Context, sa: SaV1, exchange: Exchange) -> bool:
    """The peer has sent no third message, or nothing at all. False: nothing shows that it lives."""
    quick = exchange.quick
    if quick is None or not quick.initiated:
        transport.end(ctx, sa, exchange)
        if quick is not None and quick.child is not None:
            children.never_confirmed(ctx, sa, quick.child)
        return True
    assert quick.sent_at is not None, "it was sent"
    # A peer that answers probes is found dead by them, and one that was heard since lives: it does
    # not like what we ask for, and its refusal was lost or is none of its habits.
    if not sa.peer_can.dpd and sa.heard_at < quick.sent_at:
        transport.end(ctx, sa, exchange)
        return False
    failed = Failed(
        "E209",
        "the peer lives and has not answered Quick Mode",
        "look at the peer's log: it does not want this phase 2 and does not say why",
    )
    _failed(ctx, sa, exchange, failed)
    return True


def refused(ctx: Context, sa: SaV1, notify: Notify) -> bool:
    """An Informational of the peer is about a Quick Mode of ours. False: about none.

    It has a message ID of its own, so the SPI tells which; some peers leave it out, and then the
    oldest is meant.
    """
    mine = [(e, e.quick) for e in _under_way(sa) if e.quick is not None and e.sent is not None]
    asked = [(e, quick) for e, quick in mine if quick.initiated]
    named = [(e, quick) for e, quick in asked if notify.spi == spi_octets(quick.spi_in)]
    for exchange, quick in (named or asked)[:1]:
        _failed(ctx, sa, exchange, _failure_of(notify, quick))
        return True
    return False


def _failure_of(notify: Notify, quick: Quick) -> Failed:
    asked = f"{selectors_text((quick.local,))} to {selectors_text((quick.remote,))}"
    match notify.kind:
        case NotifyType.NO_PROPOSAL_CHOSEN | NotifyType.ATTRIBUTES_NOT_SUPPORTED:
            return Failed(
                "E201",
                "the peer refused phase 2 with NO-PROPOSAL-CHOSEN; we offered "
                f"{proposals_text(expressible_phase2(quick.rule.proposals))}",
                "make one phase 2 proposal the same on both sides (PFS group included); some peers "
                "say the same of networks that do not mirror theirs",
            )
        case NotifyType.INVALID_ID_INFORMATION:
            return Failed(
                "E203",
                f"the peer refused phase 2 with INVALID-ID-INFORMATION; we asked for {asked}",
                "the rule's networks must mirror the peer's exactly",
            )
        case _:
            return Failed("E209", f"the peer refused phase 2 with {_name(notify.kind)}")


def _name(kind: int) -> str:
    try:
        return NotifyType(kind).name.replace("_", "-")
    except ValueError:
        return f"notify {kind}"


def _failed(ctx: Context, sa: SaV1, exchange: Exchange, failed: Failed) -> None:
    """A Quick Mode of ours has come to nothing; the pair that it was to renew stands on."""
    quick = exchange.quick
    assert quick is not None
    transport.end(ctx, sa, exchange)
    old = quick.replaces
    if old is not None:
        if old.state is ChildState.REKEYING:
            old.move(ChildState.INSTALLED)
        if old.state is ChildState.INSTALLED:
            ctx.agenda.arm(old.owner, TimerKind.CHILD_REKEY, ctx.later(closing.RENEW_AGAIN_S))
    ctx.lifecycle.phase2_failed(ctx, sa, quick.rule.name, failed)


# --- responder ------------------------------------------------------------------------------


def _request_received(ctx: Context, sa: SaV1, came: Came) -> None:
    """1. Raises Dropped for what the peer has not made, or has made before."""
    transport.must_be_new(sa, came.header.message_id)
    iv = phase2_iv(prf_of(sa), sa.last_block, came.header.message_id)
    chain, next_iv = transport.open_sealed(sa, came.header, came.octets, iv)
    transport.verify(sa, chain, transport.hash_over(came.header.message_id))
    # Not before: a place for it may cost the memory of another exchange.
    exchange = transport.begin(ctx, sa, ExchangeType.QUICK_MODE, came.header.message_id)
    transport.note_used(ctx, sa, came.header.message_id)
    exchange.heard = digest(came.octets, came.remote)
    exchange.iv = next_iv
    transport.heard(ctx, sa, came.local, came.remote)
    transport.tell_received(ctx, sa, came.header, chain, len(came.octets), is_response=False)
    try:
        check(came.header.exchange, "quick 1", chain.payloads)
        _answer(ctx, sa, exchange, chain)
    except Malformed as malformed:
        _refuse(ctx, sa, exchange, NotifyType.PAYLOAD_MALFORMED, chain)
        ctx.lifecycle.phase2_failed(
            ctx, sa, "", Failed("E115", f"the peer's request cannot be read: {malformed}")
        )
    except NoAgreement as nothing:
        kind = NotifyType.NO_PROPOSAL_CHOSEN
        if nothing.notify is NotifyTypeV2.TS_UNACCEPTABLE:
            kind = NotifyType.INVALID_ID_INFORMATION
        _refuse(ctx, sa, exchange, kind, chain)
        ctx.lifecycle.phase2_failed(ctx, sa, "", Failed(nothing.code, nothing.reason, nothing.hint))


def _answer(ctx: Context, sa: SaV1, exchange: Exchange, chain: Chain) -> None:
    """Choose, and compute what has to be. Raises NoAgreement."""
    peers, ours = _selectors(sa, chain)
    offer = must(chain.payloads, SecurityAssociation)
    rule, chosen, suite = _decide(sa, offer, ours, peers)
    public = first(chain.payloads, KeyExchange)
    if (public is not None) != (suite.ke is not KeMethod.NONE):
        raise Malformed("a public value without a group, or a group without one")
    spi_out = _outbound(ctx, chosen)
    if not ctx.lifecycle.admits(sa, rule.name):
        raise NoAgreement(
            f"the peer wants rule {rule.name}, which is held down here",
            notify=NotifyTypeV2.NO_PROPOSAL_CHOSEN,
            code="E210",
        )
    said = Lifetime(chosen.lifetime_s, chosen.kilobytes)
    quick = exchange.quick = Quick(
        initiated=False,
        rule=_bounded(rule, said),
        asked_at=ctx.now,
        spi_in=ctx.registry.fresh_spi(),
        nonce_i=must(chain.payloads, Nonce).data,
        local=ours,
        remote=peers,
        group=suite.ke,
        nonce_r=ctx.entropy.octets(NONCE_SIZE),
        said=said,
    )
    if not children.make_room(ctx, sa):
        raise NoAgreement(
            f"the peer has {len(sa.children)} pairs over one phase 1 already",
            notify=NotifyTypeV2.NO_PROPOSAL_CHOSEN,
            code="E209",
        )
    ids = every(chain.payloads, Identification)
    answer = answer_phase2(offer, chosen, quick.spi_in)
    notifies = _shorter_lifetime(rule, chosen, quick)

    def reply(public: bytes, shared: Secret | None) -> None:
        if ctx.registry.peer_spi_is_taken(spi_out):  # since, by another exchange
            _refuse(ctx, sa, exchange, NotifyType.INVALID_SPI, chain)
            return
        quick.computing = False
        keys: tuple[Payload, ...] = (KeyExchange(public),) if public else ()
        payloads = (answer, Nonce(quick.nonce_r), *keys, *ids, *notifies)
        hashing = _hash_2(exchange, quick)
        children.listen(ctx, sa, quick, quick.rule, suite, spi_out, shared)
        transport.send_hashed(ctx, sa, exchange, payloads, hashing, repeat=True)

    if public is None:
        reply(b"", None)
        return

    def made(done: ComputeFinished) -> None:
        if not _waits(sa, exchange):
            return
        match done.result:
            case (bytes() as own, Secret() as shared):
                reply(own, shared)
            case _:
                _refuse(ctx, sa, exchange, NotifyType.INVALID_KEY_INFORMATION, chain)

    ctx.compute(MakeKeyAndAgree(suite.ke, public.data), made, sa)


def _selectors(sa: SaV1, chain: Chain) -> tuple[TrafficSelector, TrafficSelector]:
    """The peer's side and ours. Without IDs, the two addresses are meant (RFC 2409 §5.5)."""
    ids = every(chain.payloads, Identification)
    if not ids:
        peers, ours = sa.remote.ip, sa.local.ip
        return TrafficSelector(peers, peers), TrafficSelector(ours, ours)
    return selector_of(ids[0]), selector_of(ids[1])


def _decide(
    sa: SaV1, offer: SecurityAssociation, ours: TrafficSelector, peers: TrafficSelector
) -> tuple[ChildPolicy, OfferedPhase2, Suite]:
    """The rule that holds what the peer asks for, all of it: nothing can be narrowed in IKEv1.

    Raises NoAgreement with what does not fit.
    """
    rules = [r for each in sa.connection.rules if (r := access.rule_of(sa, each)) is not None]
    fitting = [
        found.rule
        for found in narrow(rules, (ours,), (peers,))
        if found.local == (ours,) and found.remote == (peers,)
    ]
    asked = f"{selectors_text((ours,))} to {selectors_text((peers,))}"
    if not fitting:
        have = "; ".join(
            f"{r.name}: {selectors_text(r.seen_local)} to {selectors_text(r.remote)}" for r in rules
        )
        raise NoAgreement(
            f"the peer wants {asked}; we have {have}",
            notify=NotifyTypeV2.TS_UNACCEPTABLE,
            code="E203",
        )
    modes = nat.takes(sa.nat)
    offered = read_phase2(offer)
    carried = [each for each in offered if each.encapsulation in modes]
    for rule in fitting:
        taken = choose_offered(expressible_phase2(rule.proposals), carried)
        if taken is not None:
            return rule, taken[0], taken[1].suite
    why = difference(expressible_phase2(fitting[0].proposals), [o.proposal for o in carried])
    if offered and not carried:
        why = "the peer asks for another encapsulation (transport mode, or UDP where no NAT is)"
    raise NoAgreement(
        f"phase 2 of rule {fitting[0].name}: {why}",
        notify=NotifyTypeV2.NO_PROPOSAL_CHOSEN,
        code="E201",
    )


def _shorter_lifetime(rule: ChildPolicy, chosen: OfferedPhase2, quick: Quick) -> tuple[Notify, ...]:
    """RESPONDER-LIFETIME, where we end the pair before the peer would (RFC 2407 §4.6.3.1)."""
    own = int(rule.lifetimes.lifetime_s)
    if chosen.lifetime_s is None or chosen.lifetime_s <= own:
        return ()
    data = responder_lifetime(Phase.TWO, Lifetime(own))
    spi = spi_octets(quick.spi_in)
    return (Notify(NotifyType.RESPONDER_LIFETIME, data, ProtocolId.ESP, spi),)


def _refuse(ctx: Context, sa: SaV1, exchange: Exchange, kind: NotifyType, chain: Chain) -> None:
    """Say why not, and say it again if the request is repeated: nothing else makes good a loss."""
    exchange.quick = None
    offer = first(chain.payloads, SecurityAssociation)
    spi = offer.proposals[0].spi if offer is not None and offer.proposals else b""
    notify = Notify(kind, protocol=ProtocolId.ESP, spi=spi)
    exchange.reply = transport.send_once(ctx, sa, (notify,))


def _third_received(ctx: Context, sa: SaV1, exchange: Exchange, quick: Quick, came: Came) -> None:
    """3: the peer has our answer, and the keys."""
    chain, next_iv = transport.open_sealed(sa, came.header, came.octets, exchange.iv)
    proof = _hash_3(sa, exchange, quick)
    head = chain.payloads[0] if chain.payloads else None
    if not isinstance(head, Hash) or not same(head.data, proof.data):
        raise Dropped("integrity")
    exchange.heard = digest(came.octets, came.remote)
    exchange.iv = next_iv
    exchange.reply = ()
    exchange.quick = None
    transport.heard(ctx, sa, came.local, came.remote)
    transport.answered(ctx, sa, exchange)
    transport.tell_received(ctx, sa, came.header, chain, len(came.octets), is_response=False)
    if quick.child is not None:
        children.go_live(ctx, sa, quick.child)


# --- both -----------------------------------------------------------------------------------


def received(ctx: Context, sa: SaV1, came: Came) -> None:
    """A message of a Quick Mode. Raises Dropped for what changes nothing."""
    exchange = sa.exchanges.get(came.header.message_id)
    if exchange is None:
        _request_received(ctx, sa, came)
        return
    if digest(came.octets, came.remote) == exchange.heard:
        # Not while it is being worked on; then there is nothing to repeat yet.
        if exchange.quick is None or not exchange.quick.computing:
            transport.emit(ctx, sa, exchange.reply)
        raise Dropped("repeat")
    quick = exchange.quick
    if exchange.kind != came.header.exchange or quick is None:
        _late(ctx, sa, exchange, came)
        return
    if quick.computing:
        raise Dropped("busy")
    if quick.initiated:
        _reply_received(ctx, sa, exchange, quick, came)
    else:
        _third_received(ctx, sa, exchange, quick, came)


def _late(ctx: Context, sa: SaV1, exchange: Exchange, came: Came) -> None:
    """4: a responder that set the commit bit says that it listens."""
    if exchange.kind != ExchangeType.QUICK_MODE:
        raise Dropped("message_id")
    chain, next_iv = transport.open_sealed(sa, came.header, came.octets, exchange.iv)
    transport.verify(sa, chain, transport.hash_over(exchange.message_id))
    exchange.iv = next_iv
    if any(n.kind == NotifyType.CONNECTED for n in every(chain.payloads, Notify)):
        children.connected(ctx, sa)


def _hash_2(exchange: Exchange, quick: Quick) -> transport.Hashing:
    def hashing(sa: SaV1, rest: bytes) -> bytes:
        assert sa.keys is not None
        return quick_hash_2(prf_of(sa), sa.keys.skeyid_a, exchange.message_id, quick.nonce_i, rest)

    return hashing


def _hash_3(sa: SaV1, exchange: Exchange, quick: Quick) -> Hash:
    assert sa.keys is not None
    octets = quick_hash_3(
        prf_of(sa), sa.keys.skeyid_a, exchange.message_id, quick.nonce_i, quick.nonce_r
    )
    return Hash(octets)
