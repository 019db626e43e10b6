"""What an outstanding request of ours was for: kept until its answer comes."""

from dataclasses import dataclass

from isthmus.ike.core.child import ChildSa
from isthmus.ike.v2.states import ChildOffer
from isthmus.values.proposal import Proposal
from isthmus.values.registry.ikev2 import KeMethod
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi, Spi


@dataclass(frozen=True, slots=True)
class ForInit:
    """IKE_SA_INIT."""


@dataclass(frozen=True, slots=True)
class ForAuth:
    """IKE_AUTH."""


@dataclass(frozen=True, slots=True)
class ForChild:
    """CREATE_CHILD_SA for a new Child SA, or for one that replaces `replaces`."""

    offer: ChildOffer
    nonce: bytes
    method: KeMethod
    private: Secret | None
    replaces: ChildSa | None
    """The SA that is rekeyed; it may be gone by the time the answer comes."""
    ke_rounds: int = 0


@dataclass(frozen=True, slots=True)
class ForIkeRekey:
    """CREATE_CHILD_SA that replaces the IKE SA."""

    spi: IkeSpi
    nonce: bytes
    method: KeMethod
    private: Secret
    proposals: tuple[Proposal, ...]
    ke_rounds: int = 0


@dataclass(frozen=True, slots=True)
class ForDeleteChild:
    """INFORMATIONAL with a Delete for one Child SA."""

    spi_in: Spi


@dataclass(frozen=True, slots=True)
class ForDeleteIke:
    """INFORMATIONAL with a Delete for the IKE SA itself."""


@dataclass(frozen=True, slots=True)
class ForProbe:
    """An empty INFORMATIONAL: is the peer alive."""


Purpose = ForInit | ForAuth | ForChild | ForIkeRekey | ForDeleteChild | ForDeleteIke | ForProbe
