"""Where the making of an IKEv1 phase 1 stands. Each state holds what exists at that point."""

from dataclasses import dataclass, field

from isthmus.ike.core.states import Closed, Established, Judging, Preparing, Refused, Signing
from isthmus.ike.v1.embryo import Embryo
from isthmus.values.address import Endpoint
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.wire.v1 import Chain, SecurityAssociation


@dataclass(frozen=True, slots=True)
class AwaitChoice:
    """Main Mode initiator: our offer is on its way."""

    offer: SecurityAssociation


@dataclass(frozen=True, slots=True)
class AwaitAnswer:
    """Aggressive Mode initiator: offer and public value are on their way."""

    offer: SecurityAssociation
    group: KeMethod
    private: Secret
    public: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class AwaitOpening:
    """Main Mode responder: pieces of the third message come, and others are missing; or it has to
    come again."""

    embryo: Embryo
    tries: int = 0
    """Keys that could not be made of one before: no time for it, or no sound value."""


@dataclass(frozen=True, slots=True)
class MakingKey:
    """Either role: a key pair is being made, and as responder the shared secret with it."""


@dataclass(frozen=True, slots=True)
class AwaitKey:
    """Main Mode initiator: our public value is on its way."""

    private: Secret
    public: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Agreeing:
    """Initiator: the shared secret is being computed."""


@dataclass(frozen=True, slots=True)
class AwaitProof:
    """Either role: keys exist; the peer must say and prove who it is."""


@dataclass(frozen=True, slots=True)
class AwaitLogin:
    """Either role: phase 1's keys are proved, and the password of XAUTH is still to come."""


Making = (
    Preparing
    | AwaitChoice
    | AwaitAnswer
    | AwaitOpening
    | MakingKey
    | AwaitKey
    | Agreeing
    | AwaitProof
    | Signing
    | Judging
    | AwaitLogin
)
"""Before both sides are authenticated."""

State = Making | Established | Refused | Closed


@dataclass(frozen=True, slots=True)
class Proving:
    """What the proofs of both sides cover; dropped once phase 1 stands."""

    sa_body: bytes
    """The SA payload of the initiator's first message, as it stood on the wire."""
    method: int
    """The `AuthenticationMethod` that was agreed on."""
    public_i: bytes = b""
    public_r: bytes = b""
    nonce_i: bytes = b""
    nonce_r: bytes = b""
    shared: Secret | None = field(default=None, repr=False)
    authorities: tuple[bytes, ...] = ()
    """DER names of the CAs that the peer would like certificates of."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the peer says of itself, and where its message came from."""

    identity: Identity
    id_body: bytes
    """The ID payload as it stood on the wire."""
    chain: Chain
    """The message with the proof."""
    local: Endpoint
    remote: Endpoint
