"""Aggressive Mode (RFC 2409 §5.1, §5.4; RFC 3947 §3), both roles. A star: encrypted.

initiator                                          responder
1  HDR, SA, KE, Ni, IDii, VID+                 -->
2  <-- HDR, SA, KE, Nr, IDir, [CR+], HASH_R or [CERT+] SIG_R, VID+, NAT-D, NAT-D
3  HDR*, HASH_I or [CERT+] SIG_I, NAT-D, NAT-D -->

It shows both identities, and with a pre-shared key a hash that the key can be guessed from without
asking anybody again. So it is done only with tunnels that say `aggressive` and `allow_weak`, and
nobody else's first message is answered.
"""

from dataclasses import replace

from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.digest import digest
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.effects import Agree, MakeKey, MakeKeyAndAgree
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.payloads import must
from isthmus.ike.v1 import closing, methods, modes, phase1, starting, vendors
from isthmus.ike.v1.exchanges import transaction
from isthmus.ike.v1.offers import (
    OfferedPhase1,
    answer_phase1,
    chosen_phase1,
    expressible_phase1,
    group_of,
    identification_for,
    phase1_payload,
)
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.states import Agreeing, AwaitAnswer, AwaitProof, MakingKey, Proving
from isthmus.ike.v1.transport import (
    A_FEW_TIMES,
    open_sealed,
    send_clear,
    send_sealed,
    tell_received,
)
from isthmus.policy.connection import Connection
from isthmus.policy.select import own_id
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement, NotAuthenticated, PeerMisbehaved
from isthmus.values.proposal import Suite, suite_from
from isthmus.values.registry.ikev1 import Flag
from isthmus.values.secret import Secret
from isthmus.values.spi import NO_IKE_SPI, IkeSpi
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    Chain,
    Identification,
    KeyExchange,
    Nonce,
    Payload,
    SecurityAssociation,
)
from isthmus.wire.v1.rules import check

# --- initiator ------------------------------------------------------------------------------


def start(
    ctx: Context, connection: Connection, remote: Endpoint | None, replaces: SaV1 | None = None
) -> SaV1:
    """Begin a new phase 1. `remote` overrides the configured peer; `replaces` is renewed by it."""
    return starting.start(ctx, connection, remote, replaces, lambda sa: _make_key(ctx, sa))


def next_address(ctx: Context, sa: SaV1) -> bool:
    """Nobody answers at this address: is there another one to begin anew with?"""
    if not isinstance(sa.state, AwaitAnswer):
        return False
    return starting.next_address(ctx, sa, lambda again: _make_key(ctx, again))


def _make_key(ctx: Context, sa: SaV1) -> None:
    """The public value goes out with the offer, so there is one group for all of it."""
    connection = sa.connection
    sayable = expressible_phase1(connection.phase1_proposals)
    group = group_of(sayable[0]) if sayable else None
    try:
        method = methods.method_of(ctx, connection, initiator=True)
        offer = phase1_payload(
            (p for p in sayable if group_of(p) is group),
            method,
            connection.phase1_lifetimes.lifetime_s,
        )
        identity = identification_for(own_id(connection, sa.local))
    except (NotAuthenticated, NoAgreement) as nothing:
        closing.give_up(ctx, sa, Failed(nothing.code, nothing.reason, nothing.hint))
        return
    except ValueError as unsayable:
        closing.give_up(ctx, sa, Failed("E137", str(unsayable)))
        return
    assert group is not None, "there is something to offer"
    sa.proving = Proving(offer.encode(), method)
    sa.state = MakingKey()

    def made(done: ComputeFinished) -> None:
        if not isinstance(sa.state, MakingKey):
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                nonce = ctx.entropy.octets(modes.NONCE_SIZE)
                sa.state = AwaitAnswer(offer, group, private, public, nonce)
                payloads: list[Payload] = [offer, KeyExchange(public), Nonce(nonce), identity]
                payloads += modes.requests(ctx, sa, (connection,))
                payloads += vendors.offered(connection)
                send_clear(ctx, sa, sa.phase1, tuple(payloads), repeat=True)
            case _:
                failed = Failed("E113", f"no key pair could be made: {done.failure}")
                closing.give_up(ctx, sa, failed)

    ctx.compute(MakeKey(group), made, sa)


