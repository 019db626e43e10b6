"""IKE_AUTH (RFC 7296 §1.2, §2.15, §2.16, §2.21.2), both roles.

initiator                                            responder
SK {IDi, [CERT+], [CERTREQ+], [INITIAL_CONTACT], [IDr], AUTH, SA, TSi, TSr}   -->
                                  <--   SK {IDr, [CERT+], AUTH, SA, TSi, TSr}
                                        or SK {IDr, AUTH, N(error)}: phase 1 without phase 2
                                        or SK {N(AUTHENTICATION_FAILED)}

Nothing is installed, and nobody is Established, before the peer's proof holds. A responder shows
its own proof only then.
"""

from dataclasses import dataclass, replace

from isthmus.ike.auth import psk, theirs
from isthmus.ike.core import standing
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.states import Established, Refused
from isthmus.ike.v2 import children, closing, look
from isthmus.ike.v2.authoctets import signed_octets
from isthmus.ike.v2.exchanges import auth_child, auth_proof, auth_terms
from isthmus.ike.v2.purposes import ForAuth
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import AwaitAuthReply, AwaitAuthRequest
from isthmus.ike.v2.transport import (
    notify,
    record_received,
    send_reply,
    send_request,
    settle,
)
from isthmus.ike.v2.wishes import WantDeleteIke
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import Connection
from isthmus.policy.negotiate import accepts
from isthmus.policy.select import by_identity, expected_remote_id, own_id
from isthmus.values.address import IKE_PORT, NAT_T_PORT, Endpoint
from isthmus.values.errors import Malformed, NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import ExchangeType, NotifyType, PayloadType, label
from isthmus.values.secret import Secret
from isthmus.wire.header import Header
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify

# --- initiator ------------------------------------------------------------------------------


def start(ctx: Context, sa: SaV2) -> None:
    """Keys exist: say who we are and prove it, and ask for the first Child SA."""
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    if sa.nat.encap and sa.remote.port == IKE_PORT:
        sa.local = Endpoint(sa.local.address, NAT_T_PORT)
        sa.remote = Endpoint(sa.remote.address, NAT_T_PORT)
    local_id = own_id(sa.connection, sa.local)
    sa.local_id = local_id
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_i, shown.nonce_r, sa.keys.sk_pi, local_id)
    auth_proof.prove(
        ctx,
        sa,
        octets,
        lambda certificates, proof: _ask(ctx, sa, local_id, certificates, proof),
        lambda failed: closing.give_up(ctx, sa, failed),
    )


def _ask(
    ctx: Context,
    sa: SaV2,
    local_id: Identity,
    certificates: tuple[Payload, ...],
    proof: Authentication,
) -> None:
    terms = (sa.connection,)
    payloads: list[Payload] = [
        Identification(PayloadType.ID_I, local_id),
        *certificates,
        *auth_terms.requests(ctx, terms, auth_terms.KEYS_NAMED_TO_PEER_MAX),
        *auth_terms.announced(terms),
    ]
    if ctx.lifecycle.first_contact(sa):
        payloads.append(notify(NotifyType.INITIAL_CONTACT))
    if isinstance(sa.connection.remote_id, Identity):
        payloads.append(Identification(PayloadType.ID_R, sa.connection.remote_id))
    payloads.append(proof)
    offer = auth_child.first_child(ctx, sa)
    if offer is not None:
        payloads += children.offer_payloads(offer)
    sa.state = AwaitAuthReply(offer)
    send_request(ctx, sa, ExchangeType.IKE_AUTH, tuple(payloads), ForAuth())


def reply_received(ctx: Context, sa: SaV2, header: Header, payloads: tuple[Payload, ...]) -> None:
    """The answer to our IKE_AUTH: it was integrity-protected, so its refusals are believed."""
    state = sa.state
    if not isinstance(state, AwaitAuthReply):
        return
    settle(ctx, sa)
    if look.first(payloads, Authentication) is None:
        _refused(ctx, sa, look.error(payloads))
        return
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    claimed = look.must(payloads, Identification).identity

    def accepted(_: Connection) -> None:
        sa.remote_id = claimed
        _establish(ctx, sa)
        auth_child.read_child(ctx, sa, state.child, payloads)
        ctx.lifecycle.phase1_ready(ctx, sa)

    def refused(failure: NotAuthenticated) -> None:
        # The peer believes that the SA stands: tell it otherwise (RFC 7296 §2.21.2).
        _say_goodbye(ctx, sa, _failed(failure))

    if not expected_remote_id(sa.connection, sa.remote).matches(claimed):
        refused(_other_identity(claimed, None, (sa.connection,), payloads, sa.remote))
        return
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_r, shown.nonce_i, sa.keys.sk_pr, claimed)
    auth_proof.judge(
        ctx,
        sa,
        (sa.connection,),
        claimed,
        payloads,
        octets,
        accepted,
        refused,
        lambda why: _say_goodbye(ctx, sa, Failed("E139", why, lasting=False)),
    )


