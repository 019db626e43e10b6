"""IKE_AUTH (RFC 7296 §1.2, §2.15, §2.16, §2.21.2), both roles.

initiator                                            responder
SK {IDi, [INITIAL_CONTACT], [IDr], AUTH, SA, TSi, TSr}   -->
                                  <--   SK {IDr, AUTH, SA, TSi, TSr}
                                        or SK {IDr, AUTH, N(error)}: phase 1 without phase 2
                                        or SK {N(AUTHENTICATION_FAILED)}
"""

from isthmus.ike.auth import psk
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Keepalive
from isthmus.ike.v2 import children, closing, look
from isthmus.ike.v2.authoctets import signed_octets
from isthmus.ike.v2.purposes import ForAuth
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import (
    AwaitAuthReply,
    AwaitAuthRequest,
    ChildOffer,
    Established,
    Refused,
)
from isthmus.ike.v2.transport import (
    notify,
    record_received,
    send_reply,
    send_request,
    settle,
)
from isthmus.ike.v2.wishes import WantDeleteIke
from isthmus.policy.connection import Connection
from isthmus.policy.negotiate import accepts
from isthmus.policy.schedule import renewal
from isthmus.policy.select import by_identity, expected_remote_id, own_id
from isthmus.values.address import IKE_PORT, NAT_T_PORT, Endpoint
from isthmus.values.errors import Malformed, NoAgreement, NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import (
    AuthMethod,
    ExchangeType,
    NotifyType,
    PayloadType,
    label,
)
from isthmus.values.secret import Secret
from isthmus.wire.header import Header
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation

KEEPALIVE_S = 20.0
"""RFC 3948 §4: keeps a NAT's mapping alive."""


# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, sa: SaV2) -> None:
    """Keys exist: say who we are and prove it, and ask for the first Child SA."""
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    if sa.nat.encap and sa.remote.port == IKE_PORT:
        sa.local = Endpoint(sa.local.address, NAT_T_PORT)
        sa.remote = Endpoint(sa.remote.address, NAT_T_PORT)
    secret = ctx.credentials.psk(sa.connection.local_auth.name)
    if secret is None:
        closing.give_up(ctx, sa, Failed("E122", "no pre-shared key is loaded for this tunnel"))
        return
    sa.local_id = own_id(sa.connection, sa.local)
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_i, shown.nonce_r, sa.keys.sk_pi, sa.local_id)
    payloads: list[Payload] = [Identification(PayloadType.ID_I, sa.local_id)]
    if ctx.lifecycle.first_contact(sa):
        payloads.append(notify(NotifyType.INITIAL_CONTACT))
    if sa.connection.remote_id is not None:
        payloads.append(Identification(PayloadType.ID_R, sa.connection.remote_id))
    payloads.append(Authentication(AuthMethod.SHARED_KEY, psk.prove(sa.suite.prf, secret, octets)))
    offer = _first_child(ctx, sa)
    if offer is not None:
        payloads += children.offer_payloads(offer)
    sa.state = AwaitAuthReply(offer)
    send_request(ctx, sa, ExchangeType.IKE_AUTH, tuple(payloads), ForAuth())


def _first_child(ctx: Context, sa: SaV2) -> ChildOffer | None:
    name = ctx.lifecycle.wanted_rule(sa)
    rule = sa.connection.rule(name) if name else None
    if rule is None:
        rule = sa.connection.rules[0] if sa.connection.rules else None
    if rule is None:
        return None
    ctx.record(
        "phase2.negotiating",
        f"phase 2 of rule {rule.name} starts",
        connection=sa.connection,
        rule=rule.name,
    )
    # The first Child SA's keys come from the IKE SA: no KE in its proposals (RFC 7296 §1.2).
    return children.make_offer(ctx, rule, "", pfs=False)