def reply_received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """2: all that the peer has to say. Raises Dropped for what it is not."""
    state = sa.state
    if not isinstance(state, AwaitAnswer) or header.spi_r == NO_IKE_SPI:
        raise Dropped("not_asked")
    chain = modes.clear(header, octets, "aggressive 2")
    try:
        chosen = chosen_phase1(state.offer, must(chain.payloads, SecurityAssociation))
        claim = phase1.read_claim(chain, local, remote)
    except (PeerMisbehaved, Malformed) as wrong:
        raise Dropped("not_offered") from wrong
    assert sa.proving is not None
    if chosen.method != sa.proving.method:
        raise Dropped("not_offered")
    if header.spi_r == sa.spi_i or must(chain.payloads, KeyExchange).data == state.public:
        raise Dropped("reflected")
    modes.taken(ctx, sa, octets)
    sa.spi_r = IkeSpi(header.spi_r)
    sa.suite = suite_from(chosen.proposal)
    sa.peer_can = vendors.heard(chain.payloads)
    sa.nat = modes.nat_seen(sa, chain)
    tell_received(ctx, sa, header, chain, len(octets), is_response=True)
    theirs = must(chain.payloads, KeyExchange).data
    sa.proving = replace(
        sa.proving,
        public_i=state.public,
        public_r=theirs,
        nonce_i=state.nonce,
        nonce_r=must(chain.payloads, Nonce).data,
    )
    sa.state = Agreeing()

    def agreed(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Agreeing):
            return
        match done.result:
            case (Secret() as shared,):
                _judge_answer(ctx, sa, claim, shared)
            case _:
                failed = Failed("E113", f"the peer's public value is refused: {done.failure}")
                closing.give_up(ctx, sa, failed)

    ctx.compute(Agree(state.group, state.private, theirs), agreed, sa)


def _judge_answer(ctx: Context, sa: SaV1, claim: phase1.Claim, shared: Secret) -> None:
    assert sa.proving is not None
    sa.proving = replace(sa.proving, shared=shared)
    try:
        phase1.derive(ctx, sa)
    except NotAuthenticated as nothing:
        closing.give_up(ctx, sa, Failed(nothing.code, nothing.reason))
        return

    def accepted(_: Connection) -> None:
        sa.remote_id = claim.identity
        phase1.move_to_nat_port(sa)
        phase1.prove(ctx, sa, proved, lambda failed: closing.give_up(ctx, sa, failed))

    def proved(payloads: tuple[Payload, ...]) -> None:
        # 3. Our identity went out with the first message.
        shown = tuple(p for p in payloads if not isinstance(p, Identification))
        sealed = (*shown, *modes.nat_detection(ctx, sa), *phase1.first_contact(ctx, sa))
        send_sealed(ctx, sa, sa.phase1, sealed, repeat=True)
        if sa.phase1.sent is not None:
            sa.phase1.sent.schedule = A_FEW_TIMES
        sa.last_block = sa.phase1.iv
        transaction.finish(ctx, sa, peer_is_new=phase1.says_first_contact(claim.chain))

    phase1.judge(
        ctx,
        sa,
        claim,
        (sa.connection,),
        accepted,
        lambda failure: phase1.refuse(ctx, sa, failure),
        lambda why: closing.give_up(ctx, sa, Failed("E139", why, lasting=False)),
    )


# --- responder ------------------------------------------------------------------------------


