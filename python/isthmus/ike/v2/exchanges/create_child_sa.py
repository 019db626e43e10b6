"""CREATE_CHILD_SA for Child SAs (RFC 7296 §1.3.1, §1.3.3, §2.8, §2.25.1), both roles.

initiator                                            responder
SK {[N(REKEY_SA)], SA, Ni, [KEi], TSi, TSr}   -->
                                          <--   SK {SA, Nr, [KEr], TSi, TSr}
"""

from isthmus.ike.core import pairs
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildSa, ChildState, PeerRekey
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Agree, MakeKey, MakeKeyAndAgree
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.v2 import children, closing, look
from isthmus.ike.v2.exchanges import crossing
from isthmus.ike.v2.exchanges.ike_sa_init import NONCE_SIZE, ROUNDS_MAX
from isthmus.ike.v2.purposes import ForChild
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import ChildOffer
from isthmus.ike.v2.transport import notify, send_reply, send_request, settle
from isthmus.ike.v2.wishes import WantChild, WantDeleteChild, WantDeleteIke, WantRekeyChild
from isthmus.policy.connection import ChildPolicy
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    KeMethod,
    NotifyType,
    SecurityProtocol,
    TransformType,
    known,
)
from isthmus.values.secret import Secret
from isthmus.values.spi import ESP_SPI_SIZE, spi_from, spi_octets
from isthmus.values.time import Seconds
from isthmus.wire.header import Header
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation

CHILDREN_SPARE = 16
RETRY_S = 4.0
"""Pause after TEMPORARY_FAILURE, before jitter (RFC 7296 §2.25)."""
REDUNDANT_S = 4.0
"""How long the peer has to delete its half of a simultaneous renewal before we do."""
ANSWER_LOST_S = 15.0
"""For so long a repeat of the peer's request may still fetch an answer of ours that was lost, even
where a peer is given up sooner: charon repeats after four and after eleven seconds."""


# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, sa: SaV2, wish: WantChild | WantRekeyChild) -> bool:
    """Ask for a Child SA, new or in the place of another. False: there is nothing to ask."""
    replaces: ChildSa | None = None
    trigger = ""
    if isinstance(wish, WantRekeyChild):
        replaces = sa.children.get(wish.spi_in)
        if replaces is None or replaces.state is not ChildState.INSTALLED:
            return False
        rule: ChildPolicy | None = sa.connection.rule(replaces.rule.name)
        trigger = "rekey"
    else:
        if not ctx.lifecycle.still_wanted(sa, wish.rule):
            return False
        rule = sa.connection.rule(wish.rule)
        trigger = wish.trigger
    if rule is None:
        return False
    if replaces is not None:
        replaces.move(ChildState.REKEYING)
    ctx.record(
        "phase2.negotiating",
        f"phase 2 of rule {rule.name} " + ("is renewed" if replaces else "starts"),
        connection=sa.connection,
        rule=rule.name,
    )
    offer = children.make_offer(ctx, rule, trigger, pfs=True)
    methods = offer.proposals[0].of_kind(TransformType.KE)
    method = KeMethod(methods[0].number) if methods else KeMethod.NONE
    _prepare(ctx, sa, offer, method, replaces, 0)
    return True


def _prepare(
    ctx: Context,
    sa: SaV2,
    offer: ChildOffer,
    method: KeMethod,
    replaces: ChildSa | None,
    rounds: int,
) -> None:
    nonce = ctx.entropy.octets(NONCE_SIZE)
    if method is KeMethod.NONE:
        _send(ctx, sa, ForChild(offer, nonce, method, None, replaces, rounds), b"")
        return
    sa.preparing_request = True

    def made(done: ComputeFinished) -> None:
        sa.preparing_request = False
        if not sa.is_open:
            return
        if replaces is None and not ctx.lifecycle.still_wanted(sa, offer.rule):
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                _send(ctx, sa, ForChild(offer, nonce, method, private, replaces, rounds), public)
            case _:
                _failed(ctx, sa, offer, replaces, Failed("E113", done.failure))

    ctx.compute(MakeKey(method), made, sa)


