"""Our own proof by signature, whichever version of IKE carries it: the key and the worker's job.

A signature is a job for what it costs and because a key may live elsewhere.
"""

from collections.abc import Callable

from isthmus.credentials.store import Own
from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.core.proofs import Vouch
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.authentication import AuthKind, LocalAuth
from isthmus.values.errors import NotAuthenticated
from isthmus.values.signature import AnyScheme
from isthmus.x509.certificate import Certificate


def loaded(ctx: Context, auth: LocalAuth) -> Own:
    """Our key and what certifies it. Raises NotAuthenticated (E137) where it is not there."""
    own = ctx.credentials.own(auth.name)
    if own is None or (auth.kind is AuthKind.CERT and not own.chain):
        raise NotAuthenticated(
            f"no {word(auth)} is loaded for this tunnel", notify=None, code="E137"
        )
    return own


def shown(own: Own) -> tuple[Certificate, ...]:
    """The certificates to send. The peer has its anchors: a root that is sent says nothing
    (RFC 7296 §3.6)."""
    return (own.chain[0], *(c for c in own.chain[1:] if not c.self_issued))


def sign(
    ctx: Context,
    sa: IkeSa,
    own: Own,
    scheme: AnyScheme,
    octets: bytes,
    then: Callable[[bytes, tuple[bytes, ...]], None],
    failed: Callable[[Failed], None],
    *,
    waits: Callable[[], bool],
    vouch: Vouch | None = None,
) -> None:
    """Go on with the signature and OCSP answers beside it, or with what is amiss.

    `waits`: does the SA wait for it still, when it has come?
    """
    auth = sa.connection.local_auth

    def signed(done: ComputeFinished) -> None:
        if not waits():
            return
        match done.result:
            case (bytes() as made, *answers):
                ctx.record(
                    "phase1.signed",
                    f"we sign by {scheme}",
                    connection=sa.connection,
                    facts=(("scheme", str(scheme)), ("key", str(own.key.public))),
                )
                then(made, tuple(a for a in answers if isinstance(a, bytes)))
            case _:
                failed(Failed("E137", f"our {word(auth)} did not sign: {done.failure}"))

    ctx.compute(Sign(own.key, scheme, octets, vouch), signed, sa)


def word(auth: LocalAuth) -> str:
    """What we prove ourselves with, for a sentence."""
    return "certificate with its private key" if auth.kind is AuthKind.CERT else "private key"
