"""What is still due behind the proofs of phase 1, and what a rule comes to by it: XAUTH and Mode
Config of one phase 1."""

from dataclasses import dataclass, field

from isthmus.ike.core.context import Context, Failed
from isthmus.ike.core.effects import AssignAddress
from isthmus.ike.core.sa import IkeSa
from isthmus.policy.assigned import as_local, as_remote
from isthmus.policy.connection import AccessRole, ChildPolicy, ModeConfig
from isthmus.wire.v1 import Attributes


@dataclass(slots=True, eq=False)
class Access:
    """How far the Transaction exchanges of a phase 1 have come."""

    waiting: dict[int, Attributes] = field(default_factory=dict)
    """What we have asked or told, by message ID, until it is answered."""
    login_due: bool = False
    """One side has to log in and has not yet."""
    checking: bool = False
    """Server: a password is being looked at."""
    refused: Failed | None = None
    """Why nobody logs in: the server has told the client so, or the client the server."""
    answered: set[str] = field(default_factory=set)
    """Client: "name" and "password", as the peer has asked for them."""


def client_terms(sa: IkeSa) -> ModeConfig | None:
    """How we are given an address, if we are."""
    terms = sa.connection.v1.mode_config
    return terms if terms is not None and terms.role is AccessRole.CLIENT else None


def server_terms(sa: IkeSa) -> ModeConfig | None:
    """How we give addresses, if we do."""
    terms = sa.connection.v1.mode_config
    return terms if terms is not None and terms.role is AccessRole.SERVER else None


def rule_of(sa: IkeSa, rule: ChildPolicy) -> ChildPolicy | None:
    """A rule as it holds with the peer of this phase 1: of the client's side no more than the
    address that it was given. None where it was given none, or one that is not the rule's."""
    if sa.connection.v1.mode_config is None:
        return rule
    if sa.assigned is None:
        return None
    narrowed = as_local if client_terms(sa) is not None else as_remote
    return narrowed(rule, sa.assigned.address)


def release(ctx: Context, sa: IkeSa) -> None:
    """Phase 1 ends: the address that the peer has lent us goes with it, unless a successor has
    the same."""
    given, sa.assigned = sa.assigned, None
    if given is None or client_terms(sa) is None:
        return
    others = (s.assigned for s in ctx.lifecycle.siblings(sa) if s.assigned is not None)
    if all(other.address != given.address for other in others):
        ctx.emit(AssignAddress(sa.connection.name, given.address, up=False))


def peer_renews(sa: IkeSa) -> bool:
    """Whoever logs in or asks for an address renews phase 1: not every client is prepared to be
    asked anew, and some let their pairs go with the phase 1 that they began."""
    xauth = sa.connection.v1.xauth
    serves = xauth is not None and xauth.role is AccessRole.SERVER
    return not sa.initiator and (serves or server_terms(sa) is not None)


def tell_peer_renews(ctx: Context, sa: IkeSa) -> None:
    """Why a renewal that is due, or that a user wants, is not begun here."""
    ctx.record(
        "phase1.renewal_left",
        f"{sa.user or sa.remote_id} has to renew phase 1: it is the one who dials in",
        connection=sa.connection,
    )
