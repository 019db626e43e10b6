"""What a user may ask of the engine."""

from dataclasses import dataclass

from isthmus.credentials.store import Credentials
from isthmus.policy.connection import Configuration
from isthmus.x509.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Initiate:
    """Bring a tunnel up, or one of its rules, now."""

    tunnel: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Terminate:
    """Close a tunnel (phase 1 and 2), or phase 2 of one rule only.

    `hold`: stay down in spite of traffic until `Initiate`.
    """

    tunnel: str
    rule: str | None = None
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Rekey:
    """Make-before-break now: phase 1 (`rule` None and `phase` 1) or phase 2."""

    tunnel: str
    rule: str | None = None
    phase: int = 2


@dataclass(frozen=True, slots=True)
class Configure:
    """Run under this configuration from now on (the first one, or a new one).

    `credentials` take the place of those known before; None: they stay.
    """

    configuration: Configuration
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Distrust:
    """Close the IKE SAs of a tunnel whose peer proved itself by these certificates: the first is
    the peer's, the last our anchor. What made them untrusted is told with a finding."""

    tunnel: str
    certificates: tuple[Certificate, ...]
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Delete every SA towards the peers; a record tells when nothing is left."""


Command = Initiate | Terminate | Rekey | Configure | Distrust | Shutdown
