"""Proofs of identity in IKE_AUTH, both roles: make ours, have the peer's judged.

Pre-shared keys are a few hashes and are done at once. Signatures are jobs of a worker, for what
they cost and because a key may live elsewhere: each function here is told what comes after, and
while a job runs the SA is `Signing` or `Judging`, in which it hears nobody.
"""

from collections.abc import Callable

from isthmus.credentials.store import Own
from isthmus.ike.auth import psk, signature
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import JudgePeer, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Judged, PeerTerms, Vouch
from isthmus.ike.v2.sa import SaV2
from isthmus.ike.v2.states import Judging, Signing
from isthmus.policy.authentication import AuthKind, LocalAuth
from isthmus.policy.connection import Connection
from isthmus.values.errors import NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import AuthMethod, CertEncoding, NotifyType, label
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate
from isthmus.wire.v2.message import Payload
from isthmus.x509.certificate import Certificate as X509
from isthmus.x509.errors import BadCertificate
from isthmus.x509.identity import describe

SHOWN_SIZE_MAX = 8192
"""Octets of a certificate that are read in the loop, to tell what it holds."""
TERMS_MAX = 16
"""Tunnels whose anchors one signature is judged by: a peer fits no more of them by identity."""

Accepted = Callable[[Connection], None]
Refusing = Callable[[NotAuthenticated], None]


# --- ours -----------------------------------------------------------------------------------


def prove(
    ctx: Context,
    sa: SaV2,
    octets: bytes,
    then: Callable[[tuple[Payload, ...], Authentication], None],
    failed: Callable[[Failed], None],
) -> None:
    """Go on with our CERT payloads and our AUTH payload over `octets`, or with what is amiss."""
    auth = sa.connection.local_auth
    if auth.kind is AuthKind.PSK:
        secret = ctx.credentials.psk(auth.name)
        if secret is None:
            failed(Failed("E122", "no pre-shared key is loaded for this tunnel"))
            return
        assert sa.suite is not None and sa.suite.prf is not None
        data = psk.prove(sa.suite.prf, secret, octets)
        then((), Authentication(AuthMethod.SHARED_KEY, data))
        return
    _sign(ctx, sa, auth, octets, then, failed)


def _sign(
    ctx: Context,
    sa: SaV2,
    auth: LocalAuth,
    octets: bytes,
    then: Callable[[tuple[Payload, ...], Authentication], None],
    failed: Callable[[Failed], None],
) -> None:
    assert sa.authenticating is not None
    own = ctx.credentials.own(auth.name)
    if own is None or (auth.kind is AuthKind.CERT and not own.chain):
        failed(Failed("E137", f"no {_own_word(auth)} is loaded for this tunnel"))
        return
    key = own.key
    kind = key.public.kind
    try:
        choice = signature.choose(kind, auth.schemes, sa.authenticating.peer_takes)
    except NotAuthenticated as nothing:
        failed(Failed(nothing.code, nothing.reason))
        return
    certificates: tuple[Payload, ...]
    if auth.kind is AuthKind.PUBKEY:
        certificates = (Certificate(CertEncoding.RAW_PUBLIC_KEY, key.public.spki),)
    else:
        # The peer has its anchors: a root that is sent says nothing (RFC 7296 §3.6).
        sent = (own.chain[0], *(c for c in own.chain[1:] if not c.self_issued))
        certificates = tuple(Certificate(CertEncoding.X509_SIGNATURE, c.der) for c in sent)

    def signed(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Signing):
            return
        match done.result:
            case (bytes() as made, *answers):
                ctx.record(
                    "phase1.signed",
                    f"we sign by {choice.scheme}",
                    connection=sa.connection,
                    facts=(("scheme", str(choice.scheme)), ("key", str(key.public))),
                )
                beside = tuple(
                    Certificate(CertEncoding.OCSP_CONTENT, answer)
                    for answer in answers
                    if isinstance(answer, bytes)
                )
                then((*certificates, *beside), signature.payload(choice, kind, made))
            case _:
                failed(Failed("E137", f"our {_own_word(auth)} did not sign: {done.failure}"))

    sa.state = Signing()
    vouch = _vouch(ctx, sa, own) if auth.kind is AuthKind.CERT else None
    ctx.compute(Sign(key, choice.scheme, octets, vouch), signed, sa)


def _vouch(ctx: Context, sa: SaV2, own: Own) -> Vouch | None:
    """What an OCSP answer about our certificate is looked for with, if the peer has asked."""
    assert sa.authenticating is not None
    if not sa.authenticating.peer_takes.ocsp:
        return None
    trust = ctx.credentials.trust(sa.connection.remote_auth.name)
    anchors = trust.anchors if trust is not None else ()
    return Vouch(own.chain, anchors, ctx.credentials.statuses)


def _own_word(auth: LocalAuth) -> str:
    return "certificate with its private key" if auth.kind is AuthKind.CERT else "private key"


# --- the peer's -----------------------------------------------------------------------------


def judge(
    ctx: Context,
    sa: SaV2,
    connections: tuple[Connection, ...],
    claimed: Identity,
    payloads: tuple[Payload, ...],
    octets: bytes,
    then: Accepted,
    refused: Refusing,
    busy: Callable[[str], None],
) -> None:
    """Go on with the first of `connections` under whose terms the peer's proof over `octets` holds,
    or with why it holds under none; `busy`: a worker had no time for a stranger.

    The connections fit what the peer says of itself; there is at least one.
    """
    proof = next((p for p in payloads if isinstance(p, Authentication)), None)
    if proof is not None and proof.method == AuthMethod.SHARED_KEY:
        same = tuple(c for c in connections if c.remote_auth.kind is AuthKind.PSK)
    elif proof is not None and proof.method in signature.SIGNATURE_METHODS:
        same = tuple(c for c in connections if c.remote_auth.kind is not AuthKind.PSK)
    else:
        same = ()
    if proof is None or not same:
        ctx.registry.assign(sa, connections[0])
        refused(_other_kind(claimed, proof, connections[0]))
        return
    if proof.method == AuthMethod.SHARED_KEY:
        _judge_psk(ctx, sa, same, proof, octets, then, refused)
    else:
        _judge_signature(
            ctx, sa, same[:TERMS_MAX], claimed, payloads, proof, octets, then, refused, busy
        )