def _send(ctx: Context, sa: SaV2, purpose: ForChild, public: bytes) -> None:
    payloads: list[Payload] = []
    if purpose.replaces is not None and not purpose.replaces.heir_lost:
        payloads.append(
            Notify(
                kind=NotifyType.REKEY_SA,
                protocol=SecurityProtocol.ESP,
                spi=spi_octets(purpose.replaces.spi_in),
            )
        )
    security, ts_i, ts_r = children.offer_payloads(purpose.offer)
    payloads += [security, Nonce(purpose.nonce)]
    if public:
        payloads.append(KeyExchange(purpose.method, public))
    payloads += [ts_i, ts_r]
    sa.deleted_unheard.clear()
    send_request(ctx, sa, ExchangeType.CREATE_CHILD_SA, tuple(payloads), purpose)


def reply_received(
    ctx: Context, sa: SaV2, purpose: ForChild, payloads: tuple[Payload, ...]
) -> None:
    """The peer's answer to our wish for a Child SA."""
    settle(ctx, sa)
    error = look.error(payloads)
    if look.first(payloads, SecurityAssociation) is None:
        _answered_no(ctx, sa, purpose, error)
        return
    rule = sa.connection.rule(purpose.offer.rule)
    if rule is None:
        return
    pfs = purpose.method is not KeMethod.NONE
    try:
        accepted = children.read_answer(purpose.offer, payloads, pfs=pfs)
        children.refuse_taken(ctx, accepted.spi_out)
        nonce_r = look.must(payloads, Nonce).data
        peer_public = b""
        if accepted.suite.ke is not KeMethod.NONE:
            key_exchange = look.must(payloads, KeyExchange)
            if key_exchange.method != purpose.method or accepted.suite.ke != purpose.method:
                raise Malformed("the responder's KE payload is of another group than ours")
            peer_public = key_exchange.data
    except (NoAgreement, Malformed) as refusal:
        # The peer has installed what we cannot: both sides no longer hold the same state.
        code = refusal.code if isinstance(refusal, NoAgreement) else "E209"
        _failed(ctx, sa, purpose.offer, purpose.replaces, Failed(code, str(refusal)))
        sa.wishes.append(WantDeleteIke("the peer's answer for phase 2 cannot be used"))
        return

    def finish(shared: Secret | None) -> None:
        if ctx.registry.peer_spi_is_taken(accepted.spi_out):  # since, by another exchange
            taken = Failed("E208", "the peer's SPI is in use already", "", False)
            _failed(ctx, sa, purpose.offer, purpose.replaces, taken)
            sa.wishes.append(WantDeleteIke("the peer's answer for phase 2 cannot be used"))
            return
        is_over = accepted.spi_out in sa.deleted_unheard
        child = children.install(
            ctx,
            sa,
            rule,
            suite=accepted.suite,
            spi_in=purpose.offer.spi,
            spi_out=accepted.spi_out,
            local=accepted.local,
            remote=accepted.remote,
            nonce_i=purpose.nonce,
            nonce_r=nonce_r,
            shared=shared,
            initiated=True,
            asked_at=purpose.offer.asked_at,
            predecessor=None if is_over else purpose.replaces,
            only_listens=is_over,
        )
        if is_over:
            _over_already(ctx, sa, child, purpose)
            return
        _finish(ctx, sa, child, purpose.replaces, min(purpose.nonce, nonce_r))

    if purpose.private is None or accepted.suite.ke is KeMethod.NONE:
        finish(None)
        return
    sa.preparing_request = True

    def agreed(done: ComputeFinished) -> None:
        sa.preparing_request = False
        if not sa.is_authenticated:
            return
        match done.result:
            case (Secret() as shared,):
                finish(shared)
            case _:
                _failed(
                    ctx,
                    sa,
                    purpose.offer,
                    purpose.replaces,
                    Failed("E113", f"the peer's public value is refused: {done.failure}"),
                )
                sa.wishes.append(WantDeleteIke("the peer's public value is bad"))

    ctx.compute(Agree(purpose.method, purpose.private, peer_public), agreed, sa)