def take(
    ctx: Context,
    header: Header,
    chain: Chain,
    chosen: OfferedPhase1,
    suite: Suite,
    candidates: tuple[Connection, ...],
    octets: bytes,
    local: Endpoint,
    remote: Endpoint,
) -> SaV1:
    """1: `chosen` of its offer fits the first of `candidates`, all of which fit its identity."""
    sa = SaV1(
        connection=candidates[0],
        initiator=False,
        spi_i=IkeSpi(header.spi_i),
        spi_r=IkeSpi(ctx.registry.fresh_ike_spi()),
        local=local,
        remote=remote,
        created_at=ctx.now,
        heard_at=ctx.now,
        suite=suite,
        candidates=candidates,
        peer_can=vendors.heard(chain.payloads),
        lifetime_max_s=chosen.lifetime_s,
    )
    sa.phase1.kind = header.exchange
    sa.phase1.heard = digest(octets, remote)
    sa.claim = phase1.read_claim(chain, local, remote)
    theirs = must(chain.payloads, KeyExchange).data
    nonce = ctx.entropy.octets(modes.NONCE_SIZE)
    offer = must(chain.payloads, SecurityAssociation)
    shown = Proving(
        chain.bodies[0],
        chosen.method,
        public_i=theirs,
        nonce_i=must(chain.payloads, Nonce).data,
        nonce_r=nonce,
    )
    sa.proving = shown
    sa.state = MakingKey()
    ctx.registry.add(sa)
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(phase1.HALF_OPEN_S))
    tell_received(ctx, sa, header, chain, len(octets), is_response=False)

    def made(done: ComputeFinished) -> None:
        if not isinstance(sa.state, MakingKey):
            return
        match done.result:
            case (bytes() as public, Secret() as shared):
                sa.proving = replace(shown, public_r=public, shared=shared)
                try:
                    phase1.derive(ctx, sa)
                except NotAuthenticated as nothing:
                    closing.give_up(ctx, sa, Failed(nothing.code, nothing.reason))
                    return
                phase1.prove(ctx, sa, lambda proof: reply(public, proof), failed)
            case _:
                closing.forget(ctx, sa)

    def reply(public: bytes, proof: tuple[Payload, ...]) -> None:
        sa.state = AwaitProof()
        payloads = (
            answer_phase1(offer, chosen),
            KeyExchange(public),
            Nonce(nonce),
            *proof,
            *modes.requests(ctx, sa, candidates),
            *vendors.answered(sa.connection, sa.peer_can),
            *modes.nat_detection(ctx, sa),
        )
        send_clear(ctx, sa, sa.phase1, payloads, repeat=False)

    def failed(why: Failed) -> None:
        closing.give_up(ctx, sa, why)

    ctx.compute(MakeKeyAndAgree(suite.ke, theirs), made, sa, sheddable=True)
    return sa


def request_received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """3: the peer's proof. Some send it in clear. Raises Dropped for what it is not."""
    if not isinstance(sa.state, AwaitProof) or sa.claim is None:
        raise Dropped("not_asked")
    try:
        if header.flags & Flag.ENCRYPTION:
            chain, next_iv = open_sealed(sa, header, octets, sa.phase1.iv)
            check(header.exchange, "aggressive 3", chain.payloads)
        else:
            chain, next_iv = modes.clear(header, octets, "aggressive 3"), sa.phase1.iv
        claim = replace(sa.claim, chain=chain, local=local, remote=remote)
        phase1.check_hash(sa, claim)
    except Dropped:
        phase1.note_unreadable(ctx, sa)
        raise
    except Malformed as malformed:
        phase1.note_unreadable(ctx, sa)
        raise Dropped("unreadable") from malformed
    heard = digest(octets, remote)
    tell_received(ctx, sa, header, chain, len(octets), is_response=False)

    def accepted(connection: Connection) -> None:
        ctx.registry.assign(sa, connection)
        sa.nat = modes.nat_seen(sa, chain)
        # The initiator has moved to port 4500 if a NAT was seen.
        sa.local, sa.remote = local, remote
        sa.remote_id = claim.identity
        sa.phase1.heard = heard
        sa.phase1.reply = ()
        sa.last_block = next_iv
        transaction.finish(ctx, sa, peer_is_new=phase1.says_first_contact(chain))

    def busy(why: str) -> None:
        # The peer does not repeat it by itself, but when our answer comes again.
        sa.state = AwaitProof()
        phase1.tell_busy(ctx, sa, why)

    phase1.judge(
        ctx,
        sa,
        claim,
        phase1.still_configured(ctx, sa),
        accepted,
        lambda failure: phase1.refuse(ctx, sa, failure),
        busy,
    )
