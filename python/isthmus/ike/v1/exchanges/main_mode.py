"""Main Mode (RFC 2409 §5.1, §5.4; RFC 3947 §3), both roles. Encrypted messages bear a star.

initiator                                   responder
1  HDR, SA, VID+                       -->
2                                      <--   HDR, SA, VID+
3  HDR, KE, Ni, [CR+], NAT-D, NAT-D    -->
4                                      <--   HDR, KE, Nr, [CR+], NAT-D, NAT-D
5  HDR*, IDii, HASH_I or [CERT+] SIG_I -->
6                                      <--   HDR*, IDir, HASH_R or [CERT+] SIG_R

A responder keeps nothing but a few octets (`door.py`) before the third message, which shows that
its sender hears what is sent to that address, and computes nothing before it.
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
from isthmus.ike.v1.embryo import Embryo
from isthmus.ike.v1.exchanges import transaction
from isthmus.ike.v1.offers import chosen_phase1, phase1_payload
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.states import (
    Agreeing,
    AwaitChoice,
    AwaitKey,
    AwaitOpening,
    AwaitProof,
    MakingKey,
    Proving,
)
from isthmus.ike.v1.transport import open_sealed, send_clear, send_sealed, tell_received
from isthmus.policy.connection import Connection
from isthmus.values.address import Endpoint
from isthmus.values.errors import Malformed, NoAgreement, NotAuthenticated, PeerMisbehaved
from isthmus.values.proposal import suite_from
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.secret import Secret
from isthmus.values.spi import NO_IKE_SPI, IkeSpi
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    Chain,
    KeyExchange,
    Nonce,
    Payload,
    SecurityAssociation,
)
from isthmus.wire.v1.rules import check

# --- initiator ------------------------------------------------------------------------------


OPENINGS_MAX = 8
"""Public values that one peer may show: workers may be too busy for the first ones."""


def start(
    ctx: Context, connection: Connection, remote: Endpoint | None, replaces: SaV1 | None = None
) -> SaV1:
    """Begin a new phase 1. `remote` overrides the configured peer; `replaces` is renewed by it."""
    return starting.start(ctx, connection, remote, replaces, lambda sa: _offer(ctx, sa))


def _offer(ctx: Context, sa: SaV1) -> None:
    """1: what we can do."""
    connection = sa.connection
    try:
        method = methods.method_of(ctx, connection, initiator=True)
        offer = phase1_payload(
            connection.phase1_proposals, method, connection.phase1_lifetimes.lifetime_s
        )
    except (NotAuthenticated, NoAgreement) as nothing:
        closing.give_up(ctx, sa, Failed(nothing.code, nothing.reason, nothing.hint))
        return
    sa.proving = Proving(offer.encode(), method)
    sa.state = AwaitChoice(offer)
    send_clear(ctx, sa, sa.phase1, (offer, *vendors.offered(connection)), repeat=True)


def next_address(ctx: Context, sa: SaV1) -> bool:
    """Nobody answers at this address: is there another one to begin anew with?"""
    if not isinstance(sa.state, AwaitChoice):
        return False
    return starting.next_address(ctx, sa, lambda again: _offer(ctx, again))


def reply_received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """2, 4 or 6, whichever is due. Raises Dropped for what is none of them."""
    match sa.state:
        case AwaitChoice() as state:
            chain = modes.clear(header, octets, "main 2")
            _choice_received(ctx, sa, state, header, chain, octets)
        case AwaitKey() as state:
            chain = modes.clear(header, octets, "main 4")
            _key_received(ctx, sa, state, header, chain, octets)
        case AwaitProof():
            _proof_received(ctx, sa, header, octets, local, remote)
        case _:
            raise Dropped("not_asked")


def _choice_received(
    ctx: Context, sa: SaV1, state: AwaitChoice, header: Header, chain: Chain, octets: bytes
) -> None:
    """2: what the peer takes of it."""
    if header.spi_r == NO_IKE_SPI:
        raise Dropped("malformed")
    if header.spi_r == sa.spi_i:
        raise Dropped("reflected")
    try:
        chosen = chosen_phase1(state.offer, must(chain.payloads, SecurityAssociation))
    except PeerMisbehaved as wrong:
        raise Dropped("not_offered") from wrong
    assert sa.proving is not None
    if chosen.method != sa.proving.method:
        raise Dropped("not_offered")
    modes.taken(ctx, sa, octets)
    sa.spi_r = IkeSpi(header.spi_r)
    sa.suite = suite_from(chosen.proposal)
    sa.peer_can = vendors.heard(chain.payloads)
    tell_received(ctx, sa, header, chain, len(octets), is_response=True)
    sa.state = MakingKey()

    def made(done: ComputeFinished) -> None:
        if not isinstance(sa.state, MakingKey):
            return
        match done.result:
            case (Secret() as private, bytes() as public):
                sa.state = AwaitKey(private, public, ctx.entropy.octets(modes.NONCE_SIZE))
                payloads = _key_payloads(ctx, sa, public, sa.state.nonce, (sa.connection,))
                send_clear(ctx, sa, sa.phase1, payloads, repeat=True)
            case _:
                failed = Failed("E113", f"no key pair could be made: {done.failure}")
                closing.give_up(ctx, sa, failed)

    ctx.compute(MakeKey(sa.suite.ke), made, sa)


def _key_received(
    ctx: Context, sa: SaV1, state: AwaitKey, header: Header, chain: Chain, octets: bytes
) -> None:
    """4: the peer's public value; with it there are keys."""
    assert sa.suite is not None and sa.proving is not None
    theirs = must(chain.payloads, KeyExchange).data
    if theirs == state.public:
        raise Dropped("reflected")
    modes.taken(ctx, sa, octets)
    sa.peer_can = vendors.heard(chain.payloads, sa.peer_can)
    sa.nat = modes.nat_seen(sa, chain)
    tell_received(ctx, sa, header, chain, len(octets), is_response=True)
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
                _keyed(ctx, sa, shared)
            case _:
                failed = Failed("E113", f"the peer's public value is refused: {done.failure}")
                closing.give_up(ctx, sa, failed)

    ctx.compute(Agree(sa.suite.ke, state.private, theirs), agreed, sa)


