"""CREATE_CHILD_SA that replaces the IKE SA (RFC 7296 §1.3.2, §2.8, §2.18, §2.25.2), both roles.

initiator                                  responder
SK {SA(new SPIi), Ni, KEi}   -->
                             <--   SK {SA(new SPIr), Nr, KEr}
"""

from isthmus.ike.core import ending, standing
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.child import ChildState
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import Agree, MakeKey, MakeKeyAndAgree
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.states import Established
from isthmus.ike.v2 import closing, look
from isthmus.ike.v2.exchanges.create_child_sa import RETRY_S, may_not_be_known_yet
from isthmus.ike.v2.exchanges.ike_sa_init import NONCE_SIZE, ROUNDS_MAX
from isthmus.ike.v2.keys import ike_keys, rekey_skeyseed
from isthmus.ike.v2.protect import Protector
from isthmus.ike.v2.purposes import ForChild, ForDeleteChild, ForIkeRekey
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import Replaced
from isthmus.ike.v2.transport import notify, send_reply, send_request, settle
from isthmus.ike.v2.wishes import WantDeleteIke
from isthmus.policy.negotiate import accepts, choose
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.proposal import Proposal, Suite, suite_from
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    KeMethod,
    NotifyType,
    TransformType,
    known,
    label,
)
from isthmus.values.secret import Secret
from isthmus.values.spi import IKE_SPI_SIZE, NO_IKE_SPI, IkeSpi
from isthmus.wire.header import Header
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.security_association import SecurityAssociation

ABANDONED_S = 30.0
"""How long an IKE SA that the peer has replaced waits for the peer's Delete."""
REDUNDANT_S = 8.0
"""How long the peer has to delete its half of a simultaneous renewal before it is forgotten here:
a peer that our answer never reached does not know it."""

AFTER_CHILD_S = 1.0
"""Pause before we look again whether the peer has done renewing a Child SA."""


# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, sa: SaV2) -> bool:
    """Ask for a successor. False: one is being made already, or it is not the time."""
    if sa.rekeying or not sa.is_open or sa.suite is None:
        return False
    if any(may_not_be_known_yet(ctx, sa, child) for child in sa.children.values()):
        # The peer's exchange would end on an IKE SA that is no more. It should refuse ours until
        # then (RFC 7296 §2.25.1), but charon 5.9.8 agrees where its renewal of a Child SA has
        # crossed ours, and forgets the exchange: it then lacks the pair that it asked for.
        ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, ctx.later(AFTER_CHILD_S))
        return False
    sa.rekeying = True
    _prepare(ctx, sa, sa.suite.ke, 0)
    return True


def _prepare(ctx: Context, sa: SaV2, method: KeMethod, rounds: int) -> None:
    spi = IkeSpi(ctx.registry.fresh_ike_spi())
    nonce = ctx.entropy.octets(NONCE_SIZE)
    proposals = tuple(
        p.with_spi(spi, n) for n, p in enumerate(sa.connection.phase1_proposals, start=1)
    )
    sa.preparing_request = True

    def made(done: ComputeFinished) -> None:
        sa.preparing_request = False
        if not sa.is_open:
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                payloads: tuple[Payload, ...] = (
                    SecurityAssociation(proposals),
                    Nonce(nonce),
                    KeyExchange(method, public),
                )
                purpose = ForIkeRekey(spi, nonce, method, private, proposals, rounds)
                send_request(ctx, sa, ExchangeType.CREATE_CHILD_SA, payloads, purpose)
            case _:
                _later(ctx, sa, f"no key pair could be made: {done.failure}")

    ctx.compute(MakeKey(method), made, sa)


def reply_received(
    ctx: Context, sa: SaV2, purpose: ForIkeRekey, payloads: tuple[Payload, ...]
) -> None:
    """The peer's answer to our wish for a successor."""
    settle(ctx, sa)
    answer = look.first(payloads, SecurityAssociation)
    if answer is None:
        _answered_no(ctx, sa, purpose, payloads)
        return
    key_exchange = look.must(payloads, KeyExchange)
    nonce_r = look.must(payloads, Nonce).data
    if len(answer.proposals) != 1:
        raise Malformed("an IKE SA is answered with exactly one proposal")
    chosen = answer.proposals[0]
    spi_r = _ike_spi(chosen)
    suite = suite_from(chosen) if accepts(purpose.proposals, chosen) else None
    if suite is None or key_exchange.method != purpose.method or suite.ke != purpose.method:
        sa.rekeying = False
        sa.wishes.append(WantDeleteIke("the peer's answer to our rekey cannot be used"))
        return
    sa.preparing_request = True
    sk_d = _sk_d(sa)

    def agreed(done: ComputeFinished) -> None:
        sa.preparing_request = False
        if not sa.is_authenticated and not _heir_stands(sa):
            return
        match done.result:
            case (Secret() as shared,):
                # Where the peer's successor has inherited and the peer has deleted the old one
                # meanwhile, ours is made all the same: nobody else could delete it at the peer.
                new = _make(
                    ctx, sa, sk_d, suite, purpose.spi, spi_r, purpose.nonce, nonce_r, shared, True
                )
                _decide(ctx, sa, new, min(purpose.nonce, nonce_r))
            case _:
                sa.rekeying = False
                sa.wishes.append(WantDeleteIke("the peer's public value is bad"))

    ctx.compute(Agree(purpose.method, purpose.private, key_exchange.data), agreed, sa)


