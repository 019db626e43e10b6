"""What Main Mode and Aggressive Mode have alike: keys, proofs, and standing (RFC 2409 §5)."""

from collections.abc import Callable

from isthmus.crypto.compare import same
from isthmus.ike.auth import ours, theirs
from isthmus.ike.core import standing
from isthmus.ike.core.agenda import TimerKind
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.dropped import Dropped
from isthmus.ike.core.payloads import every, first, must
from isthmus.ike.core.states import Established, Judging, Signing
from isthmus.ike.v1 import authoctets, closing, methods, signing
from isthmus.ike.v1.keys import phase1_iv, phase1_keys, skeyid_psk, skeyid_signature
from isthmus.ike.v1.lifetimes import Phase, read_responder_lifetime
from isthmus.ike.v1.offers import identification_for, identity_of
from isthmus.ike.v1.protect import Protector
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.states import Claim as Claim
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import Connection
from isthmus.policy.select import by_identity, expected_remote_id, own_id
from isthmus.values.address import IKE_PORT, NAT_T_PORT, Endpoint
from isthmus.values.errors import Malformed, NotAuthenticated
from isthmus.values.registry.ikev1 import CertEncoding, NotifyType, ProtocolId
from isthmus.values.registry.ikev2 import CertEncoding as CertEncodingV2
from isthmus.values.registry.ikev2 import NotifyType as NotifyTypeV2
from isthmus.values.registry.ikev2 import Prf
from isthmus.wire.v1 import (
    Certificate,
    CertificateRequest,
    Chain,
    Hash,
    Identification,
    Notify,
    Payload,
    Signature,
)
from isthmus.wire.v2 import certificate as wire_v2

AUTHORITIES_MAX = 16
"""CAs that certificate requests name, and that are remembered of a peer's."""
MISREAD_MAX = 8
"""Proofs that could not be read before no other one is looked at."""
HALF_OPEN_S = 30.0
"""How long a peer has to authenticate."""


def prf_of(sa: SaV1) -> Prf:
    """The PRF that phase 1 agreed on."""
    assert sa.suite is not None and sa.suite.prf is not None, "an offer was taken"
    return sa.suite.prf


# --- keys -----------------------------------------------------------------------------------


def derive(ctx: Context, sa: SaV1) -> None:
    """SKEYID and what follows from it, once both public values and nonces are known.

    A pre-shared key has to be known before the peer has said who it is, in Main Mode: by address.
    Raises NotAuthenticated (E122) where there is none.
    """
    shown = sa.proving
    assert shown is not None and shown.shared is not None and sa.suite is not None
    prf = prf_of(sa)
    if methods.is_psk(shown.method):
        psk = ctx.credentials.psk(sa.connection.remote_auth.name)
        if psk is None:
            raise theirs.nothing_loaded("E122", "pre-shared key")
        skeyid = skeyid_psk(prf, psk, shown.nonce_i, shown.nonce_r)
    else:
        skeyid = skeyid_signature(prf, shown.nonce_i, shown.nonce_r, shown.shared)
    sa.keys = phase1_keys(sa.suite, skeyid, shown.shared, sa.spi_i, sa.spi_r)
    sa.protector = Protector(sa.suite, sa.keys)
    block = sa.protector.block_size
    sa.phase1.iv = phase1_iv(prf, shown.public_i, shown.public_r, block)


def still_configured(ctx: Context, sa: SaV1) -> tuple[Connection, ...]:
    """Responder: the tunnels that the peer may turn out to be the other end of. One may have gone
    from the configuration since the first message, and with a pre-shared key it is one of those
    that have the very secret which SKEYID was made from."""
    shown = sa.proving
    assert shown is not None
    found = tuple(c for c in sa.candidates if ctx.configuration.holds(c))
    if not methods.is_psk(shown.method):
        return found
    secrets = {c.name: ctx.credentials.psk(c.remote_auth.name) for c in (sa.connection, *found)}
    ours = secrets[sa.connection.name]
    return tuple(
        c for c in found if ours and (own := secrets[c.name]) is not None and same(own, ours)
    )