def reply_received(ctx: Context, sa: SaV2, header: Header, payloads: tuple[Payload, ...]) -> None:
    """The answer to our IKE_AUTH: it was integrity-protected, so its refusals are believed."""
    state = sa.state
    if not isinstance(state, AwaitAuthReply):
        return
    settle(ctx, sa)
    proof = look.first(payloads, Authentication)
    if proof is None:
        _refused(ctx, sa, look.error(payloads))
        return
    try:
        _check_responder(ctx, sa, payloads, proof)
    except NotAuthenticated as failure:
        # The peer believes that the SA stands: tell it otherwise (RFC 7296 §2.21.2).
        failed = Failed(failure.code, failure.reason, _fix(failure.code))
        _say_goodbye(ctx, sa, failed)
        return
    _establish(ctx, sa)
    _read_child(ctx, sa, state.child, payloads)
    ctx.lifecycle.phase1_ready(ctx, sa)


def _read_child(
    ctx: Context, sa: SaV2, offer: ChildOffer | None, payloads: tuple[Payload, ...]
) -> None:
    """What became of the Child SA that went with IKE_AUTH."""
    rule = sa.connection.rule(offer.rule) if offer is not None else None
    if offer is None or rule is None:
        return
    error = look.error(payloads)
    if look.first(payloads, SecurityAssociation) is None:
        failed = (
            children.failure_of(error, offer)
            if error is not None
            else Failed("E209", "the peer made no Child SA and did not say why")
        )
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, failed)
        return
    assert sa.authenticating is not None
    try:
        accepted = children.read_answer(offer, payloads, pfs=False)
        children.refuse_taken(ctx, accepted.spi_out)
    except (NoAgreement, Malformed) as refusal:
        code = refusal.code if isinstance(refusal, NoAgreement) else "E209"
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, Failed(code, str(refusal)))
        sa.wishes.append(WantDeleteIke("the peer's answer for phase 2 cannot be used"))
        return
    child = children.install(
        ctx,
        sa,
        rule,
        suite=accepted.suite,
        spi_in=offer.spi,
        spi_out=accepted.spi_out,
        local=accepted.local,
        remote=accepted.remote,
        nonce_i=sa.authenticating.nonce_i,
        nonce_r=sa.authenticating.nonce_r,
        shared=None,
        initiated=True,
        asked_at=sa.created_at,
    )
    sa.authenticating = None
    ctx.lifecycle.phase2_up(ctx, sa, child)


def _check_responder(
    ctx: Context, sa: SaV2, payloads: tuple[Payload, ...], proof: Authentication
) -> None:
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    identification = look.must(payloads, Identification)
    claimed = identification.identity
    expected = expected_remote_id(sa.connection, sa.remote)
    secret = ctx.credentials.psk(sa.connection.remote_auth.name)
    if secret is None or proof.method != AuthMethod.SHARED_KEY:
        raise NotAuthenticated(
            f"the peer authenticates with {label(AuthMethod, proof.method)}, "
            "this tunnel with a pre-shared key",
            notify=NotifyType.AUTHENTICATION_FAILED,
            code="E123",
        )
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_r, shown.nonce_i, sa.keys.sk_pr, claimed)
    psk.check(sa.suite.prf, secret, octets, proof.data)
    if not expected.matches(claimed):
        raise NotAuthenticated(
            f"the peer proved to be {claimed}, expected was {expected}",
            notify=NotifyType.AUTHENTICATION_FAILED,
            code="E130",
        )
    sa.remote_id = claimed


def _refused(ctx: Context, sa: SaV2, error: Notify | None) -> None:
    kind = error.kind if error is not None else None
    if kind == NotifyType.AUTHENTICATION_FAILED:
        failed = Failed(
            "E120",
            "the peer refused our proof with AUTHENTICATION_FAILED: another pre-shared key, or an "
            f"identity that it does not expect (we are {sa.local_id})",
            _fix("E120"),
        )
    else:
        name = label(NotifyType, kind) if kind is not None else "no reason"
        failed = Failed("E124", f"the peer refused IKE_AUTH with {name}")
    closing.give_up(ctx, sa, failed)