def _other_kind(
    claimed: Identity, proof: Authentication | None, connection: Connection
) -> NotAuthenticated:
    how = "EAP" if proof is None else label(AuthMethod, proof.method)
    asked = {
        AuthKind.PSK: "a pre-shared key",
        AuthKind.CERT: "a certificate",
        AuthKind.PUBKEY: "a public key",
    }[connection.remote_auth.kind]
    return NotAuthenticated(
        f"{claimed} wants to authenticate by {how}, we ask for {asked}",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code="E123",
    )


def _judge_psk(
    ctx: Context,
    sa: SaV2,
    connections: tuple[Connection, ...],
    proof: Authentication,
    octets: bytes,
    then: Accepted,
    refused: Refusing,
) -> None:
    assert sa.suite is not None and sa.suite.prf is not None
    refusal: NotAuthenticated | None = None
    for connection in connections:
        secret = ctx.credentials.psk(connection.remote_auth.name)
        if secret is None:
            refusal = refusal or _nothing_loaded("E122", "pre-shared key")
            continue
        try:
            psk.check(sa.suite.prf, secret, octets, proof.data)
        except NotAuthenticated as failure:
            if refusal is None:
                refusal = failure
                ctx.registry.assign(sa, connection)
            continue
        then(connection)
        return
    assert refusal is not None, "each connection was accepted or gave a reason"
    refused(refusal)


def _judge_signature(
    ctx: Context,
    sa: SaV2,
    connections: tuple[Connection, ...],
    claimed: Identity,
    payloads: tuple[Payload, ...],
    proof: Authentication,
    octets: bytes,
    then: Accepted,
    refused: Refusing,
    busy: Callable[[str], None],
) -> None:
    terms: list[PeerTerms] = []
    for connection in connections:
        trust = ctx.credentials.trust(connection.remote_auth.name)
        if trust is not None:
            terms.append(PeerTerms(connection.name, connection.remote_auth, trust))

    def refuse(failure: NotAuthenticated) -> None:
        ctx.registry.assign(sa, connections[0])
        refused(failure)

    if not terms:
        refuse(_nothing_loaded("E137", "anchor or public key that the peer could be trusted by"))
        return

    try:
        read = signature.read(proof)
    except NotAuthenticated as failure:
        refuse(failure)
        return

    def judged(done: ComputeFinished) -> None:
        if not isinstance(sa.state, Judging):
            return
        match done.result:
            case (Judged() as verdict,):
                before = next(t for t in terms if t.tunnel == verdict.tunnel)
                found = _still_there(ctx, before, connections)
                if found is None:
                    busy("the tunnel's terms have changed meanwhile")
                    return
                _note(ctx, found, verdict)
                sa.peer_proof = verdict
                then(found)
            case _ if done.code:
                refuse(
                    NotAuthenticated(
                        done.failure,
                        notify=NotifyType.AUTHENTICATION_FAILED,
                        code=done.code,
                        hint=done.hint,
                    )
                )
            case _:
                busy(done.failure)

    sa.state = Judging()
    certificates = tuple(p for p in payloads if isinstance(p, Certificate))
    statuses = ctx.credentials.statuses
    job = JudgePeer(claimed, read, certificates, octets, tuple(terms), statuses)
    ctx.compute(job, judged, sa, sheddable=not sa.initiator)


def _still_there(
    ctx: Context, terms: PeerTerms, connections: tuple[Connection, ...]
) -> Connection | None:
    """The tunnel as it is now, if the peer would be judged as it was: a reload may have come."""
    before = next(c for c in connections if c.name == terms.tunnel)
    for now in ctx.configuration.connections:
        if (now.name, now.peer, now.remote_id, now.remote_auth) == (
            before.name,
            before.peer,
            before.remote_id,
            terms.auth,
        ):
            same = ctx.credentials.trust(now.remote_auth.name) == terms.trust
            return now if same else None
    return None


def names_held(payloads: tuple[Payload, ...]) -> str:
    """All names in the certificate that the peer shows, unproved; empty where there is none."""
    for sent in payloads:
        if isinstance(sent, Certificate) and sent.encoding == CertEncoding.X509_SIGNATURE:
            if len(sent.data) > SHOWN_SIZE_MAX:
                return f"{len(sent.data)} octets, too many to look at"
            try:
                return describe(X509.parse(sent.data))
            except BadCertificate as bad:
                return f"nothing that can be read: {bad.reason}"
    return ""


def _note(ctx: Context, connection: Connection, verdict: Judged) -> None:
    ctx.record(
        "peer.verified",
        f"the peer's {verdict.scheme} signature holds: {verdict.key}",
        connection=connection,
        facts=(
            ("scheme", str(verdict.scheme)),
            ("key", verdict.key),
            *((("not_after", verdict.not_after),) if verdict.not_after is not None else ()),
        ),
    )


def _nothing_loaded(code: str, what: str) -> NotAuthenticated:
    return NotAuthenticated(
        f"no {what} is loaded for this tunnel",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code=code,
    )