def _over_already(ctx: Context, sa: SaV2, child: ChildSa, purpose: ForChild) -> None:
    """The peer's answer was late: its Delete of what the answer makes came first. What it sent
    meanwhile may still be on the road."""
    pairs.retire_child(ctx, sa, child)
    old = purpose.replaces
    if old is not None and old.state is ChildState.REKEYING:
        # For the peer it is replaced and ours to delete.
        old.move(ChildState.INSTALLED)
        sa.wishes.append(WantDeleteChild(old.spi_in))
        return
    closed = Failed("E208", "the peer closed phase 2 before its answer came", "", False)
    ctx.lifecycle.phase2_failed(ctx, sa, purpose.offer.rule, closed)


def _finish(
    ctx: Context, sa: SaV2, child: ChildSa, replaces: ChildSa | None, our_lowest: bytes
) -> None:
    """A Child SA of ours stands: what becomes of the one it replaces (RFC 7296 §2.8.1)."""
    child.lowest_nonce = our_lowest
    if replaces is None:
        if crossing.is_surplus(sa, child):
            crossing.withdraw(ctx, sa, child)
            return
        ctx.lifecycle.phase2_up(ctx, sa, child)
        return
    theirs = replaces.rekeyed_by_peer
    if theirs is not None:
        ours_is_redundant = our_lowest < theirs.lowest_nonce
        ctx.record(
            "phase2.collision",
            "both sides renewed at once; "
            + ("the peer's pair is kept" if ours_is_redundant else "our pair is kept"),
            connection=sa.connection,
            rule=child.rule.name,
        )
        if ours_is_redundant and theirs.successor.state is not ChildState.GONE:
            # Ours came from the exchange with the lowest nonce, so it is ours to delete; the
            # peer deletes the old pair.
            child.predecessor = None
            child.move(ChildState.REPLACED)
            pairs.stop_sending(ctx, child)
            sa.wishes.append(WantDeleteChild(child.spi_in))
            if crossing.yield_to_peer(ctx, sa, replaces) and replaces.is_usable:
                replaces.move(ChildState.REPLACED)
            return
        if theirs.successor.is_usable:
            # The peer deletes it, unless our answer never reached it and it does not know it.
            theirs.successor.move(ChildState.REPLACED)
            due = ctx.later(REDUNDANT_S)
            ctx.agenda.arm(theirs.successor.owner, TimerKind.CHILD_EXPIRE, due)
    if replaces.is_usable:
        replaces.move(ChildState.REPLACED)
    if replaces.state is ChildState.REPLACED:
        sa.wishes.append(WantDeleteChild(replaces.spi_in))
    ctx.lifecycle.phase2_up(ctx, sa, child)


def _answered_no(ctx: Context, sa: SaV2, purpose: ForChild, error: Notify | None) -> None:
    if error is None:
        failed = Failed("E209", "the peer made no Child SA and did not say why")
        _failed(ctx, sa, purpose.offer, purpose.replaces, failed)
        return
    if error.kind == NotifyType.INVALID_KE_PAYLOAD and len(error.data) == 2:
        method = known(KeMethod, int.from_bytes(error.data, "big"))
        offered = {t.number for p in purpose.offer.proposals for t in p.of_kind(TransformType.KE)}
        if (
            isinstance(method, KeMethod)
            and int(method) in offered
            and method != purpose.method
            and purpose.ke_rounds < ROUNDS_MAX
        ):
            _prepare(ctx, sa, purpose.offer, method, purpose.replaces, purpose.ke_rounds + 1)
            return
    if error.kind == NotifyType.CHILD_SA_NOT_FOUND and purpose.replaces is not None:
        gone = purpose.replaces
        if gone.rekeyed_by_peer is not None and crossing.yield_to_peer(ctx, sa, gone):
            pairs.promote(ctx, gone.rekeyed_by_peer.successor)
        elif may_not_be_known_yet(ctx, sa, gone):
            early = Failed("E208", "the peer does not know yet what it asked for itself", "", False)
            _failed(ctx, sa, purpose.offer, gone, early)
        elif gone.state is not ChildState.GONE:
            _lost_by_peer(ctx, sa, gone)
        return
    failed = children.failure_of(error, purpose.offer)
    _failed(ctx, sa, purpose.offer, purpose.replaces, failed)


