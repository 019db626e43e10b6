"""What a Quick Mode is about, from its first message to its last (RFC 2409 §5.5)."""

from dataclasses import dataclass, field

from isthmus.ike.core.child import ChildSa
from isthmus.ike.v1.lifetimes import Lifetime
from isthmus.policy.connection import ChildPolicy
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi
from isthmus.values.time import Instant
from isthmus.wire.v1 import SecurityAssociation


@dataclass(slots=True, eq=False)
class Quick:
    """One pair of SAs in the making."""

    initiated: bool
    """We sent the first message."""
    rule: ChildPolicy
    asked_at: Instant
    spi_in: Spi
    nonce_i: bytes
    local: TrafficSelector
    remote: TrafficSelector
    group: KeMethod = KeMethod.NONE
    nonce_r: bytes = b""
    offer: SecurityAssociation | None = None
    """Initiator: what we asked for."""
    sent_at: Instant | None = None
    """Initiator: when it went out first."""
    private: Secret | None = field(default=None, repr=False)
    replaces: ChildSa | None = None
    """Initiator: the pair that is renewed; it may be gone by the time the answer comes."""
    child: ChildSa | None = None
    """The pair, once it listens."""
    said: Lifetime = field(default_factory=Lifetime)
    """How long the peer says that the pair lives."""
    commits: bool = False
    """The responder has set the commit bit: it will say when it listens."""
    computing: bool = True
    """A key is being made or agreed on: repeats of the peer's message wait."""