def _decide(ctx: Context, sa: SaV2, new: SaV2, our_lowest: bytes) -> None:
    """Which successor inherits (RFC 7296 §2.8.1 applied to IKE SAs)."""
    sa.rekeying = False
    crossing = sa.ike_rekey_by_peer
    if not sa.is_open:
        _discard(ctx, new)  # The peer has decided for its own before our answer came.
        return
    if crossing is not None:
        theirs, their_lowest = crossing
        if our_lowest < their_lowest and theirs.is_open:
            ctx.record(
                "phase1.collision",
                "both sides renewed phase 1 at once; the peer's is kept",
                connection=sa.connection,
            )
            _replace(ctx, sa, theirs, ours=False)
            _discard(ctx, new)
            return
        ctx.record(
            "phase1.collision",
            "both sides renewed phase 1 at once; ours is kept",
            connection=sa.connection,
        )
        if theirs.is_open:
            theirs.state = Replaced()
            theirs.undecided_for = None
            ctx.agenda.arm(theirs.owner, TimerKind.RETIRE, ctx.later(REDUNDANT_S))
    _replace(ctx, sa, new, ours=True)


def _discard(ctx: Context, new: SaV2) -> None:
    """Our successor is the redundant one: it is ours to delete."""
    new.state = Replaced()
    new.wishes.append(WantDeleteIke("redundant after both sides renewed at once"))
    ctx.to_resume.append(new)


def _answered_no(
    ctx: Context, sa: SaV2, purpose: ForIkeRekey, payloads: tuple[Payload, ...]
) -> None:
    error = look.error(payloads)
    if (
        error is not None
        and error.kind == NotifyType.INVALID_KE_PAYLOAD
        and len(error.data) == 2
        and purpose.ke_rounds < ROUNDS_MAX
    ):
        method = known(KeMethod, int.from_bytes(error.data, "big"))
        offered = {t.number for p in purpose.proposals for t in p.of_kind(TransformType.KE)}
        if isinstance(method, KeMethod) and int(method) in offered and method != purpose.method:
            _prepare(ctx, sa, method, purpose.ke_rounds + 1)
            return
    name = label(NotifyType, error.kind) if error is not None else "no reason"
    _later(ctx, sa, f"the peer refused to renew phase 1 with {name}")


def _later(ctx: Context, sa: SaV2, why: str) -> None:
    if yield_to_peer(ctx, sa):
        return
    sa.rekeying = False
    if not sa.is_open:
        return  # It is replaced already: there is nothing to renew.
    ctx.record("phase1.rekey_failed", why, connection=sa.connection, code="E125")
    pause = RETRY_S * (1 + ctx.chance())
    ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, ctx.later(pause))


def yield_to_peer(ctx: Context, sa: SaV2) -> bool:
    """Our half of a simultaneous renewal came to nothing: the peer's successor inherits."""
    crossing = sa.ike_rekey_by_peer
    if crossing is None or not crossing[0].is_open or not sa.is_open:
        return False
    sa.rekeying = False
    _replace(ctx, sa, crossing[0], ours=False)
    return True


def peer_has_decided(ctx: Context, new: SaV2) -> None:
    """The peer asks something over the successor that it made, while our own request is not
    answered: it never saw that request, or its successor is the one to keep. The Child SAs are
    there for the peer, so they are there for us before its request is looked at."""
    old, new.undecided_for = new.undecided_for, None
    if old is not None and old.ike_rekey_by_peer is not None and old.ike_rekey_by_peer[0] is new:
        yield_to_peer(ctx, old)


# --- responder ------------------------------------------------------------------------------


