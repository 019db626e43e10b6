"""IKE_SA_INIT (RFC 7296 §1.2, §2.6, §2.7, §2.23), both roles.

initiator                                   responder
HDR, [COOKIE], SAi1, KEi, Ni, NAT-D   -->
                                      <--   HDR, SAr1, KEr, Nr, NAT-D
                                            or COOKIE, INVALID_KE_PAYLOAD, NO_PROPOSAL_CHOSEN
"""

from isthmus.ike.auth.signature import PeerTakes
from isthmus.ike.core import addresses
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.digest import digest
from isthmus.ike.core.effects import Agree, MakeKey, MakeKeyAndAgree
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.states import Preparing
from isthmus.ike.core.telling import tell_chosen, tell_nat
from isthmus.ike.v2 import closing, look, nat
from isthmus.ike.v2.exchanges import auth_terms, ike_auth
from isthmus.ike.v2.fragments import Arrival
from isthmus.ike.v2.keys import ike_keys, skeyseed
from isthmus.ike.v2.protect import Protector
from isthmus.ike.v2.purposes import ForInit
from isthmus.ike.v2.sa import Authenticating, SaV2
from isthmus.ike.v2.states import AgreeingInit, AwaitAuthRequest, AwaitInitReply
from isthmus.ike.v2.transport import record_received, send_reply, send_request
from isthmus.policy.connection import Connection
from isthmus.policy.negotiate import accepts, choose, difference
from isthmus.policy.select import Candidates
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed
from isthmus.values.proposal import ChosenProposal, Proposal, suite_from
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    KeMethod,
    NotifyType,
    TransformType,
    known,
    label,
)
from isthmus.values.secret import Secret
from isthmus.values.spi import NO_IKE_SPI, IkeSpi
from isthmus.wire.header import Header
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.vendor_id import VendorId

NONCE_SIZE = 32
"""At least half the PRF's key and 128 bits (RFC 7296 §2.10); 32 octets do for every PRF here."""
ROUNDS_MAX = 3
"""Cookies and INVALID_KE_PAYLOADs obeyed before it looks like a game (RFC 7296 §2.6.1)."""
COOKIE_SIZE_MAX = 64
GRACE_S = 1.0
"""How long an unprotected refusal waits for a better answer (RFC 7296 §2.21.1)."""
VENDOR_ID = b"Isthmus"
HALF_OPEN_S = 30.0


# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, connection: Connection, remote: Endpoint | None = None) -> SaV2:
    """Begin a new IKE SA. `remote` overrides the configured peer (adopting after a restart)."""
    target = remote or connection.remote_endpoint
    assert target is not None, "only a tunnel with a known peer is initiated"
    sa = SaV2(
        connection=connection,
        initiator=True,
        spi_i=IkeSpi(ctx.registry.fresh_ike_spi()),
        spi_r=NO_IKE_SPI,
        local=addresses.UNKNOWN,
        remote=target,
        created_at=ctx.now,
        heard_at=ctx.now,
    )
    addresses.look_up(
        ctx, sa, lambda: _first_key(ctx, sa), lambda failed: closing.give_up(ctx, sa, failed)
    )
    return sa


def next_address(ctx: Context, sa: SaV2) -> bool:
    """The first message stays without an answer: begin anew with the next address of the peer's
    name. False: there is none, or it is too early."""
    out = sa.window.outstanding
    if not isinstance(sa.state, AwaitInitReply) or out is None:
        return False
    if not addresses.is_time_for_next(sa, out.tries):
        return False
    _resend(ctx, sa)
    sa.has_moved_on = True
    addresses.go_to_next(ctx, sa)
    _first_key(ctx, sa)
    return True


def _first_key(ctx: Context, sa: SaV2) -> None:
    """Of the method that is liked best."""
    methods = sa.connection.phase1_proposals[0].of_kind(TransformType.KE)
    _make_key(ctx, sa, KeMethod(methods[0].number), cookie=b"", rounds=0, nonce=b"")


def _make_key(
    ctx: Context, sa: SaV2, method: KeMethod, *, cookie: bytes, rounds: int, nonce: bytes
) -> None:
    sa.state = Preparing()

    def made(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Preparing):
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                sa.state = AwaitInitReply(
                    method,
                    private,
                    public,
                    nonce or ctx.entropy.octets(NONCE_SIZE),
                    cookie,
                    rounds,
                )
                _send(ctx, sa, sa.state)
            case _:
                closing.give_up(
                    ctx, sa, Failed("E113", f"no key pair could be made: {done.failure}")
                )

    ctx.compute(MakeKey(method), made, sa)