def note_unreadable(ctx: Context, sa: SaV1) -> None:
    """Responder: nothing can be made of what the peer encrypts. The usual reason is told once; the
    attempt goes on, since anybody on the road could have sent it, but not for ever: each one could
    be another guess at the pre-shared key."""
    sa.misread += 1
    if sa.misread >= MISREAD_MAX:
        closing.hear_no_more(ctx, sa)
    if sa.doubted is None and sa.proving is not None and methods.is_psk(sa.proving.method):
        sa.doubted = Failed(
            "E120",
            f"what {sa.remote} encrypts cannot be read: it has another pre-shared key",
            "compare the pre-shared keys of both sides (isthmus psk check)",
        )
        ctx.lifecycle.phase1_failed(ctx, sa, sa.doubted)


def tell_no_key(ctx: Context, sa: SaV1, why: str) -> None:
    """Responder: nothing came of the peer's public value."""
    ctx.record(
        "datagram.dropped",
        f"{sa.remote}: no key is made: {why}",
        connection=sa.connection,
        code="E113",
        facts=(("reason", "no_key"), ("remote", str(sa.remote))),
    )


def tell_busy(ctx: Context, sa: SaV1, why: str) -> None:
    """Too much to do for strangers: the peer's next repeat of its message is another try."""
    ctx.record(
        "datagram.dropped",
        f"{sa.remote}: the peer's proof is not judged: {why}",
        connection=sa.connection,
        facts=(("reason", "too_busy_to_judge"), ("remote", str(sa.remote))),
    )


def move_to_nat_port(sa: SaV1) -> None:
    """Initiator: IKE goes on where ESP in UDP will go (RFC 3947 §4)."""
    if sa.nat.encap and sa.remote.port == IKE_PORT:
        sa.local = Endpoint(sa.local.address, NAT_T_PORT)
        sa.remote = Endpoint(sa.remote.address, NAT_T_PORT)


# --- our proof ------------------------------------------------------------------------------


def prove(
    ctx: Context,
    sa: SaV1,
    then: Callable[[tuple[Payload, ...]], None],
    failed: Callable[[Failed], None],
) -> None:
    """Go on with our ID, certificates and HASH or SIG, or with what is amiss."""
    shown = sa.proving
    assert shown is not None and sa.keys is not None
    sa.local_id = own_id(sa.connection, sa.local)
    try:
        identity = identification_for(sa.local_id)
    except ValueError as unsayable:
        failed(Failed("E137", str(unsayable)))
        return
    octets = _hash(sa, identity.encode(), initiator=sa.initiator)
    if not methods.signs(shown.method, initiator=sa.initiator):
        then((identity, Hash(octets)))
        return
    try:
        own = ours.loaded(ctx, sa.connection.local_auth)
        if not signing.fits(shown.method, own.key.public.kind):
            raise NotAuthenticated(
                "our key does not fit the method that was agreed on", notify=None, code="E136"
            )
    except NotAuthenticated as nothing:
        failed(Failed(nothing.code, nothing.reason))
        return
    certificates = tuple(
        Certificate(CertEncoding.X509_SIGNATURE, each.der) for each in ours.shown(own)
    )

    def signed(made: bytes, _: tuple[bytes, ...]) -> None:
        then((identity, *certificates, Signature(signing.signature_octets(shown.method, made))))

    sa.state = Signing()
    ours.sign(
        ctx,
        sa,
        own,
        signing.scheme_of(shown.method),
        octets,
        signed,
        failed,
        waits=lambda: isinstance(sa.state, Signing),
    )


def requests(ctx: Context, connections: tuple[Connection, ...]) -> tuple[Payload, ...]:
    """Whose certificates would be welcome: by the DER names of the anchors, or any."""
    names: dict[bytes, None] = {}
    wanted = False
    for connection in connections:
        if connection.remote_auth.kind is not AuthKind.CERT:
            continue
        wanted = True
        trust = ctx.credentials.trust(connection.remote_auth.name)
        if trust is not None:
            names.update(dict.fromkeys(anchor.subject.der for anchor in trust.anchors))
    if not wanted:
        return ()
    listed = tuple(names) if len(names) <= AUTHORITIES_MAX else (b"",)
    return tuple(CertificateRequest(CertEncoding.X509_SIGNATURE, name) for name in listed or (b"",))