def _refused(ctx: Context, sa: SaV2, error: Notify | None) -> None:
    kind = error.kind if error is not None else None
    if kind == NotifyType.AUTHENTICATION_FAILED:
        failed = _refused_proof(sa)
    else:
        name = label(NotifyType, kind) if kind is not None else "no reason"
        failed = Failed("E124", f"the peer refused IKE_AUTH with {name}")
    closing.give_up(ctx, sa, failed)


def _refused_proof(sa: SaV2) -> Failed:
    said = "the peer refused our proof with AUTHENTICATION_FAILED"
    identity = f"an identity that it does not expect (we are {sa.local_id})"
    if sa.connection.local_auth.kind is AuthKind.PSK:
        return Failed("E120", f"{said}: another pre-shared key, or {identity}", _fix("E120"))
    what = "certificate" if sa.connection.local_auth.kind is AuthKind.CERT else "public key"
    return Failed("E129", f"{said}: a {what} that it does not trust, or {identity}", _fix("E129"))


def _say_goodbye(ctx: Context, sa: SaV2, failed: Failed) -> None:
    ctx.lifecycle.phase1_failed(ctx, sa, failed)
    sa.state = Refused()
    sa.wishes.clear()
    sa.wishes.append(WantDeleteIke("authentication failed", NotifyType.AUTHENTICATION_FAILED))


# --- responder ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request that is being answered, and where the answer goes."""

    header: Header
    payloads: tuple[Payload, ...]
    local: Endpoint
    remote: Endpoint
    claimed: Identity


def request_received(
    ctx: Context,
    sa: SaV2,
    header: Header,
    payloads: tuple[Payload, ...],
    local: Endpoint,
    remote: Endpoint,
) -> None:
    """A peer says who it is. Repeats are absorbed while workers judge and sign."""
    if not isinstance(sa.state, AwaitAuthRequest):
        raise Malformed("IKE_AUTH at a time when nobody authenticates")
    record_received(ctx, sa, header, payloads, sa.window.request)
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    claimed, wanted = _identities(payloads)
    asked = _Asked(header, payloads, local, remote, claimed)
    shown = replace(
        sa.authenticating, peer_takes=auth_terms.read(payloads, sa.authenticating.peer_takes)
    )
    sa.authenticating = shown
    octets = signed_octets(sa.suite.prf, shown.message_i, shown.nonce_r, sa.keys.sk_pi, claimed)
    # A tunnel may have gone from the configuration since the first message.
    fitting = tuple(
        c
        for c in by_identity(sa.candidates, local, remote, claimed, wanted)
        if ctx.configuration.holds(c) and accepts(c.phase1_proposals, shown.chosen)
    )
    sa.window.answering = True
    if not fitting:
        # As much work as for a known identity, so that timing does not tell which ones exist.
        psk.prove(sa.suite.prf, Secret(shown.nonce_r), octets)
        other = _not_who_we_are(claimed, wanted, sa.candidates, local, remote)
        other = other or _other_identity(claimed, wanted, sa.candidates, payloads, remote)
        _refuse(ctx, sa, asked, other)
        return
    auth_proof.judge(
        ctx,
        sa,
        fitting,
        claimed,
        payloads,
        octets,
        lambda connection: _accepted(ctx, sa, asked, connection),
        lambda failure: _refuse(ctx, sa, asked, failure),
        lambda why: _let_repeat(ctx, sa, remote, why),
    )


def _identities(payloads: tuple[Payload, ...]) -> tuple[Identity, Identity | None]:
    """Who the peer says it is, and whom it wants us to be."""
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
    return claimed, wanted


def _refuse(ctx: Context, sa: SaV2, asked: _Asked, failure: NotAuthenticated) -> None:
    reply = (notify(NotifyType.AUTHENTICATION_FAILED),)
    send_reply(ctx, sa, asked.header, reply, asked.local, asked.remote)
    closing.refuse(ctx, sa)
    ctx.lifecycle.phase1_failed(ctx, sa, _failed(failure))


def _let_repeat(ctx: Context, sa: SaV2, remote: Endpoint, why: str) -> None:
    """Too much to do for strangers: the peer's next repeat of its request is another try."""
    sa.state = AwaitAuthRequest()
    sa.window.answering = False
    ctx.record(
        "datagram.dropped",
        f"{remote}: IKE_AUTH is not judged: {why}",
        connection=sa.connection,
        facts=(("reason", "too_busy_to_judge"), ("remote", str(remote))),
    )