def _send(ctx: Context, sa: SaV2, state: AwaitInitReply) -> None:
    proposals = tuple(
        p.with_spi(b"", n) for n, p in enumerate(sa.connection.phase1_proposals, start=1)
    )
    payloads: list[Payload] = []
    if state.cookie:
        payloads.append(Notify(kind=NotifyType.COOKIE, data=state.cookie))
    payloads += [
        SecurityAssociation(proposals),
        KeyExchange(state.method, state.public),
        Nonce(state.nonce),
        *nat.detection_notifies(
            sa.spi_i, NO_IKE_SPI, sa.local, sa.remote, sa.connection.nat, ctx.entropy
        ),
        *_offered(sa),
        *auth_terms.hashes((sa.connection,)),
        VendorId(VENDOR_ID),
        *nat.preference(sa.connection.nat),
    ]
    send_request(ctx, sa, ExchangeType.IKE_SA_INIT, tuple(payloads), ForInit())


def reply_received(
    ctx: Context, sa: SaV2, header: Header, payloads: tuple[Payload, ...], octets: bytes
) -> None:
    """An IKE_SA_INIT response. Nothing in it is authentic: refusals wait, agreements are tried."""
    state = sa.state
    if not isinstance(state, AwaitInitReply) or sa.window.outstanding is None:
        return
    record_received(ctx, sa, header, payloads, Arrival(len(octets)))
    cookie = look.notified(payloads, NotifyType.COOKIE)
    if cookie is not None:
        _obey_cookie(ctx, sa, state, cookie)
        return
    invalid_ke = look.notified(payloads, NotifyType.INVALID_KE_PAYLOAD)
    if invalid_ke is not None:
        _obey_invalid_ke(ctx, sa, state, invalid_ke)
        return
    error = look.error(payloads)
    if error is not None:
        _hear_refusal(ctx, sa, state, error)
        return
    answer = look.must(payloads, SecurityAssociation)
    key_exchange = look.must(payloads, KeyExchange)
    nonce = look.must(payloads, Nonce)
    if header.spi_r == NO_IKE_SPI:
        raise Malformed("the responder chose no SPI")
    if len(answer.proposals) != 1 or not accepts(
        sa.connection.phase1_proposals, answer.proposals[0]
    ):
        # Anybody could have sent it: a genuine answer may still come.
        raise Malformed("the answer chooses a phase 1 proposal that we did not offer")
    chosen = answer.proposals[0]
    suite = suite_from(chosen)
    if suite.ke != state.method or key_exchange.method != state.method:
        raise Malformed("the responder's KE payload is of another group than ours")
    (request,) = sa.window.outstanding.parcel.datagrams
    _end_grace(ctx, sa)
    ctx.agenda.disarm(sa.owner, TimerKind.RETRANSMIT)
    sa.window.settled()
    sa.spi_r = IkeSpi(header.spi_r)
    sa.suite = suite
    sa.nat = nat.seen(payloads, sa.spi_i, sa.spi_r, sa.local, sa.remote, sa.connection.nat)
    sa.peer_vendor = _vendor(payloads)
    sa.fragments_agreed = _fragments_agreed(sa, payloads)
    sa.authenticating = Authenticating(
        request, octets, state.nonce, nonce.data, chosen, auth_terms.read(payloads)
    )
    sa.state = AgreeingInit(state.nonce, nonce.data)

    def agreed(done: ComputeFinished) -> None:
        if not isinstance(sa.state, AgreeingInit):
            return
        match done.result:
            case (Secret() as shared,):
                _derive(ctx, sa, shared)
                _note_nat(ctx, sa)
                ike_auth.start(ctx, sa)
            case _:
                closing.give_up(
                    ctx, sa, Failed("E113", f"the peer's public value is refused: {done.failure}")
                )

    ctx.compute(Agree(state.method, state.private, key_exchange.data), agreed, sa)


def _obey_cookie(ctx: Context, sa: SaV2, state: AwaitInitReply, cookie: Notify) -> None:
    if state.rounds >= ROUNDS_MAX or not 1 <= len(cookie.data) <= COOKIE_SIZE_MAX:
        return
    if cookie.data == state.cookie:
        return  # The answer to a repeat of the message before: what it asks for is done.
    _resend(ctx, sa)
    sa.state = AwaitInitReply(
        state.method, state.private, state.public, state.nonce, cookie.data, state.rounds + 1
    )
    _send(ctx, sa, sa.state)