def _hash(sa: SaV1, id_body: bytes, *, initiator: bool) -> bytes:
    """HASH_I or HASH_R, whoever makes it."""
    shown = sa.proving
    assert shown is not None and sa.keys is not None
    make = authoctets.hash_i if initiator else authoctets.hash_r
    return make(
        signing.hash_prf(shown.method, prf_of(sa)),
        sa.keys.skeyid,
        shown.public_i,
        shown.public_r,
        sa.spi_i,
        sa.spi_r,
        shown.sa_body,
        id_body,
    )


# --- the peer's proof -----------------------------------------------------------------------


def read_claim(chain: Chain, local: Endpoint, remote: Endpoint) -> Claim:
    """Who the peer says it is. Raises Malformed."""
    identity = identity_of(must(chain.payloads, Identification))
    at = next(n for n, p in enumerate(chain.payloads) if isinstance(p, Identification))
    return Claim(identity, chain.bodies[at], chain, local, remote)


def check_hash(sa: SaV1, claim: Claim) -> None:
    """A pre-shared key is proved by a HASH, and nobody gets it wrong who could encrypt at all: one
    that does not hold was damaged on the road, or is not of the peer, whose next repeat may be
    better. Raises Dropped."""
    shown = sa.proving
    assert shown is not None
    if not methods.signs(shown.method, initiator=not sa.initiator) and not _is_right_hash(
        sa, claim
    ):
        raise Dropped("integrity")


def _is_right_hash(sa: SaV1, claim: Claim) -> bool:
    """Where no signature is due: does the HASH payload prove that the peer has our SKEYID?"""
    sent = first(claim.chain.payloads, Hash)
    right = _hash(sa, claim.id_body, initiator=not sa.initiator)
    return sent is not None and same(sent.data, right)


def judge(
    ctx: Context,
    sa: SaV1,
    claim: Claim,
    connections: tuple[Connection, ...],
    then: Callable[[Connection], None],
    refused: Callable[[NotAuthenticated], None],
    busy: Callable[[str], None],
) -> None:
    """Go on with the tunnel that the peer has proved to be the other end of, or with why not."""
    shown = sa.proving
    assert shown is not None
    fitting = by_identity(connections, claim.local, claim.remote, claim.identity, None)
    if not methods.signs(shown.method, initiator=not sa.initiator):
        # The proof first: who does not have the secret is told nothing of identities.
        if not _is_right_hash(sa, claim):
            refused(_wrong("the peer's HASH does not hold: another pre-shared key", "E120"))
        elif not fitting:
            refused(_other_identity(claim, connections))
        else:
            then(fitting[0])
        return
    sent = first(claim.chain.payloads, Signature)
    if sent is None:
        refused(_wrong("the peer sent a hash where its signature was due", "E123"))
        return
    if not fitting:
        refused(_other_identity(claim, connections))
        return
    try:
        terms = theirs.terms_of(ctx, fitting)
    except NotAuthenticated as nothing:
        refused(nothing)
        return
    sa.state = Judging()
    theirs.judge(
        ctx,
        sa,
        fitting,
        terms,
        claim.identity,
        signing.proof_of(shown.method, sent.data),
        _certificates(claim.chain),
        _hash(sa, claim.id_body, initiator=not sa.initiator),
        then,
        refused,
        busy,
        waits=lambda: isinstance(sa.state, Judging),
    )


def _certificates(chain: Chain) -> tuple[wire_v2.Certificate, ...]:
    """CERT payloads in the form that workers read; both versions number X.509 alike."""
    return tuple(
        wire_v2.Certificate(CertEncodingV2.X509_SIGNATURE, sent.data)
        for sent in every(chain.payloads, Certificate)
        if sent.encoding == CertEncoding.X509_SIGNATURE
    )