def may_not_be_known_yet(ctx: Context, sa: SaV2, child: ChildSa) -> bool:
    """The peer's request made it, and our answer to that may still be on its way."""
    return child.unconfirmed and ctx.now - child.created_at <= _answer_may_travel_s(sa)


def _answer_may_travel_s(sa: SaV2) -> Seconds:
    return max(sa.connection.liveness.timeout_s, ANSWER_LOST_S)


def _lost_by_peer(ctx: Context, sa: SaV2, gone: ChildSa) -> None:
    """The peer does not know a pair: it is forgotten here too, and another made from scratch (RFC
    7296 §2.25). When traffic wants it; at once where its predecessor, which the peer has not
    deleted, carries the traffic until then."""
    before = gone.predecessor if gone.standby else None
    pairs.drop_child(ctx, sa, gone)
    if before is not None and before.state is ChildState.REPLACED and not before.outbound_gone:
        before.move(ChildState.INSTALLED)
        before.rekeyed_by_peer = None
        before.heir_lost = True
        sa.wishes.append(WantRekeyChild(before.spi_in))
    ctx.lifecycle.phase2_gone(ctx, sa, gone, "the peer no longer knows it")


def _failed(ctx: Context, sa: SaV2, offer: ChildOffer, old: ChildSa | None, failed: Failed) -> None:
    if old is not None and old.state is ChildState.REKEYING:
        if crossing.yield_to_peer(ctx, sa, old):
            old.move(ChildState.REPLACED)
            return
        old.move(ChildState.INSTALLED)
        pause = RETRY_S * (1 + ctx.chance())
        ctx.agenda.arm(old.owner, TimerKind.CHILD_REKEY, ctx.later(pause))
    ctx.lifecycle.phase2_failed(ctx, sa, offer.rule, failed)


def is_asking(sa: SaV2) -> bool:
    """A request of ours for a Child SA is on its way, or its answer is being agreed: the peer may
    know a Child SA that we do not know yet."""
    out = sa.window.outstanding
    return sa.preparing_request or (out is not None and isinstance(out.purpose, ForChild))


def children_max(sa: SaV2) -> int:
    """Child SAs that a peer may make over one IKE SA: room for each rule and its renewals."""
    return CHILDREN_SPARE + 2 * len(sa.connection.rules)


# --- responder ------------------------------------------------------------------------------


