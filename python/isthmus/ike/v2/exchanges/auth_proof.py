"""Proofs of identity in IKE_AUTH, both roles: make ours, have the peer's judged.

Pre-shared keys are a few hashes and are done at once. Signatures are jobs of a worker, for what
they cost and because a key may live elsewhere: each function here is told what comes after, and
while a job runs the SA is `Signing` or `Judging`, in which it hears nobody.
"""

from collections.abc import Callable

from isthmus.credentials.store import Own
from isthmus.ike.auth import ours, psk, signature, theirs
from isthmus.ike.auth.theirs import Accepted, Refusing
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.payloads import every
from isthmus.ike.core.proofs import Vouch
from isthmus.ike.core.states import Judging, Signing
from isthmus.ike.v2.sa import SaV2
from isthmus.policy.authentication import AuthKind, LocalAuth
from isthmus.policy.connection import Connection
from isthmus.values.errors import NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import AuthMethod, CertEncoding, NotifyType, label
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate
from isthmus.wire.v2.message import Payload

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
    try:
        own = ours.loaded(ctx, auth)
        choice = signature.choose(own.key.public.kind, auth.schemes, sa.authenticating.peer_takes)
    except NotAuthenticated as nothing:
        failed(Failed(nothing.code, nothing.reason))
        return
    key = own.key
    certificates: tuple[Payload, ...]
    if auth.kind is AuthKind.PUBKEY:
        certificates = (Certificate(CertEncoding.RAW_PUBLIC_KEY, key.public.spki),)
    else:
        certificates = tuple(
            Certificate(CertEncoding.X509_SIGNATURE, c.der) for c in ours.shown(own)
        )

    def signed(made: bytes, answers: tuple[bytes, ...]) -> None:
        beside = tuple(Certificate(CertEncoding.OCSP_CONTENT, answer) for answer in answers)
        then((*certificates, *beside), signature.payload(choice, key.public.kind, made))

    sa.state = Signing()
    ours.sign(
        ctx,
        sa,
        own,
        choice.scheme,
        octets,
        signed,
        failed,
        waits=lambda: isinstance(sa.state, Signing),
        vouch=_vouch(ctx, sa, own) if auth.kind is AuthKind.CERT else None,
    )


def _vouch(ctx: Context, sa: SaV2, own: Own) -> Vouch | None:
    """What an OCSP answer about our certificate is looked for with, if the peer has asked."""
    assert sa.authenticating is not None
    if not sa.authenticating.peer_takes.ocsp:
        return None
    trust = ctx.credentials.trust(sa.connection.remote_auth.name)
    anchors = trust.anchors if trust is not None else ()
    return Vouch(own.chain, anchors, ctx.credentials.statuses)


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
        _judge_signature(ctx, sa, same, claimed, payloads, proof, octets, then, refused, busy)


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
            refusal = refusal or theirs.nothing_loaded("E122", "pre-shared key")
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

    def refuse(failure: NotAuthenticated) -> None:
        ctx.registry.assign(sa, connections[0])
        refused(failure)

    try:
        terms = theirs.terms_of(ctx, connections)
        read = signature.read(proof)
    except NotAuthenticated as failure:
        refuse(failure)
        return
    sa.state = Judging()
    theirs.judge(
        ctx,
        sa,
        connections,
        terms,
        claimed,
        read,
        shown_by(payloads),
        octets,
        then,
        refuse,
        busy,
        waits=lambda: isinstance(sa.state, Judging),
    )


def shown_by(payloads: tuple[Payload, ...]) -> tuple[Certificate, ...]:
    """The CERT payloads."""
    return every(payloads, Certificate)