def _accepted(ctx: Context, sa: SaV2, asked: _Asked, connection: Connection) -> None:
    """The peer has proved to be the other end of this tunnel: now we."""
    ctx.registry.assign(sa, connection)
    # The initiator moved to port 4500 if a NAT was seen (RFC 7296 §2.23).
    sa.local, sa.remote = asked.local, asked.remote
    assert sa.suite is not None and sa.suite.prf is not None
    assert sa.keys is not None and sa.authenticating is not None
    sa.remote_id = asked.claimed
    local_id = own_id(connection, asked.local)
    sa.local_id = local_id
    shown = sa.authenticating
    octets = signed_octets(sa.suite.prf, shown.message_r, shown.nonce_i, sa.keys.sk_pr, local_id)
    auth_proof.prove(
        ctx,
        sa,
        octets,
        lambda certificates, proof: _reply(ctx, sa, asked, local_id, certificates, proof),
        lambda failed: _refuse(
            ctx, sa, asked, NotAuthenticated(failed.reason, notify=None, code=failed.code)
        ),
    )


def _reply(
    ctx: Context,
    sa: SaV2,
    asked: _Asked,
    local_id: Identity,
    certificates: tuple[Payload, ...],
    proof: Authentication,
) -> None:
    reply: list[Payload] = [Identification(PayloadType.ID_R, local_id), *certificates, proof]
    if look.notified(asked.payloads, NotifyType.INITIAL_CONTACT) is not None:
        ctx.lifecycle.initial_contact(ctx, sa)
    _establish(ctx, sa)
    auth_child.answer_child(ctx, sa, asked.header, asked.payloads, reply, asked.local, asked.remote)
    ctx.lifecycle.phase1_ready(ctx, sa)


# --- both -----------------------------------------------------------------------------------


def _establish(ctx: Context, sa: SaV2) -> None:
    """Both proofs hold."""
    sa.state = Established()
    sa.established_at = ctx.now
    sa.heard_at = ctx.now
    sa.candidates = ()
    ctx.agenda.disarm(sa.owner, TimerKind.HALF_OPEN)
    standing.arm(ctx, sa)
    ctx.lifecycle.phase1_up(ctx, sa)


def _not_who_we_are(
    claimed: Identity,
    wanted: Identity | None,
    connections: tuple[Connection, ...],
    local: Endpoint,
    remote: Endpoint,
) -> NotAuthenticated | None:
    """The peer is who it should be, but wants somebody else; None: the identity is its own."""
    known = by_identity(connections, local, remote, claimed, None)
    if wanted is None or not known:
        return None
    ours = theirs.some(f"{own_id(c, local)} (tunnel {c.name})" for c in known)
    return NotAuthenticated(
        f"the peer {claimed} asks for {wanted}; we are {ours}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E130",
        hint="set local_id to what the peer asks for, or remote_id there to what we are",
    )


def _other_identity(
    claimed: Identity,
    wanted: Identity | None,
    connections: tuple[Connection, ...],
    payloads: tuple[Payload, ...],
    remote: Endpoint,
) -> NotAuthenticated:
    """Sent, expected, and what the certificate holds."""
    expected = theirs.some(
        f"{expected_remote_id(c, remote)} (tunnel {c.name})" for c in connections
    )
    asked = f" and asks for {wanted}" if wanted is not None else ""
    holds = theirs.names_held(auth_proof.shown_by(payloads))
    return NotAuthenticated(
        f"the peer says that it is {claimed}{asked}; expected was {expected or 'nobody'}"
        + (f"; its certificate holds {holds}" if holds else ""),
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E130",
    )


def _failed(failure: NotAuthenticated) -> Failed:
    return Failed(failure.code, failure.reason, failure.hint or _fix(failure.code))


def _fix(code: str) -> str:
    return {
        "E120": "compare the pre-shared keys (isthmus psk check) and the identities of both sides",
        "E123": "set the same authentication on both sides",
        "E129": "look at the peer's log: it says what it misses in our certificate or identity",
        "E130": "set remote_id to what the peer sends, or local_id there to what is expected here",
        "E134": "have both sides use the key that belongs to the certificate that is sent",
        "E135": "set `signature` of phase 1 so that both sides have one in common",
        "E136": "set `signature` of phase 1 so that both sides have one in common",
        "E137": "look at what `isthmus check` says about the files of this tunnel",
        "E138": "give the peer's public key here anew, or the right key there",
    }.get(code, "")