def _keyed(ctx: Context, sa: SaV1, shared: Secret) -> None:
    """5: who we are, and our proof."""
    assert sa.proving is not None
    sa.proving = replace(sa.proving, shared=shared)
    try:
        phase1.derive(ctx, sa)
    except NotAuthenticated as nothing:
        closing.give_up(ctx, sa, Failed(nothing.code, nothing.reason))
        return
    phase1.move_to_nat_port(sa)

    def proved(payloads: tuple[Payload, ...]) -> None:
        sa.state = AwaitProof()
        sealed = (*payloads, *phase1.first_contact(ctx, sa))
        send_sealed(ctx, sa, sa.phase1, sealed, repeat=True)

    phase1.prove(ctx, sa, proved, lambda failed: closing.give_up(ctx, sa, failed))


def _proof_received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """6: who the peer is, and its proof."""
    chain, next_iv = open_sealed(sa, header, octets, sa.phase1.iv)
    claim = _claim(sa, header, chain, local, remote, "main 6")
    phase1.check_hash(sa, claim)
    modes.taken(ctx, sa, octets)
    tell_received(ctx, sa, header, chain, len(octets), is_response=True)

    def accepted(_: Connection) -> None:
        sa.remote_id = claim.identity
        sa.last_block = next_iv
        phase1.note_lifetime(sa, chain)
        transaction.finish(ctx, sa, peer_is_new=phase1.says_first_contact(chain))

    def refused(failure: NotAuthenticated) -> None:
        # For the peer, which has proved itself, phase 1 has its last block.
        sa.last_block = next_iv
        phase1.refuse(ctx, sa, failure)

    phase1.judge(
        ctx,
        sa,
        claim,
        (sa.connection,),
        accepted,
        refused,
        lambda why: closing.give_up(ctx, sa, Failed("E139", why, lasting=False)),
    )


# --- responder ------------------------------------------------------------------------------


