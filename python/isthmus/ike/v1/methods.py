"""Which authentication method a tunnel offers and takes (RFC 2409 §5, and XAUTH's and hybrid's).

In IKEv1 one method says how both sides prove themselves.
"""

from isthmus.ike.auth import ours
from isthmus.ike.core.context import Context
from isthmus.ike.v1 import signing
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import AccessRole, Connection
from isthmus.values.errors import NotAuthenticated
from isthmus.values.registry.ikev1 import AuthenticationMethod as Method

_WITH_LOGIN = {
    Method.PSK: {True: Method.XAUTH_INITIATOR_PSK, False: Method.XAUTH_RESPONDER_PSK},
    Method.RSA_SIG: {True: Method.XAUTH_INITIATOR_RSA, False: Method.XAUTH_RESPONDER_RSA},
}
"""By whether the initiator of phase 1 is the one who is asked for a password."""
_PSK = frozenset({Method.PSK, Method.XAUTH_INITIATOR_PSK, Method.XAUTH_RESPONDER_PSK})
_HYBRID = frozenset({Method.HYBRID_INITIATOR_RSA, Method.HYBRID_RESPONDER_RSA})
_INITIATOR_LOGS_IN = frozenset(
    {Method.XAUTH_INITIATOR_PSK, Method.XAUTH_INITIATOR_RSA, Method.HYBRID_INITIATOR_RSA}
)
_RESPONDER_LOGS_IN = frozenset(
    {Method.XAUTH_RESPONDER_PSK, Method.XAUTH_RESPONDER_RSA, Method.HYBRID_RESPONDER_RSA}
)


def method_of(ctx: Context, connection: Connection, *, initiator: bool) -> Method:
    """The one method of a tunnel, where we have this role in phase 1.

    Raises NotAuthenticated for a key that is not loaded or that IKEv1 has no method for.
    """
    terms = connection.v1
    if terms.hybrid:
        return Method.HYBRID_INITIATOR_RSA if initiator else Method.HYBRID_RESPONDER_RSA
    plain = Method.PSK
    if connection.local_auth.kind is not AuthKind.PSK:
        plain = signing.method_of(ours.loaded(ctx, connection.local_auth).key.public.kind)
    if terms.xauth is None:
        return plain
    we_log_in = terms.xauth.role is AccessRole.CLIENT
    try:
        return _WITH_LOGIN[plain][we_log_in == initiator]
    except KeyError:
        raise NotAuthenticated(
            "XAUTH goes with pre-shared keys and RSA certificates only", notify=None, code="E136"
        ) from None


def is_psk(method: int) -> bool:
    """Both sides have a pre-shared key, which SKEYID is made from."""
    return method in _PSK


def signs(method: int, *, initiator: bool) -> bool:
    """Does this side of phase 1 sign? With a pre-shared key nobody does, in the hybrid form only
    the side that has the users."""
    if method in _HYBRID:
        return initiator == (method == Method.HYBRID_RESPONDER_RSA)
    return method not in _PSK


def logs_in(method: int, *, initiator: bool) -> bool:
    """Is this side of phase 1 asked for a user name and password behind it?"""
    return method in (_INITIATOR_LOGS_IN if initiator else _RESPONDER_LOGS_IN)


def has_login(method: int) -> bool:
    """Phase 1 stands only when one side has logged in."""
    return method in _INITIATOR_LOGS_IN | _RESPONDER_LOGS_IN