def _say_goodbye(ctx: Context, sa: SaV2, failed: Failed) -> None:
    ctx.lifecycle.phase1_failed(ctx, sa, failed)
    sa.state = Refused()
    sa.wishes.clear()
    sa.wishes.append(WantDeleteIke("authentication failed", NotifyType.AUTHENTICATION_FAILED))


# --- responder ------------------------------------------------------------------------------


def request_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """A peer says who it is. Nothing is installed before its proof holds."""
    if not isinstance(sa.state, AwaitAuthRequest):
        raise Malformed("IKE_AUTH at a time when nobody authenticates")
    record_received(ctx, sa, header, payloads, sa.window.request)
    try:
        connection = _check_initiator(ctx, sa, payloads, local, remote)
    except NotAuthenticated as failure:
        send_reply(ctx, sa, header, (notify(NotifyType.AUTHENTICATION_FAILED),), local, remote)
        closing.refuse(ctx, sa)
        ctx.lifecycle.phase1_failed(
            ctx, sa, Failed(failure.code, failure.reason, _fix(failure.code))
        )
        return
    ctx.registry.assign(sa, connection)
    # The initiator moved to port 4500 if a NAT was seen (RFC 7296 §2.23).
    sa.local, sa.remote = local, remote
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    secret = ctx.credentials.psk(connection.local_auth.name)
    assert secret is not None, "the peer was checked with it"
    sa.local_id = own_id(connection, local)
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_r, shown.nonce_i, sa.keys.sk_pr, sa.local_id)
    reply: list[Payload] = [
        Identification(PayloadType.ID_R, sa.local_id),
        Authentication(AuthMethod.SHARED_KEY, psk.prove(sa.suite.prf, secret, octets)),
    ]
    if look.notified(payloads, NotifyType.INITIAL_CONTACT) is not None:
        ctx.lifecycle.initial_contact(ctx, sa)
    _establish(ctx, sa)
    _answer_child(ctx, sa, header, payloads, reply, local, remote)
    ctx.lifecycle.phase1_ready(ctx, sa)