def take(
    ctx: Context,
    embryo: Embryo,
    header: Header,
    octets: bytes,
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """3: the peer hears what we send to its address; from here on it costs something.

    Raises Dropped for a message that is no third one.
    """
    chain = modes.clear(header, octets, "main 3")
    sa = admit(ctx, embryo, local, remote)
    _opening_received(ctx, sa, embryo, header, chain, octets)


def admit(ctx: Context, embryo: Embryo, local: Endpoint, remote: Endpoint) -> SaV1:
    """The third message is here, or the first piece of it: the peer counts as half-open."""
    sa = SaV1(
        connection=embryo.connection,
        initiator=False,
        spi_i=embryo.cookie_i,
        spi_r=embryo.cookie_r,
        local=local,
        remote=remote,
        created_at=ctx.now,
        heard_at=ctx.now,
        suite=embryo.suite,
        candidates=embryo.candidates,
        peer_can=embryo.peer_can,
        lifetime_max_s=embryo.offered.lifetime_s,
        state=AwaitOpening(embryo),
    )
    sa.phase1.kind = ExchangeType.MAIN_MODE
    ctx.registry.add(sa)
    ctx.agenda.arm(sa.owner, TimerKind.HALF_OPEN, ctx.later(phase1.HALF_OPEN_S))
    return sa


def _opening_received(
    ctx: Context, sa: SaV1, embryo: Embryo, header: Header, chain: Chain, octets: bytes
) -> None:
    """3, whole: the peer's public value."""
    tries = sa.state.tries + 1 if isinstance(sa.state, AwaitOpening) else 1
    sa.peer_can = vendors.heard(chain.payloads, embryo.peer_can)
    sa.phase1.heard = digest(octets, sa.remote)
    sa.nat = modes.nat_seen(sa, chain)
    theirs = must(chain.payloads, KeyExchange).data
    nonce = ctx.entropy.octets(modes.NONCE_SIZE)
    shown = Proving(
        embryo.sa_body,
        embryo.offered.method,
        public_i=theirs,
        nonce_i=must(chain.payloads, Nonce).data,
        nonce_r=nonce,
    )
    sa.proving = shown
    sa.state = MakingKey()
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
                sa.state = AwaitProof()
                payloads = _key_payloads(ctx, sa, public, nonce, sa.candidates)
                send_clear(ctx, sa, sa.phase1, payloads, repeat=False)
            case _ if tries < OPENINGS_MAX:
                # The peer's next repeat is another try.
                phase1.tell_no_key(ctx, sa, done.failure)
                sa.phase1.heard = b""
                sa.state = AwaitOpening(embryo, tries)
            case _:
                closing.forget(ctx, sa)

    ctx.compute(MakeKeyAndAgree(embryo.suite.ke, theirs), made, sa, sheddable=True)


def request_received(
    ctx: Context, sa: SaV1, header: Header, octets: bytes, local: Endpoint, remote: Endpoint
) -> None:
    """3 that came in pieces, or 5: who the peer is, and its proof. Raises Dropped for what is no
    such message."""
    if isinstance(sa.state, AwaitOpening):
        chain = modes.clear(header, octets, "main 3")
        _opening_received(ctx, sa, sa.state.embryo, header, chain, octets)
        return
    if not isinstance(sa.state, AwaitProof):
        raise Dropped("not_asked")
    try:
        chain, next_iv = open_sealed(sa, header, octets, sa.phase1.iv)
        claim = _claim(sa, header, chain, local, remote, "main 5")
        phase1.check_hash(sa, claim)
    except Dropped:
        phase1.note_unreadable(ctx, sa)
        raise
    heard = digest(octets, remote)
    tell_received(ctx, sa, header, chain, len(octets), is_response=False)

    def accepted(connection: Connection) -> None:
        ctx.registry.assign(sa, connection)
        # The initiator has moved to port 4500 if a NAT was seen.
        sa.local, sa.remote = local, remote
        sa.remote_id = claim.identity
        sa.phase1.heard = heard
        sa.phase1.iv = next_iv
        phase1.prove(ctx, sa, proved, failed)

    def proved(payloads: tuple[Payload, ...]) -> None:
        peer_is_new = phase1.says_first_contact(chain)
        sealed = payloads if peer_is_new else (*payloads, *phase1.first_contact(ctx, sa))
        send_sealed(ctx, sa, sa.phase1, sealed, repeat=False)
        sa.last_block = sa.phase1.iv
        transaction.finish(ctx, sa, peer_is_new=peer_is_new)

    def failed(why: Failed) -> None:
        phase1.refuse(ctx, sa, NotAuthenticated(why.reason, notify=None, code=why.code))

    def refused(failure: NotAuthenticated) -> None:
        sa.phase1.iv = next_iv
        phase1.refuse(ctx, sa, failure)

    def busy(why: str) -> None:
        # The peer's next repeat is another try.
        sa.state = AwaitProof()
        phase1.tell_busy(ctx, sa, why)

    phase1.judge(
        ctx,
        sa,
        claim,
        phase1.still_configured(ctx, sa),
        accepted,
        refused,
        busy,
    )


# --- both -----------------------------------------------------------------------------------


def _claim(
    sa: SaV1, header: Header, chain: Chain, local: Endpoint, remote: Endpoint, place: str
) -> phase1.Claim:
    try:
        check(header.exchange, place, chain.payloads)
        return phase1.read_claim(chain, local, remote)
    except Malformed as malformed:
        raise Dropped("unreadable") from malformed


def _key_payloads(
    ctx: Context, sa: SaV1, public: bytes, nonce: bytes, connections: tuple[Connection, ...]
) -> tuple[Payload, ...]:
    """3 and 4 alike."""
    asks = modes.requests(ctx, sa, connections)
    return (KeyExchange(public), Nonce(nonce), *asks, *modes.nat_detection(ctx, sa))