def _obey_invalid_ke(ctx: Context, sa: SaV2, state: AwaitInitReply, refusal: Notify) -> None:
    if len(refusal.data) != 2:
        raise Malformed("INVALID_KE_PAYLOAD without a group")
    number = int.from_bytes(refusal.data, "big")
    offered = {
        t.number for p in sa.connection.phase1_proposals for t in p.of_kind(TransformType.KE)
    }
    method = known(KeMethod, number)
    if method == state.method and state.rounds:
        return  # The answer to a repeat of the message before: what it asks for is done.
    if number not in offered or not isinstance(method, KeMethod) or method == state.method:
        _hear_refusal(ctx, sa, state, refusal, number)
        return
    if state.rounds >= ROUNDS_MAX:
        _hear_refusal(ctx, sa, state, refusal, number)
        return
    _resend(ctx, sa)
    _make_key(ctx, sa, method, cookie=state.cookie, rounds=state.rounds + 1, nonce=state.nonce)


def _resend(ctx: Context, sa: SaV2) -> None:
    """The first message is not done: message ID 0 is used again (RFC 7296 §2.6)."""
    _end_grace(ctx, sa)
    ctx.agenda.disarm(sa.owner, TimerKind.RETRANSMIT)
    sa.window.outstanding = None


def _hear_refusal(
    ctx: Context, sa: SaV2, state: AwaitInitReply, error: Notify, group: int | None = None
) -> None:
    """Anybody could have sent it: give a genuine answer a moment before believing it."""
    if state.refused is not None:
        return
    code = {NotifyType.INVALID_KE_PAYLOAD: "E112", NotifyType.NO_PROPOSAL_CHOSEN: "E110"}.get(
        NotifyType(error.kind) if error.kind in set(NotifyType) else NotifyType.INVALID_SYNTAX,
        "E114",
    )
    text = label(NotifyType, error.kind)
    if group is not None:
        text += f" asking for {label(KeMethod, group)}"
    sa.state = AwaitInitReply(
        state.method,
        state.private,
        state.public,
        state.nonce,
        state.cookie,
        state.rounds,
        f"{code} {text}",
    )
    ctx.agenda.arm(sa.owner, TimerKind.GRACE, ctx.later(GRACE_S))


def grace_over(ctx: Context, sa: SaV2) -> None:
    """No better answer came: the refusal stands."""
    state = sa.state
    if not isinstance(state, AwaitInitReply) or state.refused is None:
        return
    code, _, text = state.refused.partition(" ")
    offered = ", ".join(str(p) for p in sa.connection.phase1_proposals)
    closing.give_up(
        ctx,
        sa,
        Failed(
            code,
            f"the peer refused phase 1 with {text}; we offered {offered}",
            "make one phase 1 proposal the same on both sides",
        ),
    )


def _end_grace(ctx: Context, sa: SaV2) -> None:
    ctx.agenda.disarm(sa.owner, TimerKind.GRACE)


# --- responder ------------------------------------------------------------------------------


def refusal(
    ctx: Context,
    candidates: Candidates,
    payloads: tuple[Payload, ...],
) -> tuple[Notify, str, str] | tuple[Connection, ChosenProposal]:
    """What a first request deserves: a notify with its reason and code, or a chosen proposal."""
    offer = look.must(payloads, SecurityAssociation)
    key_exchange = look.must(payloads, KeyExchange)
    look.must(payloads, Nonce)
    for connection in candidates.of_each_offer:
        chosen = choose(connection.phase1_proposals, offer.proposals)
        if chosen is None:
            continue
        if chosen.suite.ke != key_exchange.method:
            wanted = int(chosen.suite.ke).to_bytes(2, "big")
            why = (
                f"we want {chosen.suite.ke.name}, the KE payload is of group {key_exchange.method}"
            )
            return Notify(kind=NotifyType.INVALID_KE_PAYLOAD, data=wanted), why, "INVALID_KE"
        return connection, chosen
    ours: tuple[Proposal, ...] = tuple(
        p for c in candidates.of_each_offer for p in c.phase1_proposals
    )
    why = difference(ours, offer.proposals) if candidates else "no tunnel fits this peer's address"
    return Notify(kind=NotifyType.NO_PROPOSAL_CHOSEN), why, "E110"