def _answer_child(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    reply: list[Payload],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """The Child SA that the peer asks for with IKE_AUTH; `reply` holds what proves our identity."""
    assert sa.authenticating is not None
    shown, connection = sa.authenticating, sa.connection
    if look.first(payloads, SecurityAssociation) is None:
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        return
    try:
        choice = children.decide(connection.rules, payloads, pfs=False)
        children.refuse_taken(ctx, choice.spi_out)
    except NoAgreement as refusal:
        reply.append(notify(refusal.notify or NotifyType.NO_PROPOSAL_CHOSEN))
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        ctx.lifecycle.phase2_failed(ctx, sa, "", Failed(refusal.code, refusal.reason))
        return
    rule = choice.narrowed.rule
    if not ctx.lifecycle.admits(sa, rule.name):
        # Others refuse phase 1 altogether when they see TEMPORARY_FAILURE here.
        reply.append(notify(NotifyType.NO_ADDITIONAL_SAS))
        send_reply(ctx, sa, header, tuple(reply), local, remote)
        ctx.lifecycle.phase2_failed(ctx, sa, rule.name, children.held_down(rule))
        return
    ctx.record(
        "proposal.chosen",
        f"phase 2 of rule {rule.name}: {choice.chosen.suite}: {choice.chosen.why}",
        connection=connection,
        rule=rule.name,
        facts=(("phase", 2), ("suite", str(choice.chosen.suite)), ("why", choice.chosen.why)),
    )
    spi_in = ctx.registry.fresh_spi()
    child = children.install(
        ctx,
        sa,
        rule,
        suite=choice.chosen.suite,
        spi_in=spi_in,
        spi_out=choice.spi_out,
        local=choice.narrowed.local,
        remote=choice.narrowed.remote,
        nonce_i=shown.nonce_i,
        nonce_r=shown.nonce_r,
        shared=None,
        initiated=False,
        asked_at=sa.created_at,
    )
    sa.authenticating = None
    reply += children.answer_payloads(choice, spi_in)
    send_reply(ctx, sa, header, tuple(reply), local, remote)
    ctx.lifecycle.phase2_up(ctx, sa, child)


def _check_initiator(
    ctx: Context, sa: SaV2, payloads: tuple[Payload, ...], local: Endpoint, remote: Endpoint
) -> Connection:
    """The tunnel that the peer has proved to be the other end of."""
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    shown = sa.authenticating
    claimed: Identity | None = None
    wanted: Identity | None = None
    for payload in payloads:
        if isinstance(payload, Identification):
            if payload.role == PayloadType.ID_I:
                claimed = payload.identity
            else:
                wanted = payload.identity
    if claimed is None:
        raise Malformed("IKE_AUTH without IDi")
    proof = look.first(payloads, Authentication)
    if proof is None or proof.method != AuthMethod.SHARED_KEY:
        how = "EAP" if proof is None else label(AuthMethod, proof.method)
        raise NotAuthenticated(
            f"{claimed} wants to authenticate by {how}, we ask for a pre-shared key",
            notify=NotifyType.AUTHENTICATION_FAILED,
            code="E123",
        )
    # A tunnel may have gone from the configuration since the first message.
    candidates = tuple(c for c in sa.candidates if c in ctx.configuration.connections)
    fitting = by_identity(candidates, sa.local, remote, claimed, wanted)
    octets = signed_octets(sa.suite.prf, shown.message_i, shown.nonce_r, sa.keys.sk_pi, claimed)
    refusal: NotAuthenticated | None = None
    for connection in fitting:
        secret = ctx.credentials.psk(connection.remote_auth.name)
        if secret is None or not accepts(connection.phase1_proposals, shown.chosen):
            continue
        try:
            psk.check(sa.suite.prf, secret, octets, proof.data)
        except NotAuthenticated as failure:
            if refusal is None:
                refusal = failure
                ctx.registry.assign(sa, connection)
            continue
        sa.remote_id = claimed
        return connection
    if refusal is not None:
        raise refusal
    # As much work as for a known identity, so that timing does not tell which identities exist.
    psk.prove(sa.suite.prf, Secret(shown.nonce_r), octets)
    expected = ", ".join(
        f"{expected_remote_id(c, remote)} (tunnel {c.name})" for c in sa.candidates
    )
    asked = f" and asks for {wanted}" if wanted is not None else ""
    raise NotAuthenticated(
        f"the peer says that it is {claimed}{asked}; expected was {expected or 'nobody'}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E130",
    )


# --- both -----------------------------------------------------------------------------------


def _establish(ctx: Context, sa: SaV2) -> None:
    """Both proofs hold."""
    sa.state = Established()
    sa.established_at = ctx.now
    sa.heard_at = ctx.now
    sa.candidates = ()
    ctx.agenda.disarm(sa.owner, TimerKind.HALF_OPEN)
    standing(ctx, sa)
    ctx.lifecycle.phase1_up(ctx, sa)


def standing(ctx: Context, sa: SaV2) -> None:
    """Arm the timers of an IKE SA that stands, fresh or after a rekey."""
    lifetimes = sa.connection.phase1_lifetimes
    sa.expires_at = ctx.later(lifetimes.lifetime_s)
    ctx.agenda.arm(sa.owner, TimerKind.IKE_REKEY, ctx.later(renewal(lifetimes, ctx.chance())))
    ctx.agenda.arm(sa.owner, TimerKind.IKE_EXPIRE, sa.expires_at)
    ctx.agenda.arm(sa.owner, TimerKind.LIVENESS, ctx.later(sa.connection.liveness.every_s))
    if sa.nat.local:
        ctx.emit(Keepalive(sa.local, sa.remote, KEEPALIVE_S))


def _fix(code: str) -> str:
    return {
        "E120": "compare the pre-shared keys (isthmus psk check) and the identities of both sides",
        "E123": "set the same authentication on both sides",
        "E130": "set remote_id to what the peer sends, or local_id there to what is expected here",
    }.get(code, "")