def _other_identity(claim: Claim, connections: tuple[Connection, ...]) -> NotAuthenticated:
    """Sent, expected, and what the certificate holds."""
    expected = theirs.some(
        f"{expected_remote_id(c, claim.remote)} (tunnel {c.name})" for c in connections
    )
    holds = theirs.names_held(_certificates(claim.chain))
    return _wrong(
        f"the peer says that it is {claim.identity}; expected was {expected or 'nobody'}"
        + (f"; its certificate holds {holds}" if holds else ""),
        "E130",
    )


def _wrong(reason: str, code: str) -> NotAuthenticated:
    return NotAuthenticated(reason, notify=NotifyTypeV2.AUTHENTICATION_FAILED, code=code)


def refuse(ctx: Context, sa: SaV1, failure: NotAuthenticated) -> None:
    """Tell the peer, and whoever asks."""
    kind = NotifyType.AUTHENTICATION_FAILED
    if failure.code == "E130":
        kind = NotifyType.INVALID_ID_INFORMATION
    closing.refuse(ctx, sa, kind, Failed(failure.code, failure.reason, failure.hint))


# --- standing -------------------------------------------------------------------------------


def first_contact(ctx: Context, sa: SaV1) -> tuple[Payload, ...]:
    """INITIAL-CONTACT, if no other SA with the peer stands (RFC 2407 §4.6.3.3)."""
    if not ctx.lifecycle.first_contact(sa):
        return ()
    spi = bytes(sa.spi_i + sa.spi_r)
    return (Notify(NotifyType.INITIAL_CONTACT, protocol=ProtocolId.ISAKMP, spi=spi),)


def says_first_contact(chain: Chain) -> bool:
    """The peer knows of no other SA with us."""
    return any(n.kind == NotifyType.INITIAL_CONTACT for n in every(chain.payloads, Notify))


def note_lifetime(sa: SaV1, chain: Chain) -> None:
    """What RESPONDER-LIFETIME says of phase 1 (RFC 2407 §4.6.3.1)."""
    for notify in every(chain.payloads, Notify):
        if notify.kind != NotifyType.RESPONDER_LIFETIME or notify.protocol != ProtocolId.ISAKMP:
            continue
        try:
            said = read_responder_lifetime(Phase.ONE, notify.data).seconds
        except Malformed:
            continue  # A hint of the peer; without it our own lifetime counts.
        if said is not None:
            sa.lifetime_max_s = min(said, sa.lifetime_max_s or said)


def stand(ctx: Context, sa: SaV1) -> None:
    """Both sides are authenticated."""
    sa.state = Established()
    sa.established_at = ctx.now
    sa.heard_at = ctx.now
    sa.candidates = ()
    sa.proving = None
    sa.doubted = None
    ctx.agenda.disarm(sa.owner, TimerKind.HALF_OPEN)
    ctx.agenda.disarm(sa.owner, TimerKind.GRACE)
    if sa.peer_is_new:
        ctx.lifecycle.initial_contact(ctx, sa)
    standing.arm(ctx, sa, sa.lifetime_max_s)
    ctx.lifecycle.phase1_up(ctx, sa)
    _settle(ctx, sa)
    ctx.lifecycle.phase1_ready(ctx, sa)


def _settle(ctx: Context, sa: SaV1) -> None:
    """Pairs of a phase 1 that goes belong to the one that stays from now on."""
    for other in (sa, *ctx.lifecycle.siblings(sa)):
        if not isinstance(other, SaV1) or not other.superseded:
            continue
        heir = closing.heir_of(ctx, other)
        if heir is not None:
            idle_until = ctx.agenda.when(other.owner, TimerKind.PHASE1_IDLE)
            if idle_until is not None and not heir.children:
                # Silence goes on whichever phase 1 it is that nobody uses.
                ctx.agenda.arm(heir.owner, TimerKind.PHASE1_IDLE, idle_until)
            closing.inherit(ctx, other, heir)
    old = sa.replaces
    sa.replaces = None
    if old is not None:
        old.rekeying = False
        ctx.lifecycle.phase1_replaced(ctx, old, sa)
