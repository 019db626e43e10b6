"""A peer's proof by signature, whichever version of IKE carried it: judged by a worker."""

from collections.abc import Callable, Iterable
from itertools import islice

from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import JudgePeer
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Judged, PeerTerms, Proof
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.connection import Connection
from isthmus.values.errors import NotAuthenticated
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import CertEncoding, NotifyType
from isthmus.wire.v2.certificate import Certificate
from isthmus.x509.certificate import Certificate as X509
from isthmus.x509.errors import BadCertificate
from isthmus.x509.identity import describe

SHOWN_SIZE_MAX = 8192
"""Octets of a certificate that are read in the loop, to tell what it holds."""
TERMS_MAX = 16
"""Tunnels whose anchors one signature is judged by: a peer fits no more of them by identity."""
NAMED_MAX = 16
"""Tunnels that a sentence about an unexpected identity names."""

Accepted = Callable[[Connection], None]
Refusing = Callable[[NotAuthenticated], None]


def terms_of(ctx: Context, connections: tuple[Connection, ...]) -> tuple[PeerTerms, ...]:
    """What the tunnels ask of a peer's signature, at most `TERMS_MAX`. Raises NotAuthenticated
    (E137) where nothing is loaded that the peer could be trusted by."""
    found: list[PeerTerms] = []
    for connection in connections[:TERMS_MAX]:
        trust = ctx.credentials.trust(connection.remote_auth.name)
        if trust is not None:
            found.append(PeerTerms(connection.name, connection.remote_auth, trust))
    if not found:
        raise nothing_loaded("E137", "anchor or public key that the peer could be trusted by")
    return tuple(found)


def judge(
    ctx: Context,
    sa: IkeSa,
    connections: tuple[Connection, ...],
    terms: tuple[PeerTerms, ...],
    claimed: Identity,
    proof: Proof,
    certificates: tuple[Certificate, ...],
    octets: bytes,
    then: Accepted,
    refuse: Refusing,
    busy: Callable[[str], None],
    *,
    waits: Callable[[], bool],
) -> None:
    """Go on with the first of `connections` under whose terms the signature over `octets` holds, or
    with why it holds under none; `busy`: a worker had no time for a stranger.

    `waits`: does the SA wait for it still, when the verdict has come?
    """

    def judged(done: ComputeFinished) -> None:
        if not waits():
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

    job = JudgePeer(claimed, proof, certificates, octets, terms, ctx.credentials.statuses)
    ctx.compute(job, judged, sa, sheddable=not sa.initiator)


def _still_there(
    ctx: Context, terms: PeerTerms, connections: tuple[Connection, ...]
) -> Connection | None:
    """The tunnel as it is now, if the peer would be judged as it was: a reload may have come."""
    before = next(c for c in connections if c.name == terms.tunnel)
    now = ctx.configuration.connection(before.name)
    if now is None or (now.peer, now.remote_id, now.remote_auth) != (
        before.peer,
        before.remote_id,
        terms.auth,
    ):
        return None
    return now if ctx.credentials.trust(now.remote_auth.name) == terms.trust else None


def names_held(certificates: tuple[Certificate, ...]) -> str:
    """All names in the certificate that the peer shows, unproved; empty where there is none."""
    for sent in certificates:
        if sent.encoding == CertEncoding.X509_SIGNATURE:
            if len(sent.data) > SHOWN_SIZE_MAX:
                return f"{len(sent.data)} octets, too many to look at"
            try:
                return describe(X509.parse(sent.data))
            except BadCertificate as bad:
                return f"nothing that can be read: {bad.reason}"
    return ""


def some(texts: Iterable[str]) -> str:
    """The first few, in a row: nobody reads a sentence about thousands of tunnels, and a stranger
    could have one written at each message."""
    shown = list(islice(texts, NAMED_MAX + 1))
    more = ["others"] if len(shown) > NAMED_MAX else []
    return ", ".join([*shown[:NAMED_MAX], *more])


def nothing_loaded(code: str, what: str) -> NotAuthenticated:
    """A tunnel without what a proof is judged by."""
    return NotAuthenticated(
        f"no {what} is loaded for this tunnel",
        notify=NotifyType.AUTHENTICATION_FAILED,
        code=code,
    )


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