def request_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """The peer wants a Child SA, new or in the place of another."""

    def refuse(kind: NotifyType, data: bytes = b"") -> None:
        send_reply(ctx, sa, header, (notify(kind, data),), local, remote)

    if not sa.is_open or sa.rekeying:
        refuse(NotifyType.TEMPORARY_FAILURE)
        return
    replaces: ChildSa | None = None
    rekey = look.notified(payloads, NotifyType.REKEY_SA)
    if rekey is not None:
        if rekey.protocol != SecurityProtocol.ESP or len(rekey.spi) != ESP_SPI_SIZE:
            raise Malformed("REKEY_SA names no ESP SPI")
        replaces = sa.child_by_peer_spi(spi_from(rekey.spi))
        if replaces is None and is_asking(sa):
            # It may be what our own request makes: the peer's answer is lost or not agreed yet.
            refuse(NotifyType.TEMPORARY_FAILURE)
            return
        if replaces is None:
            reply = Notify(
                kind=NotifyType.CHILD_SA_NOT_FOUND, protocol=SecurityProtocol.ESP, spi=rekey.spi
            )
            send_reply(ctx, sa, header, (reply,), local, remote)
            return
        renewed = replaces.rekeyed_by_peer is not None
        if renewed or replaces.state in (ChildState.DELETING, ChildState.REPLACED):
            refuse(NotifyType.TEMPORARY_FAILURE)
            return
    nonce_i = look.must(payloads, Nonce).data
    key_exchange = look.first(payloads, KeyExchange)
    rules = (replaces.rule,) if replaces is not None else sa.connection.rules
    try:
        choice = children.decide(rules, payloads, pfs=True)
        children.refuse_taken(ctx, choice.spi_out)
    except NoAgreement as refusal:
        refuse(refusal.notify or NotifyType.NO_PROPOSAL_CHOSEN)
        name = replaces.rule.name if replaces is not None else ""
        ctx.lifecycle.phase2_failed(ctx, sa, name, Failed(refusal.code, refusal.reason))
        return
    method = choice.chosen.suite.ke
    if method is not KeMethod.NONE and (key_exchange is None or key_exchange.method != method):
        refuse(NotifyType.INVALID_KE_PAYLOAD, int(method).to_bytes(2, "big"))
        return
    rule = choice.narrowed.rule
    if not ctx.lifecycle.admits(sa, rule.name):
        refuse(NotifyType.TEMPORARY_FAILURE)
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, children.held_down(rule))
        return
    if replaces is None and len(sa.children) >= children_max(sa):
        refuse(NotifyType.NO_ADDITIONAL_SAS)
        return
    children.note_choice(ctx, sa, choice)
    nonce_r = ctx.entropy.octets(NONCE_SIZE)
    asked_at = ctx.now

    def finish(public: bytes, shared: Secret | None) -> None:
        if ctx.registry.peer_spi_is_taken(choice.spi_out):  # since, by another exchange
            refuse(NotifyType.TEMPORARY_FAILURE)
            return
        predecessor = replaces
        if predecessor is not None and not predecessor.is_usable:
            # Since: our own renewal of it is done, or it is being deleted (RFC 7296 §2.25.1). A
            # pair made now would stand beside its successor, and neither side would delete it.
            refuse(NotifyType.TEMPORARY_FAILURE)
            return
        child = children.install_choice(
            ctx,
            sa,
            choice,
            nonce_i=nonce_i,
            nonce_r=nonce_r,
            shared=shared,
            asked_at=asked_at,
            predecessor=predecessor,
        )
        child.lowest_nonce = min(nonce_i, nonce_r)
        if predecessor is not None:
            child.unconfirmed = True
            due = ctx.later(_answer_may_travel_s(sa))
            ctx.agenda.arm(child.owner, TimerKind.CHILD_CONFIRM, due)
        security, ts_i, ts_r = children.answer_payloads(choice, child.spi_in)
        reply: list[Payload] = [security, Nonce(nonce_r)]
        if public:
            reply.append(KeyExchange(method, public))
        reply += [ts_i, ts_r]
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        if predecessor is None:
            ctx.lifecycle.phase2_up(ctx, sa, child)
            crossing.withdraw_crossed(ctx, sa, child)
        elif predecessor.state is ChildState.REKEYING:
            # Ours is on its way too; its answer decides which pair stays.
            predecessor.rekeyed_by_peer = PeerRekey(child, min(nonce_i, nonce_r))
        else:
            predecessor.move(ChildState.REPLACED)
            ctx.lifecycle.phase2_up(ctx, sa, child)

    if method is KeMethod.NONE or key_exchange is None:
        finish(b"", None)
        return
    sa.window.answering = True

    def agreed(done: ComputeFinished) -> None:
        if not sa.is_authenticated:
            return
        match done.result:
            case (bytes() as public, Secret() as shared):
                finish(public, shared)
            case _:
                refuse(NotifyType.INVALID_SYNTAX)
                closing.lost(ctx, sa, f"the peer's public value is refused: {done.failure}")

    ctx.compute(MakeKeyAndAgree(method, key_exchange.data), agreed, sa)