def request_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """The peer wants a successor for the IKE SA."""

    def refuse(kind: NotifyType, data: bytes = b"") -> None:
        send_reply(ctx, sa, header, (notify(kind, data),), local, remote)

    busy = (sa.preparing_request and not sa.rekeying) or (
        sa.window.outstanding is not None
        and isinstance(sa.window.outstanding.purpose, ForChild | ForDeleteChild)
    )
    half_done = any(c.state is ChildState.REKEYING for c in sa.children.values())
    if not sa.is_open or busy or half_done or sa.ike_rekey_by_peer is not None:
        refuse(NotifyType.TEMPORARY_FAILURE)  # RFC 7296 §2.25.2
        return
    offer = look.must(payloads, SecurityAssociation)
    nonce_i = look.must(payloads, Nonce).data
    key_exchange = look.must(payloads, KeyExchange)
    chosen = choose(sa.connection.phase1_proposals, offer.proposals)
    if chosen is None:
        refuse(NotifyType.NO_PROPOSAL_CHOSEN)
        return
    if chosen.suite.ke != key_exchange.method:
        refuse(NotifyType.INVALID_KE_PAYLOAD, int(chosen.suite.ke).to_bytes(2, "big"))
        return
    spi_i = _ike_spi(chosen.proposal)
    spi_r = IkeSpi(ctx.registry.fresh_ike_spi())
    nonce_r = ctx.entropy.octets(NONCE_SIZE)
    sa.window.answering = True
    sa.answering_ike_rekey = True

    def agreed(done: ComputeFinished) -> None:
        sa.answering_ike_rekey = False
        if not sa.is_open:
            return
        match done.result:
            case (bytes() as public, Secret() as shared):
                answer = chosen.proposal.with_spi(spi_r, chosen.proposal.number)
                reply: tuple[Payload, ...] = (
                    SecurityAssociation((answer,)),
                    Nonce(nonce_r),
                    KeyExchange(chosen.suite.ke, public),
                )
                new = _make(
                    ctx, sa, _sk_d(sa), chosen.suite, spi_i, spi_r, nonce_i, nonce_r, shared, False
                )
                send_reply(ctx, sa, header, reply, local, remote)
                if sa.rekeying:
                    sa.ike_rekey_by_peer = (new, min(nonce_i, nonce_r))
                    new.undecided_for = sa
                else:
                    _replace(ctx, sa, new, ours=False)
            case _:
                refuse(NotifyType.INVALID_SYNTAX)
                closing.lost(ctx, sa, f"the peer's public value is refused: {done.failure}")

    ctx.compute(MakeKeyAndAgree(chosen.suite.ke, key_exchange.data), agreed, sa)


# --- both -----------------------------------------------------------------------------------


def _ike_spi(proposal: Proposal) -> IkeSpi:
    if len(proposal.spi) != IKE_SPI_SIZE or proposal.spi == NO_IKE_SPI:
        raise Malformed("a rekeyed IKE SA has an SPI of eight octets")
    return IkeSpi(proposal.spi)


def _sk_d(sa: SaV2) -> Secret:
    assert sa.keys is not None
    return sa.keys.sk_d


def _heir_stands(old: SaV2) -> bool:
    """The peer's successor has taken the place of an IKE SA."""
    return old.ike_rekey_by_peer is not None and old.ike_rekey_by_peer[0].is_open


def _make(
    ctx: Context,
    old: SaV2,
    sk_d: Secret,
    suite: Suite,
    spi_i: IkeSpi,
    spi_r: IkeSpi,
    nonce_i: bytes,
    nonce_r: bytes,
    shared: Secret,
    initiator: bool,
) -> SaV2:
    assert old.suite is not None and old.suite.prf is not None
    seed = rekey_skeyseed(old.suite.prf, sk_d, shared, nonce_i, nonce_r)
    keys = ike_keys(suite, seed, nonce_i, nonce_r, spi_i, spi_r)
    new = SaV2(
        connection=old.connection,
        initiator=initiator,
        spi_i=spi_i,
        spi_r=spi_r,
        local=old.local,
        remote=old.remote,
        created_at=ctx.now,
        heard_at=ctx.now,
        suite=suite,
        local_id=old.local_id,
        remote_id=old.remote_id,
        peer_proof=old.peer_proof,
        nat=old.nat,
        established_at=ctx.now,
        peer_vendor=old.peer_vendor,
        renews=old.beginning,
        fragments_agreed=old.fragments_agreed,
        fragment_size=old.fragment_size,
    )
    new.keys = keys
    new.protector = Protector(suite, keys, initiator=initiator, entropy=ctx.entropy)
    new.state = Established()
    ctx.registry.add(new)
    standing.arm(ctx, new)
    return new


def _replace(ctx: Context, old: SaV2, new: SaV2, *, ours: bool) -> None:
    """`new` inherits the Child SAs; whoever made it deletes `old` (RFC 7296 §2.8)."""
    for spi_in, child in tuple(old.children.items()):
        new.children[spi_in] = child
        child.unconfirmed = False  # No answer is on its way over an IKE SA that is no more.
        ctx.registry.child_added(new, child)
    old.children.clear()
    new.undecided_for = None
    new.wishes.extend(w for w in old.wishes if not (isinstance(w, WantDeleteIke) and w.outlived))
    old.wishes.clear()
    old.state = Replaced()
    new.superseded = old.superseded
    for kind in (TimerKind.RETIRE, TimerKind.CHILDLESS, TimerKind.PHASE1_IDLE):
        due = ctx.agenda.when(old.owner, kind)
        if due is not None:
            ctx.agenda.arm(new.owner, kind, due)
    ending.arm_nothing(ctx, old)
    if ours:
        old.wishes.append(WantDeleteIke("phase 1 was renewed"))
        ctx.to_resume.append(old)
    else:
        ctx.agenda.arm(old.owner, TimerKind.RETIRE, ctx.later(ABANDONED_S))
    ctx.lifecycle.phase1_replaced(ctx, old, new)