def answer(
    ctx: Context,
    header: Header,
    payloads: tuple[Payload, ...],
    octets: bytes,
    local: Endpoint,
    remote: Endpoint,
    candidates: tuple[Connection, ...],
    connection: Connection,
    chosen: ChosenProposal,
) -> SaV2:
    """Make the responder's half; the reply goes out when the key exchange is computed."""
    key_exchange = look.must(payloads, KeyExchange)
    nonce_i = look.must(payloads, Nonce).data
    sa = SaV2(
        connection=connection,
        initiator=False,
        spi_i=IkeSpi(header.spi_i),
        spi_r=IkeSpi(ctx.registry.fresh_ike_spi()),
        local=local,
        remote=remote,
        created_at=ctx.now,
        heard_at=ctx.now,
        suite=chosen.suite,
    )
    sa.candidates = candidates
    sa.first_hash = digest(octets, remote)
    sa.window.answering = True
    sa.nat = nat.seen(payloads, sa.spi_i, NO_IKE_SPI, local, remote, connection.nat)
    sa.peer_vendor = _vendor(payloads)
    sa.fragments_agreed = _fragments_agreed(sa, payloads)
    nonce_r = ctx.entropy.octets(NONCE_SIZE)
    takes = auth_terms.read(payloads)
    sa.state = AgreeingInit(nonce_i, nonce_r)
    ctx.registry.add(sa)
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(HALF_OPEN_S))
    record_received(ctx, sa, header, payloads, Arrival(len(octets)))
    tell_chosen(ctx, connection.name, "", 1, chosen.suite, chosen.why)

    def agreed(done: ComputeFinished) -> None:
        if not isinstance(sa.state, AgreeingInit):
            return
        match done.result:
            case (bytes() as public, Secret() as shared):
                _reply(ctx, sa, header, chosen, public, shared, nonce_i, nonce_r, octets, takes)
            case _:
                ctx.record(
                    "datagram.dropped",
                    f"the peer's public value is refused: {done.failure}",
                    connection=sa.connection,
                    code="E113",
                    facts=(("reason", "bad_public_value"), ("remote", str(remote))),
                )
                closing.forget(ctx, sa)

    job = MakeKeyAndAgree(chosen.suite.ke, key_exchange.data)
    ctx.compute(job, agreed, sa, sheddable=True)
    return sa


def _reply(
    ctx: Context,
    sa: SaV2,
    header: Header,
    chosen: ChosenProposal,
    public: bytes,
    shared: Secret,
    nonce_i: bytes,
    nonce_r: bytes,
    request: bytes,
    takes: PeerTakes,
) -> None:
    payloads: tuple[Payload, ...] = (
        SecurityAssociation((chosen.proposal.with_spi(b"", chosen.proposal.number),)),
        KeyExchange(chosen.suite.ke, public),
        Nonce(nonce_r),
        *nat.detection_notifies(
            sa.spi_i, sa.spi_r, sa.local, sa.remote, sa.connection.nat, ctx.entropy
        ),
        *(_offered(sa) if sa.fragments_agreed else ()),
        *auth_terms.answer(ctx, sa.candidates, takes),
        VendorId(VENDOR_ID),
        *nat.preference(sa.connection.nat),
    )
    (reply,) = send_reply(ctx, sa, header, payloads, sa.local, sa.remote)
    sa.authenticating = Authenticating(request, reply, nonce_i, nonce_r, chosen.proposal, takes)
    _derive(ctx, sa, shared)
    _note_nat(ctx, sa)
    sa.state = AwaitAuthRequest()


# --- both -----------------------------------------------------------------------------------


def _derive(ctx: Context, sa: SaV2, shared: Secret) -> None:
    assert sa.suite is not None and sa.suite.prf is not None and sa.authenticating is not None
    nonce_i, nonce_r = sa.authenticating.nonce_i, sa.authenticating.nonce_r
    seed = skeyseed(sa.suite.prf, nonce_i, nonce_r, shared)
    sa.keys = ike_keys(sa.suite, seed, nonce_i, nonce_r, sa.spi_i, sa.spi_r)
    sa.protector = Protector(sa.suite, sa.keys, initiator=sa.initiator, entropy=ctx.entropy)


def _offered(sa: SaV2) -> tuple[Notify, ...]:
    """That we read messages in pieces (RFC 7383 §2.3)."""
    if not sa.connection.fragmentation.enabled:
        return ()
    return (Notify(kind=NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),)


def _fragments_agreed(sa: SaV2, payloads: tuple[Payload, ...]) -> bool:
    heard = look.notified(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)
    return heard is not None and sa.connection.fragmentation.enabled


def _note_nat(ctx: Context, sa: SaV2) -> None:
    if sa.nat.preferred and not (sa.nat.local or sa.nat.peer):
        return
    if sa.nat.encap:
        tell_nat(ctx, sa.connection.name, sa.nat)


def _vendor(payloads: tuple[Payload, ...]) -> str:
    """A name for the peer's software, where its vendor ID is one that we know."""
    for payload in payloads:
        if isinstance(payload, VendorId):
            if payload.data == VENDOR_ID:
                return "Isthmus"
            if payload.data.startswith(b"strongSwan"):
                return "strongSwan"
    return ""
