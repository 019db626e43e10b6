"""What both sides say about signatures before anybody signs (RFC 7296 §3.7, RFC 7427, RFC 9593).

Tunnels with pre-shared keys on both sides say nothing of it.
"""

from collections.abc import Iterable, Sequence

from isthmus.ike.auth import signature
from isthmus.ike.auth.signature import SAID_NOTHING, PeerTakes
from isthmus.ike.core.context import Context
from isthmus.ike.v2 import look
from isthmus.policy.authentication import AuthKind, RemoteAuth
from isthmus.policy.connection import Connection
from isthmus.policy.select import Candidates
from isthmus.values.registry.ikev2 import CertEncoding, NotifyType
from isthmus.values.signature import Scheme
from isthmus.values.trust import RevocationMode
from isthmus.wire.v2.authentication import (
    decode_announcements,
    decode_hashes,
    encode_announcements,
    encode_hashes,
)
from isthmus.wire.v2.certificate import CertificateRequest
from isthmus.wire.v2.message import Payload
from isthmus.wire.v2.notify import Notify

KEYS_NAMED_MAX = 8
"""Anchors that a CERTREQ names in the answer to a stranger's first message: what goes out stays
about as long as what came in. With more of them it asks for any certificate."""
KEYS_NAMED_TO_PEER_MAX = 64


def uses_signatures(connections: Iterable[Connection]) -> bool:
    """One side of one of them proves itself by a signature."""
    return any(
        auth.kind is not AuthKind.PSK for c in connections for auth in (c.local_auth, c.remote_auth)
    )


def hashes(connections: tuple[Connection, ...]) -> tuple[Payload, ...]:
    """SIGNATURE_HASH_ALGORITHMS: what the peer may sign with. It goes to peers with a pre-shared
    key too, if we sign: they tell theirs only to those who have told."""
    if not uses_signatures(connections):
        return ()
    data = encode_hashes(signature.hashes(_taken(connections)))
    return (Notify(kind=NotifyType.SIGNATURE_HASH_ALGORITHMS, data=data),)


def requests(
    ctx: Context, connections: tuple[Connection, ...], keys_max: int = KEYS_NAMED_MAX
) -> tuple[Payload, ...]:
    """CERTREQ payloads: whose certificates, or that a bare key, would be welcome; and whether a
    certificate may come by its address."""
    keys: dict[bytes, None] = {}
    kinds = {connection.remote_auth.kind for connection in connections}
    for connection in connections:
        trust = ctx.credentials.trust(connection.remote_auth.name)
        if connection.remote_auth.kind is AuthKind.CERT and trust is not None:
            keys.update(dict.fromkeys(anchor.spki_sha1 for anchor in trust.anchors))
    found: list[Payload] = []
    if AuthKind.CERT in kinds:
        found.append(CertificateRequest.for_keys(tuple(keys) if len(keys) <= keys_max else ()))
    if any(_wants_ocsp(connection.remote_auth) for connection in connections):
        # No responder is named: whoever the issuer has certified will do (RFC 4806 §3.2).
        found.append(CertificateRequest(CertEncoding.OCSP_CONTENT, b""))
    judging = [c.remote_auth for c in connections if c.remote_auth.kind is AuthKind.CERT]
    if judging and all(auth.by_url for auth in judging):
        # Which tunnel it is will be known later: to one that does not fetch, no address may come.
        found.append(Notify(kind=NotifyType.HTTP_CERT_LOOKUP_SUPPORTED))
    if AuthKind.PUBKEY in kinds:
        found.append(CertificateRequest(CertEncoding.RAW_PUBLIC_KEY, b""))
    return tuple(found)


def answer(
    ctx: Context, candidates: tuple[Connection, ...], takes: PeerTakes
) -> tuple[Payload, ...]:
    """What a responder says in IKE_SA_INIT, on behalf of every tunnel that the peer may mean."""
    if not isinstance(candidates, Candidates):
        return _answer(ctx, candidates, takes)
    # There may be thousands of them: they are gone through once, not at each stranger's message.
    # Other credentials come with another configuration, and with that other candidates.
    question = (_answer, takes.hashes is None)
    known = candidates.remembered.get(question)
    if not isinstance(known, tuple):
        known = candidates.remembered[question] = _answer(ctx, candidates, takes)
    return known


def _answer(
    ctx: Context, candidates: tuple[Connection, ...], takes: PeerTakes
) -> tuple[Payload, ...]:
    if not uses_signatures(candidates):
        return ()
    own_hashes = hashes(candidates) if takes.hashes is not None else ()
    return (*own_hashes, *announced(candidates), *requests(ctx, candidates))


def announced(connections: tuple[Connection, ...]) -> tuple[Payload, ...]:
    """SUPPORTED_AUTH_METHODS, where the configuration names schemes: else the hashes say as much,
    in a tenth of the octets."""
    named = dict.fromkeys(s for c in connections for s in c.remote_auth.schemes)
    if not named:
        return ()
    data = encode_announcements(signature.announcements(named))
    return (Notify(kind=NotifyType.SUPPORTED_AUTH_METHODS, data=data),)


def read(payloads: Sequence[Payload], known: PeerTakes = SAID_NOTHING) -> PeerTakes:
    """What the peer says that it takes. The rules of the message have judged the notifies' form."""
    told = look.notified(payloads, NotifyType.SIGNATURE_HASH_ALGORITHMS)
    methods = look.notified(payloads, NotifyType.SUPPORTED_AUTH_METHODS)
    return PeerTakes(
        decode_hashes(told.data) if told is not None else known.hashes,
        decode_announcements(methods.data) if methods is not None else known.announced,
        known.ocsp or any(_asks_for_ocsp(payload) for payload in payloads),
    )


def _asks_for_ocsp(payload: Payload) -> bool:
    return isinstance(payload, CertificateRequest) and payload.encoding == CertEncoding.OCSP_CONTENT


def _wants_ocsp(auth: RemoteAuth) -> bool:
    return auth.kind is AuthKind.CERT and auth.revocation is not RevocationMode.OFF


def _taken(connections: tuple[Connection, ...]) -> dict[Scheme, None]:
    return dict.fromkeys(
        scheme for c in connections for scheme in signature.accepted(c.remote_auth.schemes)
    )
