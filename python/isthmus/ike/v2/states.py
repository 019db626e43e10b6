"""Where the making and unmaking of an IKE SA stands. Each state holds what exists at that point."""

from dataclasses import dataclass

from isthmus.ike.core.states import (
    Closed,
    Established,
    Judging,
    Preparing,
    Refused,
    Signing,
)
from isthmus.values.proposal import Proposal
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.selector import Selectors
from isthmus.values.spi import Spi
from isthmus.values.time import Instant


@dataclass(frozen=True, slots=True)
class AwaitInitReply:
    """Initiator: IKE_SA_INIT is on its way."""

    method: KeMethod
    private: Secret
    public: bytes
    nonce: bytes
    cookie: bytes = b""
    rounds: int = 0
    """Cookies and INVALID_KE_PAYLOADs obeyed so far (RFC 7296 §2.6.1)."""
    refused: "str | None" = None
    """The finding code of an unprotected refusal that we have seen but not believed yet."""


@dataclass(frozen=True, slots=True)
class AgreeingInit:
    """Either role: the Diffie-Hellman of IKE_SA_INIT is being computed."""

    nonce_i: bytes
    nonce_r: bytes


@dataclass(frozen=True, slots=True)
class ChildOffer:
    """A Child SA that we have asked for and that is not answered yet."""

    rule: str
    spi: Spi
    proposals: tuple[Proposal, ...]
    local: Selectors
    remote: Selectors
    trigger: str
    asked_at: Instant


@dataclass(frozen=True, slots=True)
class AwaitAuthReply:
    """Initiator: IKE_AUTH is on its way."""

    child: ChildOffer | None


@dataclass(frozen=True, slots=True)
class AwaitAuthRequest:
    """Responder: keys exist, the peer must prove who it is."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A successor stands; this one only waits for its deletion (RFC 7296 §2.8)."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Our Delete is on its way."""

    reason: str


Making = (
    Preparing
    | AwaitInitReply
    | AgreeingInit
    | Signing
    | Judging
    | AwaitAuthReply
    | AwaitAuthRequest
)
"""Before both sides are authenticated."""

State = Making | Established | Replaced | Closing | Refused | Closed
